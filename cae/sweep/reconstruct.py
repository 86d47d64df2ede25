"""Applying an exported model to a user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cae.errors import UserError
from cae.files import check_is_no_input, check_output
from cae.sweep.reconstructed_files import (
    ARRAY_FORMATS,
    MAX_ROWS,
    find_format,
    write_arrays,
    write_image,
)
from cae.sweep.spec.sweep_file import load_components
from cae.trial.model import OTHER_CODE, apply_model, display_applied, read_model
from cae.trial.model_inputs import to_tensor
from cae.trial.user_images import (
    ReadingOptions,
    describe_warnings,
    find_user_files,
    read_user_images,
)


def reconstruct_files(
    model_folder: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    corrupt: bool,
    sweep: Path | None,
    options: ReadingOptions | None = None,
) -> str:
    """Apply a model to images and write inputs beside outputs, one row per image.

    Returns what was written, and what the task says about each image, such as its error, with
    warnings about images that differ from the training images. Raises UserError for files that
    cannot be read.

    Args:
        model_folder: A folder that `best -o` wrote.
        paths: Images, and folders of images.
        out: The file to write; its suffix is its format. An image shows inputs beside outputs; .npy
            contains the outputs in the type and range of the training images, .npz also the inputs.
        corrupt: Corrupt the images first, as in training.
        sweep: The sweep file that defines components of the model.
        options: How the images are prepared.
    """
    options = options or ReadingOptions()
    check_output(out)
    if sweep:
        load_components(sweep)
    model = read_model(model_folder)
    file_format = find_format(out, model.pixel_format)
    task = model.trial.task
    if corrupt and not task.corrupts:
        raise UserError(
            f"--corrupt would be ignored: the task {task.name!r} does not corrupt images at random"
        )
    files, lines = find_user_files(paths)
    check_is_no_input(out, files)
    if model.has_other_code:
        lines.append(f"warning: {OTHER_CODE}")
    inputs = model.input_format
    user_images, skipped = read_user_images(files, inputs, options)
    lines += skipped
    images = to_tensor(user_images)
    applied = apply_model(model, images, corrupt=corrupt)
    shown = display_applied(model, images, applied)
    for image, text in zip(user_images, shown.texts, strict=True):
        lines.append(f"{image.name}: {text}")
    lines += describe_warnings(user_images, inputs)
    if inputs.training is None:
        lines.append(
            "the model contains no statistics of its training images (it was exported by an older "
            "version): the images were not compared with them"
        )
    if file_format in ARRAY_FORMATS:
        lines.append(write_arrays(shown.columns, out, file_format, model.pixel_format))
        return "\n".join(lines)
    write_image([images for _, images in shown.columns], out, file_format)
    titles = ", ".join(title for title, _ in shown.columns)
    _, height, width = model.trial.dataset.image_shape
    lines.append(f"written: {out} (from left to right: {titles}; {width} x {height})")
    if len(user_images) > MAX_ROWS:
        lines.append(f"it shows the first {MAX_ROWS} of {len(user_images)} images")
    return "\n".join(lines)
