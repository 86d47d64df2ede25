"""Images that tasks selected from the test images or generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cae.report import formatting
from cae.report.data.results import Results
from cae.report.page.images import (
    Pixels,
    is_image_batch,
    read_arrays,
    reduce,
    reduction_factor,
    to_data_uri,
)
from cae.report.page.section import Scope, SectionContent, section

MAX_TRIALS = 4
MAX_IMAGES = 24
"""Per gallery."""
MAX_CAPTION_LENGTH = 60
WORST = "worst"
"""Name of the gallery that is only shown for the best trial."""


@dataclass(frozen=True)
class GalleryImage:
    source: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    label: str
    """Label of the trial."""
    name: str
    images: list[GalleryImage]


@dataclass(frozen=True, kw_only=True)
class GalleriesContent(SectionContent):
    galleries: Sequence[Gallery] = ()


@section("galleries", title="Images from the tasks", order=140, scope=Scope.GROUP_AND_DEPENDENCIES)
def galleries_section(results: Results) -> SectionContent:
    galleries: list[Gallery] = []
    trials = 0
    unranked = results.trials.index.difference(results.ranked.index, sort=False)
    for index in [*results.ranked.index, *unranked]:
        row = results.trials.loc[index]
        is_ranked = index in results.ranked.index
        if not is_ranked and not results.record(row["run"], row["trial"]).is_dependency:
            continue
        run = results.folder(row["run"])
        path = run.trial(row["trial"]) / "galleries.npz"
        if not run.contains(path):
            continue
        of_trial = load_galleries(path, results.labels[index])
        if trials:
            of_trial = [gallery for gallery in of_trial if gallery.name != WORST]
        if not of_trial:
            continue
        trials += 1
        if trials <= MAX_TRIALS:
            galleries += of_trial
    if not galleries:
        return GalleriesContent(
            verdict="No task selected or generated images of its own.", is_empty=True
        )
    shown = ""
    if trials > MAX_TRIALS:
        shown = f"; the first {MAX_TRIALS} are shown"
    trials_have = formatting.plural(trials, "trial has", "trials have")
    return GalleriesContent(
        verdict=(
            f"{trials_have} images of their task, made with the weights of the best epoch{shown}."
        ),
        method=(
            "Each task makes its images from the test images when the trial ends. The test images "
            "with the largest error (target above output) are only shown for the best trial. "
            "trials/*/galleries.npz contains all images."
        ),
        galleries=galleries,
    )


def load_galleries(path: Path, label: str) -> list[Gallery]:
    """Read the galleries of a trial. Returns none if the file is missing or damaged."""
    arrays = read_arrays(path, "names")
    galleries = []
    for number, name in enumerate(arrays.get("names", [])):
        images = arrays.get(f"images_{number}")
        captions = arrays.get(f"captions_{number}")
        if images is None or captions is None or not is_image_batch(images):
            return []
        if captions.shape != (len(images),):
            return []
        if len(images):
            pixels = images[:MAX_IMAGES].astype(np.uint8, copy=False)
            texts = [str(caption) for caption in captions]
            galleries.append(Gallery(label, str(name), _to_images(pixels, texts)))
    return galleries


def _to_images(batch: Pixels, captions: list[str]) -> list[GalleryImage]:
    factor = reduction_factor(max(batch.shape[2:]))
    images = []
    for pixels, caption in zip(reduce(batch, factor), captions, strict=False):
        if pixels.shape[0] == 1:
            image = Image.fromarray(pixels[0])
        else:
            image = Image.fromarray(pixels.transpose(1, 2, 0))
        short_caption = formatting.short(caption, MAX_CAPTION_LENGTH)
        images.append(GalleryImage(to_data_uri(image), short_caption))
    return images
