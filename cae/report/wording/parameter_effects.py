"""Sentences about the effect of each parameter by itself."""

from __future__ import annotations

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.statistics.compared_trials import PopulationKind
from cae.report.statistics.parameter_effects import (
    EffectVerdict,
    ParameterEffect,
    SettingWithoutFinished,
    analyze_effects,
)
from cae.report.wording.confounding import confounding_sentence

MAX_SETTINGS = 5
"""Named settings without a finished trial."""


def effects_sentences(results: Results) -> str:
    """What the finished trials show, what all trials show at an early epoch, what is unknown.

    Empty if no parameter differs among trials with a value.
    """
    analysis = analyze_effects(results)
    if not analysis.parameters:
        return ""
    sentences = [effect_sentence(effect, results.metric) for effect in analysis.effects]
    return formatting.sentences([*sentences, without_finished_sentence(analysis.without_finished)])


def effect_sentence(effect: ParameterEffect, metric: str) -> str:
    start = ""
    if effect.compared.kind == PopulationKind.SAME_EPOCH:
        start = f"At epoch {effect.compared.epoch}, before any trial was stopped: "
    match effect.verdict:
        case EffectVerdict.TOO_FEW_TRIALS:
            return _too_few(effect)
        case EffectVerdict.DIFFERENCE:
            return f"{start}{_difference(effect, metric)}"
        case EffectVerdict.TREND:
            return f"{start}{_trend(effect, metric)}"
    sentence = (
        f"No single parameter makes a significant difference between these {_trials(effect)}."
    )
    if start:
        return f"{start}{sentence[0].lower()}{sentence[1:]}"
    return sentence


def _trials(effect: ParameterEffect) -> str:
    count = len(effect.compared.values)
    if effect.compared.kind == PopulationKind.SAME_EPOCH:
        return formatting.plural(count, "trial")
    trials = formatting.plural(count, "finished trial")
    left_out: list[str] = []
    if effect.compared.epoch:
        trials += f" up to epoch {effect.compared.epoch}"
    if effect.compared.shorter:
        left_out.append(f"{effect.compared.shorter} with fewer epochs")
    if effect.compared.stopped:
        left_out.append(f"{effect.compared.stopped} that were stopped early")
    if left_out:
        return f"{trials}, without {formatting.listed(left_out)}"
    return trials


def _too_few(effect: ParameterEffect) -> str:
    if effect.compared.kind == PopulationKind.SAME_EPOCH:
        return ""
    if not len(effect.compared.values):
        return "No trial has finished, so nothing is compared after all epochs."
    return "Only one trial has finished, so nothing is compared after all epochs."


def _difference(effect: ParameterEffect, metric: str) -> str:
    assert effect.medians is not None
    medians = effect.medians
    best = f"{formatting.number(medians.iloc[0])} at {medians.index[0]}"
    worst = f"{formatting.number(medians.iloc[-1])} at {medians.index[-1]}"
    p_text = f"p\u00a0=\u00a0{effect.p_value:.1g}"
    if effect.p_value < 1e-4:
        p_text = "p\u00a0<\u00a00.0001"
    sentence = (
        f"{effect.parameter} makes the most significant difference: median {metric} {best} and "
        f"{worst} ({p_text}, {_trials(effect)})."
    )
    together = confounding_sentence(effect.confounded, [effect.parameter])
    return formatting.sentences([sentence, together])


def _trend(effect: ParameterEffect, metric: str) -> str:
    assert effect.medians is not None
    values = effect.medians
    verb = "falls"
    if values.iloc[-1] > values.iloc[0]:
        verb = "rises"
    first = f"{formatting.number(values.iloc[0])} at {values.index[0]}"
    last = f"{formatting.number(values.iloc[-1])} at {values.index[-1]}"
    return (
        f"{metric} {verb} with {effect.parameter} at every step, from {first} to {last}. With one "
        "trial per setting, this may be chance."
    )


def without_finished_sentence(settings: list[SettingWithoutFinished]) -> str:
    """Name the settings whose trials were stopped, so that none finished; empty without any."""
    if not settings:
        return ""
    names = []
    for setting in settings:
        names.append(f"{setting.parameter} {setting.setting} ({setting.stopped} stopped)")
    listed = formatting.listed(names, MAX_SETTINGS)
    return f"No trial finished with {listed}: what it reaches after all epochs is unknown."
