"""Maps of the latent code: a panel per trial, a point per test image, a color per class.

The script latent_map.js shows the image of a point beside the pointer. It finds the image by
the number of the point: the images are ordered by class, and `meta` of a trace is the number of its
first image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import plotly.graph_objects as go

from cae.report import formatting
from cae.report.data.latent_samples import LatentSamples
from cae.report.data.results import Results
from cae.report.page.figures import style
from cae.report.statistics.latent_maps import LatentMap, MappedTrial, Projection, latent_maps

MAX_LEGEND = 24
"""With more classes there is no legend; the name is shown at each point."""
PANEL_HEIGHT = 380


@dataclass(frozen=True)
class ClassOfImages:
    """Images of a class, which follow each other in the order of the samples."""

    number: int
    name: str
    first: int
    """Position of the first one."""
    count: int

    @property
    def positions(self) -> slice:
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True)
class MapPanel:
    trial: MappedTrial
    map: LatentMap


@dataclass(frozen=True)
class MapsData:
    metric: str
    classes: list[ClassOfImages]
    panels: list[MapPanel]


def main_maps(results: Results) -> MapsData:
    """The codes themselves if they have two values, else their principal components."""
    return _maps(results, (Projection.CODE, Projection.PCA))


def tsne_maps(results: Results) -> MapsData:
    return _maps(results, (Projection.TSNE,))


def umap_maps(results: Results) -> MapsData:
    return _maps(results, (Projection.UMAP,))


def _maps(results: Results, projections: tuple[Projection, ...]) -> MapsData:
    trials = latent_maps(results).trials
    panels: list[MapPanel] = []
    for trial in trials:
        for projection in projections:
            if projection in trial.maps:
                panels.append(MapPanel(trial, trial.maps[projection]))
    classes: list[ClassOfImages] = []
    if trials:
        classes = classes_of(trials[0].samples)
    return MapsData(results.metric, classes, panels)


def classes_of(samples: LatentSamples) -> list[ClassOfImages]:
    """The classes of the images; a single one without a number if they have none."""
    if not samples.has_classes:
        return [ClassOfImages(0, "test image", 0, len(samples.codes))]
    classes: list[ClassOfImages] = []
    first = 0
    for label, members in groupby(samples.labels.tolist()):
        count = len(list(members))
        classes.append(ClassOfImages(int(label), samples.class_name(int(label)), first, count))
        first += count
    return classes


def draw_maps(data: MapsData) -> go.Figure:
    figure = go.Figure()
    for number, panel in enumerate(data.panels):
        _draw_panel(figure, data, panel, number)
    panels = max(1, len(data.panels))
    style.set_layout(figure, height=PANEL_HEIGHT, panels=panels, columns=panels)
    figure.update_layout(showlegend=1 < len(data.classes) <= MAX_LEGEND)
    figure.update_layout(legend={"itemsizing": "constant"})
    return figure


def _draw_panel(figure: go.Figure, data: MapsData, panel: MapPanel, number: int) -> None:
    points = panel.map.points
    for of_class in data.classes:
        name = style.escaped(of_class.name)
        figure.add_scatter(
            x=style.compact(points[of_class.positions, 0]),
            y=style.compact(points[of_class.positions, 1]),
            mode="markers",
            name=name,
            legendgroup=name,
            showlegend=number == 0,
            marker=style.class_marker(of_class.number),
            hovertemplate=f"{name}<extra></extra>",
            meta={"first": of_class.first},
            **style.panel_axes(number),
        )
    suffix = style.panel_suffix(number)
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "automargin": True}
    y_axis = axis | {"scaleanchor": f"x{suffix}"}
    if panel.map.projection == Projection.CODE:
        axis |= {"showticklabels": True, "showgrid": True}
        y_axis |= {"showticklabels": True, "showgrid": True}
    x_axis = axis | {"title": {"text": _title(data.metric, panel), "standoff": 8}}
    figure.update_layout({f"xaxis{suffix}": x_axis, f"yaxis{suffix}": y_axis})


def _title(metric: str, panel: MapPanel) -> str:
    """What is written below a panel, in two lines."""
    value = formatting.number(panel.trial.value)
    name = style.escaped(f"{panel.trial.label}: {metric} {value}", 60)
    facts = formatting.plural(panel.trial.samples.latent_values, "value")
    quality = panel.map.trustworthiness
    if panel.map.projection != Projection.CODE and math.isfinite(quality):
        facts += f", trustworthiness {formatting.number(quality, 2)}"
    return f"{name}<br>{facts}"
