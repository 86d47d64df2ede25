"""Encoding a user's own images with an exported model: files of latent codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from cae.errors import UserError
from cae.files import check_is_no_input, check_output, write_output
from cae.run.formatting import spreadsheet_text
from cae.sweep.spec.sweep_file import load_components
from cae.trial.model import OTHER_CODE, read_model
from cae.trial.model_inputs import to_tensor
from cae.trial.user_images import (
    ReadingOptions,
    describe_warnings,
    find_user_files,
    read_user_images,
)


def encode_files(
    model_folder: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    sweep: Path | None,
    options: ReadingOptions,
) -> str:
    """Write the latent codes of images, with the name of each image beside its code.

    Returns what was written, with warnings about images that differ from the training images.
    Raises UserError for files that cannot be read, a suffix of an unknown format, and a network
    without an encoder.

    Args:
        model_folder: A folder that `best -o` wrote.
        paths: Images, arrays, and folders of images.
        out: The file to write; its suffix is its format (see WRITERS).
        sweep: The sweep file that defines components of the model.
        options: How the images are prepared.
    """
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise UserError(f"-o {out}: the suffix is the format; use {', '.join(WRITERS)}")
    check_output(out)
    if sweep:
        load_components(sweep)
    model = read_model(model_folder)
    inputs = model.input_format
    files, lines = find_user_files(paths)
    check_is_no_input(out, files)
    if model.has_other_code:
        lines.append(f"warning: {OTHER_CODE}")
    images, skipped = read_user_images(files, inputs, options)
    lines += skipped
    lines += describe_warnings(images, inputs)
    codes = model.encode_prepared(to_tensor(images)).numpy()
    write_output(out, write([image.name for image in images], codes))
    shape = " x ".join(map(str, codes.shape[1:]))
    lines.append(f"written: {out} ({len(codes)} latent codes of {shape} values, float32)")
    return "\n".join(lines)


def _npz(names: Sequence[str], codes: np.ndarray) -> bytes:
    """Arrays: `codes`, N x latent shape, `images`, N names, and `latent_shape`."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        images=np.array(names, dtype=str),
        codes=codes,
        latent_shape=np.array(codes.shape[1:], dtype=np.int64),
    )
    return buffer.getvalue()


def _csv(names: Sequence[str], codes: np.ndarray) -> bytes:
    """A row per image: `image`, and a column per value, such as code_0_3_2 for channel 0, row 3,
    column 2."""
    columns = ["image"]
    for position in product(*[range(length) for length in codes.shape[1:]]):
        columns.append("_".join(["code", *map(str, position)]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for name, code in zip(names, codes, strict=True):
        writer.writerow([spreadsheet_text(name), *code.ravel()])  # float32: the shortest digits
    return text.getvalue().encode("utf-8", "surrogateescape")


def _parquet(names: Sequence[str], codes: np.ndarray) -> bytes:
    """Columns `image` and `code`, a list of values in the order of C x H x W; `latent_shape` is in
    the metadata of the file."""
    import pyarrow
    import pyarrow.parquet

    values = pyarrow.array(codes.reshape(-1))
    lists = pyarrow.FixedSizeListArray.from_arrays(values, int(np.prod(codes.shape[1:])))
    texts = [name.encode("utf-8", "backslashreplace").decode() for name in names]
    table = pyarrow.table({"image": texts, "code": lists})
    latent_shape = json.dumps(list(codes.shape[1:]))
    table = table.replace_schema_metadata({"latent_shape": latent_shape})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Sequence[str], np.ndarray], bytes]] = {
    ".npz": _npz,
    ".parquet": _parquet,
    ".csv": _csv,
}
"""The content of a file by its suffix."""
