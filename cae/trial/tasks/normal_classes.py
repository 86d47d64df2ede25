"""The normal classes of a task: numbers or names of classes, and whether they have images."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import PlainValidator

MAX_LISTED = 20


def _number_or_name(value: object) -> object:
    is_number = type(value) is int and value >= 0
    is_name = isinstance(value, str) and value != ""
    if not (is_number or is_name):
        raise ValueError("should be the number of a class, from 0, or its name")
    return value


ClassName = Annotated[int | str, PlainValidator(_number_or_name)]
"""A class by its number or its name."""


def class_numbers(
    normal_classes: Sequence[int | str], class_names: Sequence[str], dataset: str = "the data set"
) -> list[int]:
    """Return the numbers of classes that are given by number or name.

    Raises ValueError for an unknown or repeated class, and if no class is left for anomalies.
    Without `class_names`, any number is valid, and no name.
    """
    numbers: list[int] = []
    for item in normal_classes:
        number = _class_number(item, class_names, dataset)
        if number in numbers:
            raise ValueError(
                f"task.normal_classes = {tuple(normal_classes)}: {item!r} is there twice"
            )
        numbers.append(number)
    if class_names and len(numbers) == len(class_names):
        raise ValueError(
            f"task.normal_classes = {tuple(normal_classes)}: these are all classes of {dataset}; "
            "leave out those whose images are anomalous"
        )
    return numbers


def _class_number(item: int | str, class_names: Sequence[str], dataset: str) -> int:
    if isinstance(item, int):
        if class_names and item >= len(class_names):
            raise ValueError(
                f"task.normal_classes: {dataset} has no class {item}; its classes are 0 to "
                f"{len(class_names) - 1}"
            )
        return item
    if item in class_names:
        return list(class_names).index(item)
    if not class_names:
        raise ValueError(
            f"task.normal_classes: the classes of {dataset} have no names, such as {item!r}; use "
            "numbers"
        )
    nearest = difflib.get_close_matches(item, class_names, n=1)
    hint = f"its classes are {', '.join(class_names[:MAX_LISTED])}"
    if nearest:
        hint = f"did you mean {nearest[0]!r}?"
    raise ValueError(f"task.normal_classes: {dataset} has no class {item!r}; {hint}")


def check_normal_images(
    normal_classes: Sequence[int | str],
    dataset: Any,
    images: Any,
    val_needed: int,
    quantile: float,
) -> None:
    """Raise ValueError unless every split has the images that the task needs.

    Args:
        normal_classes: Numbers or names.
        dataset: The Dataset.
        images: Its Images.
        val_needed: Number of normal validation images.
        quantile: The quantile of their scores that needs so many.
    """
    names = images.class_names
    setting = f"task.normal_classes = {tuple(normal_classes)}"
    numbers = class_numbers(normal_classes, names, dataset.name)
    counts = {}
    for where in ("train", "val", "test"):
        labels = getattr(images, where).labels
        counts[where] = int(np.isin(labels, numbers).sum())
    if counts["train"] < 2:
        raise ValueError(
            f"{setting}: {dataset.name} has {counts['train']} training images of these classes: "
            "at least 2 are needed; raise dataset.train_images or choose other classes"
        )
    if counts["val"] < val_needed:
        raise ValueError(
            f"{setting}: {dataset.name} has {counts['val']} validation images of these classes, "
            f"and task.threshold_quantile = {quantile:g} needs at least {val_needed}: raise "
            "dataset.val_images or choose a smaller quantile"
        )
    anomalous = len(images.test.labels) - counts["test"]
    for kind, count in (("normal", counts["test"]), ("anomalous", anomalous)):
        if count == 0:
            raise ValueError(
                f"{setting}: {dataset.name} has no {kind} test image: there is nothing to compare; "
                "check dataset.classes and dataset.test_images"
            )
