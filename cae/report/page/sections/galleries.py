"""What tasks picked out of the test images, or made: right and wrong answers, generated images."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cae.report import formatting
from cae.report.data.tables import Results
from cae.report.page.sections.base import Section
from cae.report.page.sections.reconstructions import LARGEST, Pixels, read_arrays, reduced

MOST_TRIALS = 4
WORST = "worst"
"""The gallery that is shown of the best trial only."""
MOST_IMAGES = 24
"""Of one gallery."""


def galleries(results: Results, _rows: list[dict[str, Any]]) -> Section:
    cards: list[dict[str, Any]] = []
    needed = results.trials[
        [
            results.record(row["run"], row["trial"]).is_dependency
            for row in results.trials.to_dict("records")
        ]
    ]
    trials = 0
    for index in [*results.ranked.index, *needed.index]:
        row = results.trials.loc[index]
        found = load(results.folder(row["run"]).trial(row["trial"]) / "galleries.npz")
        trials += bool(found)
        if found and trials <= MOST_TRIALS:
            cards += [
                {"key": int(index), "label": results.labels[index], "name": name, "images": images}
                for name, images in found
                if name != WORST or trials == 1
            ]
    if not cards:
        return Section(
            "galleries",
            "What the tasks picked out",
            "No task has picked out or made images of its own.",
            empty=True,
        )
    cut = f"; the first {MOST_TRIALS} are shown" if trials > MOST_TRIALS else ""
    return Section(
        "galleries",
        "What the tasks picked out",
        f"{formatting.plural(trials, 'trial has', 'trials have')} pictures of their own, by the weights of the best epoch{cut}.",
        how="Made by each trial's task at its end, from the test images; the worst ones (target above output) are shown of the best trial. "
        "trials/*/galleries.npz hold them.",
        data={"cards": cards},
    )


def load(path: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each gallery's name, and its images as data URIs with captions; nothing where the file is damaged."""
    found = read_arrays(path, "names")
    places = {
        str(name): (f"images_{place}", f"captions_{place}")
        for place, name in enumerate(found.get("names", []))
    }
    if not all(key in found for keys in places.values() for key in keys):
        return []
    stored = [
        (name, found[images], [str(said) for said in found[captions]])
        for name, (images, captions) in places.items()
    ]
    pictures = all(
        images.ndim == 4 and images.dtype == np.uint8 and images.shape[1] in (1, 3)
        for _, images, _ in stored
    )
    whole = pictures and all(len(images) == len(said) for _, images, said in stored)
    return (
        [(name, _shown(images[:MOST_IMAGES], said)) for name, images, said in stored if len(images)]
        if whole
        else []
    )


def _shown(images: Pixels, captions: list[str]) -> list[dict[str, Any]]:
    factor = -(-max(images.shape[2:]) // LARGEST)
    small = reduced(images, factor).transpose(0, 2, 3, 1)
    shown = []
    for pixels, said in zip(small, captions, strict=False):
        buffer = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
            buffer, "PNG", optimize=True
        )
        source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        shown.append({"source": source, "caption": formatting.short(said, 60)})
    return shown
