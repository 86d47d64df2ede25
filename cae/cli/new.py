"""`cae-sweep new`: writes a sweep file from a template, or a copy of a sweep of the package."""

from __future__ import annotations

import difflib
import importlib.machinery
import importlib.resources
import json
import keyword
import os
import shlex
import sys
import sysconfig
from pathlib import Path

from cae.cli.output import echo
from cae.errors import UserError
from cae.files import check_output, write_whole
from cae.sweep.spec.packaged_sweeps import packaged_sweeps

TEMPLATES = {
    "digits": "small networks, images that come with scikit-learn",
    "photos": "a folder of your images",
    "arrays": "your images in npy, npz, safetensors or TIFF files",
    "denoise": "removing noise, by noise level",
    "network": "a network of your own",
    "search": "many parameters, chosen by a model of the results",
}
"""What each template is about; the files are cae/templates/NAME.py."""
NEEDS_IMAGES = ("photos", "arrays")
PLACEHOLDER = '"IMAGES"'
"""Stands for the path of the images in a template."""
ARRAYS_LINE = '        dataset=Arrays(path="IMAGES", shape=(1, 64, 64), value_range=(0, 65535)),'
"""The data set of the template of arrays."""
FEW_IMAGES = 400
"""With fewer images, what the templates say of epochs and of the quick budget does not fit."""
FOR_FEW_IMAGES = {
    "        epochs=20,": "        epochs=200,  # few images: an epoch has few steps",
    "ASHA(grace_epochs=1)": "ASHA(grace_epochs=50)",
    '"dataset.train_images": 200, "epochs": 3,': '"epochs": 20,',
}
"""What replaces parts of the templates if there are few images."""


def write_sweep_file(name: str, source: str, images: Path | None) -> None:
    """Write NAME.py and print what to do with it.

    Args:
        name: The file, with or without `.py`.
        source: A key of TEMPLATES, or the name of a sweep of the package, which is copied with its
            published numbers.
        images: Path of the user's images, for templates that need one; None: a placeholder.

    Raises UserError if the file exists, or an argument is invalid.
    """
    path = Path(name.removesuffix(".py") + ".py")
    _check_name(path)
    check_output(path)
    if source not in TEMPLATES:
        _check_packaged(source)
    if images is not None:
        if source not in NEEDS_IMAGES:
            raise UserError(
                f"--images {images}: only used by --from {' and --from '.join(NEEDS_IMAGES)}"
            )
        if not images.exists():
            raise UserError(f"--images {images}: does not exist")
    if source not in TEMPLATES:
        _copy_packaged(source, path)
        return
    text = template_text(source)
    if images is not None:
        text = _with_images(text, source, images, path)
    write_whole(path, text)
    echo(f"written: {path} ({TEMPLATES[source]})")
    if PLACEHOLDER in text:
        echo(f"replace {PLACEHOLDER} by the path of your images")
    _print_next_commands(path, "quick")


def _check_name(path: Path) -> None:
    """Raise UserError if a sweep file cannot have this name."""
    if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        raise UserError(
            f"{path}: a sweep file is named by letters, digits and underscores, such as my_sweep.py"
        )
    if _is_module(path.stem):
        raise UserError(
            f"{path}: {path.stem} is an installed Python module, which this file would replace in "
            f"its folder: choose another name, such as {path.stem}_sweep"
        )
    if os.path.lexists(path):
        raise UserError(f"{path} exists already: choose another name")


def sources() -> list[str]:
    """What a new sweep file can be made from: templates, and the sweeps of the package."""
    return [*TEMPLATES, *packaged_sweeps()]


def _check_packaged(source: str) -> None:
    if source in packaged_sweeps():
        return
    templates = ", ".join(TEMPLATES)
    names = ", ".join(packaged_sweeps())
    message = f"--from {source}: should be a template, {templates}, or a sweep, {names}"
    nearest = difflib.get_close_matches(source, sources(), n=1)
    if nearest:
        message += f"; did you mean {nearest[0]}?"
    raise UserError(message)


def _copy_packaged(source: str, path: Path) -> None:
    """Copy a sweep of the package and the published numbers that it names.

    Raises UserError, and writes nothing, if another file is where the numbers belong.
    """
    original = packaged_sweeps()[source]
    files = {path: original.read_bytes()}
    published = original.parent / "published" / f"{source}.csv"
    if published.is_file():
        copy = path.parent / "published" / published.name
        content = published.read_bytes()
        if copy.exists() and copy.read_bytes() != content:
            raise UserError(
                f"{copy} exists already with another content: the copy of {source} needs its "
                "published numbers there; choose another folder"
            )
        files = {copy: content, path: original.read_bytes()}
    for file, content in files.items():
        write_whole(file, content)
        echo(f"written: {file} (of the sweep {source})")
    _print_next_commands(path, "smoke")


def _print_next_commands(path: Path, budget: str) -> None:
    file = shlex.quote(str(path))
    echo(f"next: cae-sweep plan {file}; cae-sweep run {file}; --budget {budget} tries it out")


def _is_module(name: str) -> bool:
    """Whether a module of Python, of an installed package, or this package has a name."""
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    is_installed = importlib.machinery.PathFinder.find_spec(name, installed) is not None
    return name == "cae" or name in sys.stdlib_module_names or is_installed


def template_text(template: str) -> str:
    """The text of a template."""
    file = importlib.resources.files("cae").joinpath("templates", f"{template}.py")
    return file.read_text(encoding="utf-8")


def _with_images(text: str, template: str, images: Path, sweep_file: Path) -> str:
    """The text of a template with the user's images.

    Raises UserError if they cannot be read as arrays, for the template of arrays.
    """
    quoted = json.dumps(_path_for(images, sweep_file), ensure_ascii=False)
    if 0 < _count(template, images) < FEW_IMAGES:
        for part, other in FOR_FEW_IMAGES.items():
            text = text.replace(part, other)
    if template == "photos":
        return text.replace(PLACEHOLDER, quoted)
    from cae.trial.datasets.arrays import suggest_datasets

    suggested = suggest_datasets(images)
    if not suggested:
        raise UserError(f"--images {images}: contains no array of images; see cae-sweep data show")
    suggested = [line.replace(f'"{images.resolve()}"', quoted) for line in suggested]
    others = "".join(f"        # or: {dataset}\n" for dataset in suggested[1:])
    dataset, _, comment = suggested[0].partition("  # ")
    if comment:
        comment = f"  # {comment}"
    line = f"{others}        dataset={dataset},{comment}"
    start, _, end = text.partition(ARRAYS_LINE)
    return f"{start}{line}{end}"


def _count(template: str, images: Path) -> int:
    """How many images there are, of all splits.

    Raises UserError if they cannot be read as arrays, for the template of arrays.
    """
    if template == "photos":
        from cae.trial.datasets.folder_files import find_images

        return len(find_images(images))
    from cae.trial.datasets.array_files import open_arrays
    from cae.trial.datasets.array_names import find_arrays

    found = find_arrays(images, open_arrays(images), None, None)
    return sum(array.shape[0] for array in found.images.values())


def _path_for(images: Path, sweep_file: Path) -> str:
    """The path of the images for a sweep file: relative to its folder if both can be moved
    together, which are images below that folder, or both below the current folder."""
    folder = Path(os.path.abspath(sweep_file.parent))
    target = Path(os.path.abspath(images))
    are_here = folder.is_relative_to(Path.cwd()) and target.is_relative_to(Path.cwd())
    if are_here or target.is_relative_to(folder):
        return os.path.relpath(target, folder)
    return str(target)
