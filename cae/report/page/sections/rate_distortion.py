"""Loss and probe accuracy against the size of the latent code."""

from __future__ import annotations

import pandas as pd

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.figures import Figure
from cae.report.page.figures.rate_distortion import (
    FLOOR_STYLES,
    draw_rate_distortion,
    rate_distortion_data,
)
from cae.report.page.section import SectionContent, section
from cae.report.page.table import Table, make_table
from cae.report.statistics.rate_distortion import ACCURACY, PCA, RateDistortion
from cae.report.wording.latent_code import code_sentence, size_sentence


@section(
    "rate_distortion",
    title="Latent size: loss and probe accuracy",
    order=132,
    figures=[Figure("rate_distortion", rate_distortion_data, draw_rate_distortion)],
)
def rate_distortion_section(results: Results) -> SectionContent:
    data = rate_distortion_data(results)
    if len(data.sizes) < 2 and not data.has_accuracy:
        return SectionContent(
            verdict="Finished trials do not differ in the size of their latent code.",
            is_empty=True,
            is_left_out=True,
        )
    caption = f"{data.loss} against the size of the latent code"
    if data.has_accuracy:
        caption = f"{data.loss} and {ACCURACY} against the size of the latent code"
    sentences = [size_sentence(data)]
    if data.has_accuracy:
        sentences.append(code_sentence(data))
    return SectionContent(
        verdict=formatting.sentences(sentences),
        method=_method(data, results.metric),
        captions={"rate_distortion": caption},
        tables=[_table(data, results.metric)],
        open_tables=0,
    )


def _method(data: RateDistortion, metric: str) -> str:
    sentences = [
        "Only finished trials with a latent code are included. The latent size is that of one "
        f"image. The best trial of each size is the best by {metric}."
    ]
    if data.has_accuracy:
        sentences.append(
            "The probe accuracy is that of a linear classifier of the test images by their codes. "
            "Dashed lines are the same measure of other codes: the principal components of the "
            "images, as many as the code has values, the same encoder with random weights, and the "
            "pixels. Configurations are compared by the means over their seeds; the interval of a "
            "difference is widened for the number of configurations (Bonferroni)."
        )
    if PCA in data.loss_floors:
        sentences.append(
            f"{data.loss}_{PCA} is the loss of the images restored from as many principal "
            f"components, of a fixed sample of the test images (1,000 at most): {data.loss} is "
            "that of all."
        )
    if not data.has_accuracy:
        sentences.append(
            f"No trial has {ACCURACY}: the sweep has latent=False, an older version trained them "
            "(--retry latent measures them), or there are no labels."
        )
    return " ".join(sentences)


def _table(data: RateDistortion, metric: str) -> Table:
    """The best trial of each size, with the floors."""
    best = data.trials[data.trials["is_best"]].sort_values("size")
    columns = {"latent size": best["size"].astype(int), "best trial": best["label"]}
    columns[data.loss] = best["loss"]
    table = pd.DataFrame(columns)
    if data.has_accuracy:
        table[ACCURACY] = best["accuracy"]
    for metric_name, floors in ((data.loss, data.loss_floors), (ACCURACY, data.accuracy_floors)):
        for name, frame in floors.items():
            by_size = frame.set_index("size")["value"]
            label = FLOOR_STYLES[name][0]
            table[f"{metric_name} of {label}"] = best["size"].map(by_size)
    return make_table(f"Best trial of each latent size by {metric}", table)
