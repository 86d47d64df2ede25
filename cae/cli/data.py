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
    from cae.trial.datasets.image_files import FolderStatistics

MAX_CLASSES = 10
"""Classes whose numbers of images are printed."""
MAX_SKIPPED = 20
"""Skipped files that are printed with their reasons."""

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
    size: Annotated[
        str,
        typer.Option(metavar="N|HxW", help="Height and width in pixels: 64, or 96x160."),
    ] = "64",
    fit: Annotated[
        Literal["crop", "pad", "stretch"],
        typer.Option(
            help=(
                "Images of another shape. crop: to the center. pad: keep all, with the color of "
                "the border. stretch: distort."
            )
        ),
    ] = "crop",
    color: Annotated[bool, typer.Option("--color/--gray", help="3 channels or 1.")] = True,
    max_value: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Value of white in gray images of more than 8 bits: 4095 for 12. Default: 65535.",
        ),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv",
            help="Splits of the files: a CSV file with the columns file, split and maybe class.",
        ),
    ] = None,
    class_folders: Annotated[
        Literal["first", "all"],
        typer.Option(help="Class of a/b/1.png. first: a. all: a/b."),
    ] = "first",
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
            parse_size(size),
            channels,
            max_value=max_value,
            fit=fit,
            class_folders=class_folders,
            splits=splits,
            skip_damaged=skip_damaged,
            replace=replace,
        )
        echo("\n".join(_describe_import(imported)))


@data_app.command("show")
def data_show(
    path: Annotated[
        Path,
        typer.Argument(
            help="File of arrays (.npy, .npz, .safetensors, .tif), or a folder of .npy files.",
            callback=expand_home,
        ),
    ],
) -> None:
    """Show what a file of arrays contains, and the line to write into a sweep file."""
    with report_errors():
        from cae.errors import UserError
        from cae.trial.datasets.arrays import describe_file

        if not path.exists():
            raise UserError(f"{path} does not exist")
        echo("\n".join(describe_file(path)))


def parse_size(text: str) -> int | tuple[int, int]:
    """Return the size of `64` or `96x160`. Raises UserError."""
    from cae.errors import UserError

    parts = text.lower().replace(",", "x").split("x")
    is_valid = 1 <= len(parts) <= 2 and all(part.strip().isdecimal() for part in parts)
    numbers = [int(part) for part in parts] if is_valid else []
    if not is_valid or min(numbers) < 1:
        raise UserError(
            f"--size {text}: should be a number of pixels above 0, such as 64, or height x width, "
            "such as 96x160"
        )
    if len(numbers) == 1:
        return numbers[0]
    return numbers[0], numbers[1]


def _describe_import(imported: Import) -> list[str]:
    """What was imported, what was done to it, where it is, and how it is used."""
    dataset = imported.dataset
    shape = " x ".join(map(str, dataset.image_shape))
    total = sum(imported.images_per_class.values())
    classes = _list_classes(imported.images_per_class)
    lines = [
        f"{dataset.path}: {total:,} images of {len(imported.images_per_class)} classes ({classes})"
    ]
    if len(imported.counts) > 1:
        for split, counts in imported.counts.items():
            lines.append(f"  {split}: {sum(counts.values()):,} ({_list_classes(counts)})")
    return [
        *lines,
        *_describe_files(imported.statistics),
        # Skipped files are listed above, with more of their names.
        *(f"  {note}" for note in imported.notes if " skipped: " not in note),
        f"  stored as {shape} in {imported.folder}",
        f"use it as: {imported.line}",
    ]


def _list_classes(counts: dict[str, int]) -> str:
    listed = [f"{name} {count}" for name, count in counts.items() if count]
    classes = ", ".join(listed[:MAX_CLASSES])
    if len(listed) > MAX_CLASSES:
        classes += ", ..."
    return classes


def _describe_files(statistics: FolderStatistics) -> list[str]:
    """Formats, types and sizes of the files, and why others were skipped."""
    formats = ", ".join(f"{name} {count}" for name, count in statistics.formats.items())
    modes = ", ".join(f"{name} {count}" for name, count in statistics.modes.items())
    widths = [width for width, _ in statistics.sizes]
    heights = [height for _, height in statistics.sizes]
    (width, height), count = max(statistics.sizes.items(), key=lambda item: item[1])
    lines = [
        f"  formats: {formats}",
        f"  pixels: {modes} (L: gray, P: palette, A: with transparency, I;16: 16 bits)",
        f"  width {min(widths)} to {max(widths)}, height {min(heights)} to {max(heights)}, "
        f"{len(statistics.sizes)} sizes; the most frequent, {width} x {height}, {count} times",
    ]
    for skipped in statistics.skipped[:MAX_SKIPPED]:
        lines.append(f"  skipped: {skipped.name}: {skipped.reason}")
    if len(statistics.skipped) > MAX_SKIPPED:
        lines.append(f"  skipped: {len(statistics.skipped) - MAX_SKIPPED} more files")
    return lines
