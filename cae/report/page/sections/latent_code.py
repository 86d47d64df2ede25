"""The latent code of the best trials: maps of test images, and images decoded from codes."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from cae.report import formatting
from cae.report.data.latent_samples import Interpolation, LatentSamples, Sheet
from cae.report.data.results import Results
from cae.report.page.figures import Figure, style
from cae.report.page.figures.latent_code import (
    ClassOfImages,
    classes_of,
    draw_maps,
    main_maps,
    tsne_maps,
    umap_maps,
)
from cae.report.page.images import Pixels, reduce, reduction_factor, to_data_uri
from cae.report.page.section import SectionContent, section
from cae.report.page.sections.reconstructions import compose_sheet
from cae.report.page.table import Table, make_table
from cae.report.statistics.latent_maps import (
    MAX_TRIALS,
    NEIGHBORS,
    LatentMap,
    LatentMaps,
    MappedTrial,
    Projection,
    latent_maps,
)
from cae.report.wording.latent_code import (
    NONE_SAVED,
    left_out_sentence,
    maps_sentence,
    unit_name,
)

MAX_BYTES = 900_000
"""Limit for the images of the section, as data URIs; strips of later trials are left out."""
MAP_PIXELS = 280
"""Side of a map that is shown without JavaScript."""
MAP_BACKGROUND = "#ffffff"
MAX_LEGEND = 24
LONG_NAME = 24
"""Characters of a name from which on a narrow window has no room for it beside its row."""
COLUMN_TITLES = {
    Projection.PCA: "trustworthiness of PCA",
    Projection.TSNE: "of t-SNE",
    Projection.UMAP: "of UMAP",
}


@dataclass(frozen=True)
class Strip:
    """Decoded images of one trial in rows, as one PNG image."""

    title: str
    row_names: list[str]
    columns: int
    data_uri: str
    width: int
    height: int
    description: str

    @property
    def has_long_names(self) -> bool:
        return max(map(len, self.row_names), default=0) >= LONG_NAME


@dataclass(frozen=True)
class StaticMap:
    """A map as an image, for readers without JavaScript."""

    title: str
    data_uri: str


@dataclass(frozen=True)
class LegendEntry:
    name: str
    color: str


@dataclass(frozen=True)
class TrialStrips:
    trial_index: int
    label: str
    value: str
    strips: list[Strip]
    reason: str
    """Why nothing is decoded, or shown; empty if it is."""


@dataclass(frozen=True)
class ImageSheet:
    """The test images, shared by all maps."""

    data_uri: str
    count: int
    sheet: Sheet


@dataclass(frozen=True, kw_only=True)
class LatentCodeContent(SectionContent):
    sheet: ImageSheet | None = None
    static_maps: Sequence[StaticMap] = ()
    legend: Sequence[LegendEntry] = ()
    trials: Sequence[TrialStrips] = ()


@section(
    "latent_code",
    title="Latent code",
    order=134,
    figures=[
        Figure("latent_map", main_maps, draw_maps),
        Figure("latent_tsne", tsne_maps, draw_maps),
        Figure("latent_umap", umap_maps, draw_maps),
    ],
)
def latent_code_section(results: Results) -> SectionContent:
    maps = latent_maps(results)
    left_out = left_out_sentence(maps)
    if not maps.trials:
        return LatentCodeContent(
            verdict=formatting.sentences([f"{NONE_SAVED}.", left_out]),
            is_empty=True,
            is_left_out=not maps.damaged,
        )
    samples = maps.trials[0].samples
    uri = "data:image/jpeg;base64," + base64.b64encode(samples.sheet.content).decode()
    budget = MAX_BYTES / results.group_count - len(uri)
    return LatentCodeContent(
        verdict=formatting.sentences([maps_sentence(maps), left_out]),
        method=_method(maps),
        captions=_captions(maps),
        sheet=ImageSheet(uri, len(samples.codes), samples.sheet),
        static_maps=[_static_map(trial) for trial in maps.trials],
        legend=_legend(samples),
        trials=_all_strips(results, maps, budget),
        tables=[_table(results, maps)],
    )


def _captions(maps: LatentMaps) -> dict[str, str]:
    shown = {projection for trial in maps.trials for projection in trial.maps}
    captions: dict[str, str] = {}
    if Projection.PCA in shown:
        captions["latent_map"] = "First two principal components of the latent code"
        if Projection.CODE in shown:
            captions["latent_map"] += ", or the code itself if it has two values"
    else:
        captions["latent_map"] = "The latent code itself"
    if Projection.TSNE in shown:
        captions["latent_tsne"] = "t-SNE of the latent code"
    if Projection.UMAP in shown:
        captions["latent_umap"] = "UMAP of the latent code"
    return captions


def _method(maps: LatentMaps) -> str:
    samples = maps.trials[0].samples
    largest = max(trial.samples.latent_values for trial in maps.trials)
    sentences = [
        "At its end each trial encodes the same test images, evenly spaced in the test split, with "
        "the weights of its best epoch. A variational autoencoder's codes are the means of their "
        f"distributions. Shown are the best trials of at most {MAX_TRIALS} configurations.",
        "Positions in the maps of different trials cannot be compared. t-SNE and UMAP (shown if "
        "umap-learn is installed) keep neighbors, not distances or the size of clusters; both have "
        "a fixed seed. Trustworthiness is the agreement of neighborhoods in the map with those in "
        f"the code ({NEIGHBORS} neighbors; 1 is perfect, about 0.5 is random).",
        "Interpolations are decoded from points on the line between the codes of two images, whose "
        "inputs are at both ends. Traversals change one value of the code of the first image from "
        "its 2.5 % to its 97.5 % quantile over the images; the values are those with the largest "
        f"{samples.score}.",
    ]
    if any(not trial.samples.is_code for trial in maps.trials):
        kept = min(trial.samples.kept_variance for trial in maps.trials)
        sentences.append(
            f"Of codes with up to {formatting.number(largest)} values, the maps use the first "
            f"principal components, with at least {formatting.percent(kept, 1)} of the variance."
        )
    sentences.append("trials/*/latent.npz contains the codes and all images.")
    return " ".join(sentences)


def _table(results: Results, maps: LatentMaps) -> Table:
    rows = []
    for trial in maps.trials:
        row: dict[str, object] = {
            "trial": trial.label,
            results.metric: trial.value,
            "latent size": trial.samples.latent_values,
        }
        pca = trial.maps.get(Projection.PCA)
        row["variance in the map"] = _explained(pca)
        for projection, title in COLUMN_TITLES.items():
            if any(projection in other.maps for other in maps.trials):
                of_trial = trial.maps.get(projection)
                row[title] = math.nan
                if of_trial is not None:
                    row[title] = of_trial.trustworthiness
        units = [
            f"{unit_name(trial.samples, unit.index)} ({formatting.number(unit.score, 3)})"
            for unit in trial.samples.units[:3]
        ]
        row[f"most active values ({trial.samples.score})"] = "; ".join(units)
        rows.append(row)
    return make_table("Latent codes of the best trials", pd.DataFrame(rows))


def _explained(pca: LatentMap | None) -> float:
    if pca is None:
        return 1.0  # the map is the code itself
    return pca.explained_variance


def _legend(samples: LatentSamples) -> list[LegendEntry]:
    classes = classes_of(samples)
    if not 1 < len(classes) <= MAX_LEGEND:
        return []
    return [LegendEntry(item.name, style.class_color(item.number)) for item in classes]


def _static_map(trial: MappedTrial) -> StaticMap:
    """The last map of a trial that was computed: neighbors are easiest to see in t-SNE or UMAP."""
    projection, shown = list(trial.maps.items())[-1]
    names = {
        Projection.CODE: "the code itself",
        Projection.PCA: "principal components",
        Projection.TSNE: "t-SNE",
        Projection.UMAP: "UMAP",
    }
    image = draw_static_map(shown, classes_of(trial.samples))
    return StaticMap(f"{trial.label}: {names[projection]}", to_data_uri(image))


def draw_static_map(shown: LatentMap, classes: list[ClassOfImages]) -> Image.Image:
    """Draw the points of a map as dots in the colors of their classes."""
    image = Image.new("RGB", (MAP_PIXELS, MAP_PIXELS), MAP_BACKGROUND)
    draw = ImageDraw.Draw(image)
    low = shown.points.min(axis=0)
    extent = float(np.ptp(shown.points, axis=0).max()) or 1.0
    margin = 6
    scale = (MAP_PIXELS - 2 * margin) / extent
    for of_class in classes:
        color = style.class_color(of_class.number)
        for x, y in (shown.points[of_class.positions] - low) * scale:
            left = margin + float(x)
            top = MAP_PIXELS - margin - float(y)
            draw.ellipse((left - 2, top - 2, left + 2, top + 2), fill=color)
    return image.quantize(32)


def _all_strips(results: Results, maps: LatentMaps, budget: float) -> list[TrialStrips]:
    """The strips of each trial, the best first, until their size exceeds the budget."""
    shown: list[TrialStrips] = []
    for trial in maps.trials:
        strips: list[Strip] = []
        reason = trial.samples.reason
        if not reason:
            strips = _strips(trial.samples)
            size = sum(len(strip.data_uri) for strip in strips)
            if size > budget:
                strips = []
                reason = "the size limit of the section is reached"
            budget -= size
        value = f"{results.metric} {formatting.number(trial.value)}"
        shown.append(TrialStrips(trial.trial_index, trial.label, value, strips, reason))
    return shown


def _strips(samples: LatentSamples) -> list[Strip]:
    strips: list[Strip] = []
    if samples.interpolations:
        rows = [_with_ends(item) for item in samples.interpolations]
        names: list[str] = []
        for item in samples.interpolations:
            first = samples.class_name(int(samples.labels[item.first]))
            last = samples.class_name(int(samples.labels[item.last]))
            name = f"pair {len(names) + 1}"
            if samples.has_classes:
                name = f"{formatting.short(first, 20)} to {formatting.short(last, 20)}"
            names.append(name)
        strips.append(_strip("Interpolations between pairs of test images", names, rows))
    if samples.units:
        names = []
        for unit in samples.units:
            low = formatting.number(unit.levels[0], 2)
            high = formatting.number(unit.levels[-1], 2)
            names.append(f"{unit_name(samples, unit.index)}: {low} to {high}")
        title = f"Traversals of the values with the largest {samples.score}"
        strips.append(_strip(title, names, [unit.images for unit in samples.units]))
    return strips


def _with_ends(item: Interpolation) -> Pixels:
    """Both inputs at the ends of the decoded images, if they have the same shape."""
    if item.ends.shape[1:] != item.images.shape[1:]:
        return item.images
    return np.concatenate([item.ends[:1], item.images, item.ends[1:]])


def _strip(title: str, names: list[str], rows: list[Pixels]) -> Strip:
    height, width = rows[0].shape[2:]
    factor = reduction_factor(max(height, width))
    reduced = [reduce(images, factor) for images in rows]
    image = compose_sheet(reduced, reduced[0].shape[2], reduced[0].shape[3])
    return Strip(
        title=title,
        row_names=names,
        columns=len(rows[0]),
        data_uri=to_data_uri(image),
        width=image.width,
        height=image.height,
        description=f"{title}; rows: {formatting.listed(names, 10)}",
    )
