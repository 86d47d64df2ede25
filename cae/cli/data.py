"""`cae-sweep data`: list, download and import data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cae.cli.errors import report_errors
from cae.cli.options import DataDir

data_app = typer.Typer(help="List, download and import data sets.", no_args_is_help=True)


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """List the data sets: where they are, how many images they have, how to get missing ones."""
    with report_errors():
        from cae.cli import tables

        tables.print_datasets(data_dir)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion_mnist or cifar10.")],
    data_dir: DataDir = None,
) -> None:
    """Download a data set with torchvision."""
    with report_errors():
        from cae.trial import datasets

        folder = datasets.fetch(name, datasets.data_folders(data_dir)[0])
        if folder:
            print(f"{name}: {folder}")
        else:
            print(f"{name}: nothing to download: it is included in scikit-learn")


@data_app.command("import")
def data_import(
    source: Annotated[Path, typer.Argument(help="Folder of images; its subfolders are classes.")],
    name: Annotated[str, typer.Argument(help="Name for ImageFolder(path=NAME).")],
    size: Annotated[int, typer.Option(min=1, help="Width and height in pixels.")] = 64,
    color: Annotated[bool, typer.Option("--color/--gray", help="3 channels or 1.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Import a folder of images: read, resize and store them once."""
    with report_errors():
        from cae.trial import datasets

        channels: Literal[1, 3] = 1
        if color:
            channels = 3
        folder = datasets.data_folders(data_dir)[0]
        path = datasets.import_folder(source, name, folder, size, channels)
        print(f"{name}: {path}")
