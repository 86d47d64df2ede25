"""Images that a trial is evaluated on, although a network that it uses was trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cae.sweep.spec.candidates import Candidate, dataset_key, with_dependencies
from cae.trial.config import Trial
from cae.trial.datasets import Dataset, Images
from cae.trial.datasets.splits import pixel_blocks
from cae.trial.messages import ConfigError
from cae.trial.tasks import Task

MAX_SHARE = 0.01
"""A larger share of common images is no accident: data sets have some images twice."""
SPLIT_NAMES = {"val": "validation", "test": "test"}


def check_leakage(candidates: Iterable[Candidate], images: Mapping[str, Images]) -> None:
    """Raise ConfigError if a trial depends on a network that was trained on its test images.

    If the trial starts from the weights of that network, neither may its validation images be
    among them: networks are ranked by these. One that only judges images may have seen them.

    Images are compared by their pixels, so that it does not matter how they were divided.

    Args:
        candidates: The trials.
        images: Those of all trials and of their dependencies, by `dataset_key`.
    """
    errors: dict[str, None] = {}  # an ordered set
    digests = _Digests(images)
    for candidate in candidates:
        trial = candidate.trial
        starts_from_weights = type(trial.task).start_from is not Task.start_from
        for name, dependency in trial.dependencies().items():
            for used in with_dependencies(dependency):
                error = _common_images(trial, used, digests, with_val=starts_from_weights)
                if error:
                    errors[f"task.{name} {error}"] = None
    if errors:
        raise ConfigError(list(errors))


class _Digests:
    """Hashes of the images of a split, by data set; each is computed once."""

    def __init__(self, images: Mapping[str, Images]) -> None:
        self._images = images
        self._known: dict[tuple[str, str], list[int]] = {}

    def of(self, key: str, split: str) -> list[int]:
        if (key, split) not in self._known:
            hashes = []
            for block in pixel_blocks(getattr(self._images[key], split).pixels):
                hashes += [hash(image.tobytes()) for image in block]
            self._known[key, split] = hashes
        return self._known[key, split]


def _common_images(trial: Trial, used: Trial, digests: _Digests, *, with_val: bool) -> str:
    """What is wrong with the data set of a dependency; empty if nothing is."""
    own_key = dataset_key(trial.dataset)
    used_key = dataset_key(used.dataset)
    if own_key == used_key:
        return ""
    splits = ["test"]
    if with_val:
        splits.append("val")
    # What is also among the trial's own training images is in the data set twice.
    trained = set(digests.of(used_key, "train")) - set(digests.of(own_key, "train"))
    for split in splits:
        evaluated = digests.of(own_key, split)
        count = sum(digest in trained for digest in evaluated)
        if count > MAX_SHARE * len(evaluated):
            return (
                f"is trained on {count} of the {len(evaluated)} {SPLIT_NAMES[split]} images: "
                f"{_differences(trial.dataset, used.dataset)}; give both the same values"
            )
    return ""


def _differences(own: Dataset, used: Dataset) -> str:
    """How the data set of a dependency differs from the trial's."""
    if type(own) is not type(used):
        return f"its dataset is {used.name}, that of the trial {own.name}"
    texts = []
    for name in type(own).model_fields:
        value = getattr(own, name)
        used_value = getattr(used, name)
        if value != used_value:
            texts.append(f"its dataset.{name} is {used_value}, that of the trial {value}")
    return " and ".join(texts)
