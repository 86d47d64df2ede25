"""All data sets: list them, and download one by its name."""

from __future__ import annotations

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
    needs no files. Raises UserError."""
    if name not in Dataset.registry:
        raise UserError(
            f"name = {name!r}: unknown data set; there are {', '.join(sorted(Dataset.registry))}"
        )
    dataset: type[Dataset] = Dataset.registry[name]
    return dataset.download(folder)
