"""`cae-sweep new`: writes a sweep file from a template."""

from __future__ import annotations

import importlib.resources
import json
import keyword
import shlex
from pathlib import Path

from cae.cli.output import echo
from cae.errors import UserError
from cae.files import write_whole

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


def write_sweep_file(name: str, template: str, images: Path | None) -> None:
    """Write NAME.py and print what to do with it.

    Args:
        name: The file, with or without `.py`.
        template: A key of TEMPLATES.
        images: Path of the user's images, for templates that need one; None: a placeholder.

    Raises UserError if the file exists, or an argument is invalid.
    """
    path = Path(name.removesuffix(".py") + ".py")
    if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        raise UserError(
            f"{path}: a sweep file is named by letters, digits and underscores, such as my_sweep.py"
        )
    if path.exists():
        raise UserError(f"{path} exists already: choose another name")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist")
    text = template_text(template)
    if images is not None:
        if template not in NEEDS_IMAGES:
            raise UserError(
                f"--images {images}: only used by --from {' and --from '.join(NEEDS_IMAGES)}"
            )
        if not images.exists():
            raise UserError(f"--images {images}: does not exist")
        text = _with_images(text, template, images)
    write_whole(path, text)
    echo(f"written: {path} ({TEMPLATES[template]})")
    if PLACEHOLDER in text:
        echo(f"replace {PLACEHOLDER} by the path of your images")
    file = shlex.quote(str(path))
    echo(f"next: cae-sweep plan {file}; cae-sweep run {file}; --budget quick tries it out")


def template_text(template: str) -> str:
    """The text of a template."""
    file = importlib.resources.files("cae").joinpath("templates", f"{template}.py")
    return file.read_text(encoding="utf-8")


def _with_images(text: str, template: str, images: Path) -> str:
    """The text of a template with the user's images.

    Raises UserError if they cannot be read as arrays, for the template of arrays.
    """
    if template == "photos":
        return text.replace(PLACEHOLDER, json.dumps(str(images.resolve()), ensure_ascii=False))
    from cae.trial.datasets.arrays import suggest_datasets

    suggested = suggest_datasets(images)
    if not suggested:
        raise UserError(f"--images {images}: contains no array of images; see cae-sweep data show")
    others = "".join(f"        # or: {dataset}\n" for dataset in suggested[1:])
    dataset, _, comment = suggested[0].partition("  # ")
    if comment:
        comment = f"  # {comment}"
    line = f"{others}        dataset={dataset},{comment}"
    start, _, end = text.partition(ARRAYS_LINE)
    return f"{start}{line}{end}"
