"""The effect of each parameter by itself, on runs with several seeds per configuration."""

from __future__ import annotations

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.statistics.parameter_effects import EffectVerdict, analyze_effects
from cae.report.wording.parameter_effects import effects_sentences
from tests.report.synthetic_runs import MakeWriter

Point = tuple[dict[str, float], float]
"""The axes of a configuration, and its loss."""


def with_seeds(writer: MakeWriter, points: list[Point], seeds: int) -> Results:
    names = {name for axes, _ in points for name in axes}
    declared = {name: {"values": None, "scale": "linear"} for name in sorted(names)}
    run = writer(axes=declared, scheduler=None)
    run.session(list(range(1, len(points) * seeds + 1)))
    for number in range(1, len(points) * seeds + 1):
        index, seed = divmod(number - 1, seeds)
        axes, loss = points[index]
        run.trial(number, axes, seed=seed)
        run.start(number)
        run.epoch(number, 1, loss + 1e-6 * seed)
        run.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([run.close()])


def test_seeds_are_no_further_configurations_of_a_setting(writer: MakeWriter) -> None:
    """Regression: ten seeds of four networks made the kernel size significant."""
    points: list[Point] = [
        ({"arch.kernel_size": 3, "arch.filters": 8}, 0.010),
        ({"arch.kernel_size": 3, "arch.filters": 16}, 0.020),
        ({"arch.kernel_size": 5, "arch.filters": 8}, 0.021),
        ({"arch.kernel_size": 5, "arch.filters": 16}, 0.031),
    ]
    (effect,) = analyze_effects(with_seeds(writer, points, 10)).effects
    assert effect.verdict == EffectVerdict.NONE


def test_seeds_are_compared_if_each_setting_has_one_configuration(writer: MakeWriter) -> None:
    points: list[Point] = [
        ({"arch.kernel_size": 3}, 0.010),
        ({"arch.kernel_size": 5}, 0.020),
    ]
    (effect,) = analyze_effects(with_seeds(writer, points, 5)).effects
    assert effect.verdict == EffectVerdict.DIFFERENCE


def test_a_parameter_that_changes_together_with_another_one_is_not_credited_alone(
    writer: MakeWriter,
) -> None:
    points: list[Point] = []
    for kernel in (3, 5):
        axes = {"arch.kernel_size": kernel, "optimizer.lr": 0.1 * kernel}
        points.append((axes, 0.01 * kernel))
    sentences = effects_sentences(with_seeds(writer, points, 5))
    assert sentences.startswith("arch.kernel_size makes the most significant difference")
    assert "arch.kernel_size and optimizer.lr change together" in sentences
