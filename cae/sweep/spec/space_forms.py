"""The form of a search space: dotted names, and one object of Ray Tune or one constant for each.

Other tools write search spaces in other forms, and Ray Tune itself accepts nested ones; the errors
name the dotted form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Float, Integer, Quantized

from cae.trial.component import Component
from cae.trial.messages import short_repr
from cae.trial.plain_values import to_plain

Space = Mapping[str, Any]
"""A search space: dotted names to domains of Ray Tune or constants."""

EXAMPLE = '{"arch.kernel_size": tune.grid_search([3, 5])}'
OTHER_TOOLS_NAMES = frozenset(
    {
        *("value", "values", "min", "max", "mu", "sigma", "q", "distribution"),  # W&B
        *("type", "low", "high", "step", "log", "choices", "_type", "_value"),
    }
)
"""Keys of a parameter in the search spaces of Weights & Biases, Optuna and others."""


def plain_space_of(space: object) -> tuple[dict[str, Any], list[str]]:
    """Return a search space without values of numpy in its grids, and what is wrong with it."""
    if not isinstance(space, Mapping) or not all(isinstance(key, str) for key in space):
        return {}, [f"should be a dictionary of dotted names, such as {EXAMPLE}, or a list of such"]
    plain: dict[str, Any] = {}
    errors: list[str] = []
    for key, domain in space.items():
        if isinstance(domain, Mapping) and set(domain) == {"grid_search"}:
            values = _plain_list(domain["grid_search"])
            if values is None:
                errors.append(
                    f"{key}: tune.grid_search takes a list of values, not "
                    f"{short_repr(domain['grid_search'])}"
                )
            else:
                errors += _value_errors(key, values, "tune.grid_search")
            plain[key] = {"grid_search": values or []}
        elif isinstance(domain, Mapping):
            errors.append(_nested_form(key, domain))
        elif isinstance(domain, Domain):
            errors += _domain_errors(key, domain)
            plain[key] = domain
        else:
            plain[key] = to_plain(domain)
            errors += _constant_errors(key, plain[key])
    return plain, errors


def _plain_list(values: object) -> list[Any] | None:
    """The values of a grid as a list; None if they are in no order or not several."""
    if isinstance(values, range):
        return list(values)
    plain = to_plain(values)
    if isinstance(plain, list | tuple):
        return list(plain)
    return None


def _nested_form(key: str, domain: Mapping[Any, Any]) -> str:
    """The error for a dictionary as the value of a parameter."""
    names = [str(name) for name in domain]
    if domain and set(names) <= OTHER_TOOLS_NAMES:
        return (
            f"{key}: {short_repr(dict(domain))} is the form of another tool; "
            f"{_in_this_form(key, domain)}"
        )
    if key == "parameters":
        return (
            f"{key}: is the form of another tool; write the parameters themselves, with dotted "
            f"names: {EXAMPLE}"
        )
    dotted = ", ".join(f'"{key}.{name}": ...' for name in names[:3])
    if not dotted:
        dotted = EXAMPLE.strip("{}")
    return f"{key}: a dictionary is not a value; write dotted names: {{{dotted}}}"


def _in_this_form(key: str, domain: Mapping[Any, Any]) -> str:
    for name in ("values", "choices", "_value"):
        if name in domain:
            values = short_repr(domain[name])
            return f'write {{"{key}": tune.grid_search({values})}} or tune.choice'
    if "value" in domain:
        return f'write {{"{key}": {short_repr(domain["value"])}}}'
    low = short_repr(domain.get("min", domain.get("low")))
    high = short_repr(domain.get("max", domain.get("high")))
    return f'write {{"{key}": tune.uniform({low}, {high})}}, tune.loguniform or tune.randint'


def _domain_errors(key: str, domain: Domain) -> list[str]:
    """What is wrong with a random dimension."""
    if isinstance(domain, Categorical):
        values = list(domain.categories)
        if not values:
            return [f"{key}: tune.choice has no values"]
        return _value_errors(key, [to_plain(value) for value in values], "tune.choice")
    if isinstance(domain, Float | Integer):
        return _interval_errors(key, domain)
    return []


def _interval_errors(key: str, domain: Any) -> list[str]:
    """Errors: an interval without values, or one that the steps of a quantized domain miss."""
    low = domain.lower
    high = domain.upper
    if not (math.isfinite(low) and math.isfinite(high)):
        return []
    # The upper end of an interval of whole numbers is not one of its values, unless quantized.
    sampler = domain.get_sampler()
    is_quantized = isinstance(sampler, Quantized)
    if low > high or (low == high and isinstance(domain, Integer) and not is_quantized):
        return [f"{key}: the interval from {low} to {high} has no values"]
    if isinstance(sampler, Quantized):
        step = sampler.q
        if math.floor(high / step + 1e-9) * step < low - 1e-9 * abs(low):
            return [f"{key}: no multiple of {step} is between {low} and {high}"]
    return []


def _value_errors(key: str, values: list[Any], function: str) -> list[str]:
    """Errors: values of a grid or a choice that are search spaces themselves."""
    for value in values:
        if _contains_domain(value):
            return [
                f"{key}: a value of {function} contains another object of Ray Tune; write a list "
                "of search spaces, one for each alternative"
            ]
        if isinstance(value, Mapping):
            return [
                f"{key}: {short_repr(dict(value))} is a dictionary; write a list of search spaces "
                "with dotted names, one for each alternative"
            ]
        if _is_component(value):
            return [_component_error(key, value)]
        if isinstance(value, set | frozenset):
            return [f"{key}: {short_repr(value)} is a set, which has no order; write a list"]
    return []


def _constant_errors(key: str, value: object) -> list[str]:
    """Errors: a constant that was meant as a search space."""
    if isinstance(value, list | tuple) and any(map(_contains_domain, value)):
        position = [_contains_domain(item) for item in value].index(True) + 1
        return [
            f"{key}: an element of the list is an object of Ray Tune; name the element: "
            f'"{key}.{position}": ..., counted from 1'
        ]
    module = type(value).__module__.partition(".")[0]
    if module in ("optuna", "hyperopt", "skopt", "ConfigSpace", "ax", "scipy", "nevergrad"):
        return [
            f"{key}: {short_repr(value)} is an object of {module}; use tune.choice, tune.uniform, "
            "tune.loguniform or tune.randint of ray"
        ]
    if _is_component(value):
        return [_component_error(key, value)]
    if callable(value):
        return [
            f"{key}: {short_repr(value)} is a function; write tune.sample_from(...) to draw its "
            "values, or tune.grid_search([...])"
        ]
    if isinstance(value, set | frozenset | range):
        return [f"{key}: {short_repr(value)} is not a value; did you mean tune.grid_search([...])?"]
    return []


def _is_component(value: object) -> bool:
    return isinstance(value, Component) or (
        isinstance(value, type) and issubclass(value, Component)
    )


def _component_error(key: str, component: Any) -> str:
    return (
        f"{key}: a component is selected by its name, {component.name!r}; its parameters are names "
        f'of their own, such as "{key}.PARAMETER": ...'
    )


def _contains_domain(value: object) -> bool:
    if isinstance(value, Domain):
        return True
    if isinstance(value, Mapping):
        return "grid_search" in value or any(map(_contains_domain, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_contains_domain, value))
    return False
