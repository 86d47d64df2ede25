"""Sentences about latent codes."""

from __future__ import annotations

from cae.report import formatting
from cae.report.data.latent_samples import LatentSamples
from cae.report.statistics.latent_maps import LatentMaps, MappedTrial, Projection
from cae.report.statistics.rate_distortion import (
    CodeAnswer,
    CodeComparison,
    ProbedConfiguration,
    RateDistortion,
)

NONE_SAVED = (
    "No trial has saved latent codes: its network has none, the sweep has latent=False, or an "
    "older version trained it"
)


def maps_sentence(maps: LatentMaps) -> str:
    """What the maps show, with how far they can be trusted."""
    first = maps.trials[0]
    images = formatting.plural(len(first.samples.codes), "test image")
    trials = formatting.plural(len(maps.trials), "trial")
    sentences = [f"The latent codes of the same {images} in the best {trials}."]
    if len(maps.trials) == 1:
        sentences = [f"The latent codes of {images} in {first.label}."]
    sentences.append(_quality(first))
    return formatting.sentences(sentences)


def _quality(trial: MappedTrial) -> str:
    """How far the maps of a trial keep its code."""
    if Projection.CODE in trial.maps:
        size = formatting.plural(trial.samples.latent_values, "value")
        return f"The code of {trial.label} has {size}: its map is the code itself."
    pca = trial.maps[Projection.PCA]
    sentence = (
        f"Two principal components have {formatting.percent(pca.explained_variance, 1)} of the "
        f"variance of the code of {trial.label}"
    )
    tsne = trial.maps.get(Projection.TSNE)
    if tsne is not None:
        kept = formatting.number(pca.trustworthiness, 2)
        kept_by_tsne = formatting.number(tsne.trustworthiness, 2)
        sentence += f" (trustworthiness {kept}; of t-SNE {kept_by_tsne})"
    return f"{sentence}."


def left_out_sentence(maps: LatentMaps) -> str:
    """Which better trials are not shown, and why; empty if there are none."""
    reasons: list[str] = []
    if maps.missing:
        reasons.append(f"{formatting.plural(maps.missing, 'trial')} without saved latent codes")
    if maps.damaged:
        reasons.append(f"{formatting.plural(maps.damaged, 'trial')} with a damaged latent.npz")
    if maps.other_images:
        reasons.append(f"{formatting.plural(maps.other_images, 'trial')} with other test images")
    if not reasons:
        return ""
    return f"Left out: {formatting.listed(reasons)}."


def unit_name(samples: LatentSamples, index: int) -> str:
    """Name a value of the code: value 3; channel 2, row 1, column 4. Counted from 1."""
    shape = samples.latent_shape
    if len(shape) != 3 or shape[1] * shape[2] == 1:
        return f"value {index + 1}"
    channel, position = divmod(index, shape[1] * shape[2])
    row, column = divmod(position, shape[2])
    return f"channel {channel + 1}, row {row + 1}, column {column + 1}"


def size_sentence(data: RateDistortion) -> str:
    """Which size has the best loss."""
    measured = data.trials.dropna(subset=["loss"])
    sizes = formatting.plural(len(data.sizes), "latent size")
    if not len(measured) or len(data.sizes) < 2:
        return f"Finished trials have {sizes}."
    word = "lowest"
    if data.mode == "max":
        word = "highest"
    ordered = measured.sort_values("loss", ascending=data.mode == "min", kind="stable")
    best = formatting.rows(ordered)[0]
    return (
        f"Of {sizes}, from {formatting.number(data.sizes[0])} to "
        f"{formatting.number(data.sizes[-1])} values, {formatting.number(int(best.size))} has the "
        f"{word} {data.loss} of a single trial: {formatting.number(best.loss)} ({best.label})."
    )


def code_sentence(data: RateDistortion) -> str:
    """Does the configuration with the lowest loss have the best code?"""
    comparison = data.comparison
    first = comparison.best_loss
    other = comparison.other
    if first is None or other is None:
        return (
            "Whether the lowest loss has the best code is unknown: fewer than two configurations "
            "have a probe accuracy."
        )
    loss = f"lowest {data.loss}"
    if data.mode == "max":
        loss = f"highest {data.loss}"
    first_name = _name(first)
    other_name = _name(other)
    first_accuracy = formatting.number(first.accuracy)
    other_accuracy = formatting.number(other.accuracy)
    match comparison.answer:
        case CodeAnswer.YES:
            return (
                f"The {loss} has the best code: the probe accuracy of {first_name} is "
                f"{first_accuracy}, higher than that of every other configuration; the next one is "
                f"that of {other_name}, {other_accuracy} ({_interval(comparison)})."
            )
        case CodeAnswer.NO:
            return (
                f"The {loss} does not have the best code: the probe accuracy of {other_name} is "
                f"{other_accuracy}, that of {first_name} is {first_accuracy} "
                f"({_interval(comparison)})."
            )
        case CodeAnswer.ONE_SEED:
            return (
                f"Does the {loss} have the best code? One seed: undecided. The probe accuracy of "
                f"{first_name} is {first_accuracy}; the highest of the others is {other_accuracy}, "
                f"of {other_name}."
            )
    return (
        f"Does the {loss} have the best code? Undecided: the probe accuracy of {first_name} is "
        f"{first_accuracy}; the highest of the others is {other_accuracy}, of {other_name} "
        f"({_interval(comparison)})."
    )


def _name(configuration: ProbedConfiguration) -> str:
    return f"{configuration.label} (latent size {formatting.number(configuration.size)})"


def _interval(comparison: CodeComparison) -> str:
    """The interval of the difference of both accuracies."""
    low, high = comparison.interval
    text = f"difference {formatting.number(low, 3)} to {formatting.number(high, 3)}"
    if comparison.comparisons == 1:
        return f"{text}, 95 %"
    return f"{text}, 95 % for {comparison.comparisons} comparisons together"
