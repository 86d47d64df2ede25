"""All data sets: list them, and download one by its name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from cae.errors import UserError
from cae.trial.datasets.base import Dataset, InventoryEntry


def list_datasets(folders: Sequence[Path]) -> list[InventoryEntry]:
    """Return an entry for every data set, and one for every imported folder in `folders`."""
    entries = []
    for dataset in Dataset.registry.values():
        entries.extend(dataset.inventory(folders))
    return entries


def fetch(name: str, folder: Path) -> Path | None:
    """Download a data set into `folder`; return the folder that contains its files, or None if it
    needs no files.

    `name` is a name in snake_case, or how the data set is written otherwise: `mnist`, `MNIST`,
    `FashionMNIST`, `CIFAR-10`. Raises UserError.
    """
    dataset = find_dataset(name)
    if dataset is None:
        close = difflib.get_close_matches(name.lower(), Dataset.registry, n=1)
        hint = ""
        if close:
            hint = f"did you mean {close[0]!r}? "
        names = ", ".join(sorted(Dataset.registry))
        raise UserError(f"name = {name!r}: unknown data set; {hint}there are {names}")
    return dataset.download(folder)


def find_dataset(name: str) -> type[Dataset] | None:
    """Return the data set of a name in any spelling; None if there is none."""
    by_letters = {_letters(known): dataset for known, dataset in Dataset.registry.items()}
    return by_letters.get(_letters(name))


def _letters(name: str) -> str:
    """Lower case letters and digits of a name."""
    return "".join(character for character in name.lower() if character.isalnum())
