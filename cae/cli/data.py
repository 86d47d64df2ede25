"""`cae-sweep data`: the images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cae.cli.options import DataDir, mistakes_told

data_app = typer.Typer(
    help="The images: what is there, where, and how to get what is not.", no_args_is_help=True
)


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """Which data sets are here, where, and how many images they hold."""
    with mistakes_told():
        from cae.cli import tables

        tables.show_data(data_dir)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion_mnist or cifar10.")],
    data_dir: DataDir = None,
) -> None:
    """Download a data set by torchvision."""
    with mistakes_told():
        from cae.trial.datasets import base as datasets

        print(
            f"{name}: {datasets.fetch(name, datasets.data_folders(data_dir)[0]) or 'nothing to fetch, it comes with scikit-learn'}"
        )


@data_app.command("import")
def data_import(
    source: Annotated[
        Path, typer.Argument(help="A folder of pictures; its subfolders are the classes.")
    ],
    name: Annotated[str, typer.Argument(help="What ImageFolder(path=NAME) shall find it by.")],
    size: Annotated[int, typer.Option(min=1, help="Pixels a side.")] = 64,
    colour: Annotated[bool, typer.Option("--colour/--grey", help="3 channels or 1.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Bring in a folder of pictures: read, fitted and stored once."""
    with mistakes_told():
        from cae.trial.datasets import base as datasets

        channels: Literal[1, 3] = 3 if colour else 1
        print(
            f"{name}: {datasets.import_folder(source, name, datasets.data_folders(data_dir)[0], size, channels)}"
        )
