"""`cae-sweep data`: list, download and import data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cae.cli.errors import report_errors
from cae.cli.options import DataDir, expand_home
from cae.cli.output import echo

if TYPE_CHECKING:
    from cae.trial.datasets import Import

MAX_CLASSES = 10
"""Classes whose numbers of images are printed."""

data_app = typer.Typer(help="List, download and import data sets.", no_args_is_help=True)


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """List the data sets: where they are, how many images they have, how to get missing ones."""
    with report_errors():
        from cae.cli import tables

        tables.print_datasets(data_dir)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion_mnist or cifar10, in any spelling.")],
    data_dir: DataDir = None,
) -> None:
    """Download a data set with torchvision."""
    with report_errors():
        from cae.trial import datasets

        folder = datasets.fetch(name, datasets.data_folders(data_dir)[0])
        if folder is None:
            echo(f"{name}: nothing to download: it is included in scikit-learn")
        else:
            echo(f"{name}: {folder}")
            dataset = datasets.find_dataset(name)
            if dataset is not None:
                echo(f"use it as: {dataset.__name__}()")


@data_app.command("import")
def data_import(
    source: Annotated[
        Path,
        typer.Argument(
            help=(
                "Folder of images; its subfolders are classes. Subfolders train, val and test are "
                "splits, whose subfolders are classes."
            ),
            callback=expand_home,
        ),
    ],
    name: Annotated[str, typer.Argument(help="Name for ImageFolder(path=NAME).")],
    size: Annotated[int, typer.Option(min=1, help="Width and height in pixels.")] = 64,
    color: Annotated[bool, typer.Option("--color/--gray", help="3 channels or 1.")] = True,
    max_value: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Value of white in gray images of more than 8 bits: 4095 for 12. Default: 65535.",
        ),
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out images that cannot be read.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an earlier import of this name.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Import a folder of images: read, resize and store them once."""
    with report_errors():
        from cae.trial import datasets

        channels: Literal[1, 3] = 1
        if color:
            channels = 3
        imported = datasets.import_folder(
            source,
            name,
            datasets.data_folders(data_dir)[0],
            size,
            channels,
            max_value=max_value,
            skip_damaged=skip_damaged,
            replace=replace,
        )
        echo("\n".join(_describe_import(imported)))


def _describe_import(imported: Import) -> list[str]:
    """What was imported, what was done to it, where it is, and how it is used."""
    counts = imported.images_per_class
    classes = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:MAX_CLASSES])
    if len(counts) > MAX_CLASSES:
        classes += ", ..."
    shape = " x ".join(map(str, imported.dataset.image_shape))
    dataset = imported.dataset
    return [
        f"{dataset.path}: {sum(counts.values()):,} images of {len(counts)} classes ({classes})",
        *(f"  {note}" for note in imported.notes),
        f"  stored as {shape} in {imported.folder}",
        f'use it as: ImageFolder(path="{dataset.path}", size={dataset.size}, '
        f"channels={dataset.channels})",
    ]
