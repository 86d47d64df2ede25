"""The files of image data sets: where they may lie, and their formats, believed only as far as they can be checked.

Every reader returns uint8 pixels, N x C x H x W, with int64 labels, N, or raises DatasetDamaged with the file, what was expected
and what was found. Nothing here runs code that a file brings along: CIFAR-10's pickles pass through an unpickler that
knows arrays and nothing else.
"""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import json
import math
import os
import pickle
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cae.errors import UserError
from cae.trial.datasets.splits import Split

if TYPE_CHECKING:
    from PIL.Image import Image

CIFAR_BATCH = 10_000
"""Images in each file of CIFAR-10. The binary version has no header: only this number tells a cut file from a whole one."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
IMPORTED = "images.safetensors"
"""The one file that `import_folder` writes into a data set's folder."""


class DatasetMissing(UserError):
    """Files of a data set are nowhere to be found: says which, where they were looked for, and how to get them."""


class DatasetDamaged(UserError):
    """A file is there but is not what it should be: says which, what was expected and what was found."""


def data_folders(data_dir: Path | None = None) -> list[Path]:
    """Where data sets are looked for, in this order: `--data-dir`, $CAE_DATA, the user's cache folder."""
    named = [
        data_dir,
        os.environ.get("CAE_DATA"),
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "cae-sweep",
    ]
    return list(dict.fromkeys(Path(folder).expanduser().absolute() for folder in named if folder))


def find_files(
    files: Sequence[Sequence[str]], layouts: Sequence[str], folders: Sequence[Path]
) -> list[Path]:
    """The files of a data set, each under any of its names, from the first place that has them all. Raises DatasetMissing.

    A place is a layout's folder under one of `folders`, or one of `folders` itself if that is (part of) the layout's folder.
    """
    incomplete = ""
    for place in (
        place for folder in folders for layout in layouts for place in _places(folder, Path(layout))
    ):
        found = [
            next((place / name for name in names if os.path.isfile(place / name)), None)
            for names in files
        ]
        there = [path for path in found if path]
        if len(there) == len(files):
            return there
        if there and not incomplete:
            lacking = ", ".join(
                names[0] for names, path in zip(files, found, strict=True) if not path
            )
            incomplete = f"\n  {place} is incomplete: it lacks {lacking}"
    raise DatasetMissing(f"looked in {listed(folders)}{incomplete}")


def _places(folder: Path, layout: Path) -> list[Path]:
    parts, named = layout.parts, folder.absolute().parts
    return [
        folder.joinpath(*parts[k:])
        for k in range(len(parts) + 1)
        if k == 0 or named[-k:] == parts[:k]
    ]


def listed(folders: Iterable[Path]) -> str:
    return ", ".join(str(folder) for folder in folders) or "no folder at all"


def download(torchvision_name: str, folder: Path, check: Callable[[Path], Path]) -> Path:
    """Downloads one of torchvision's data sets into `folder`; returns where its files lie. Raises whatever goes wrong.

    It goes to a folder aside first and through `check`, which reads it and says where in there its files are: a download that
    broke off, or came damaged, never counts as present.
    """
    patience = socket.getdefaulttimeout()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        socket.setdefaulttimeout(
            60
        )  # torchvision sets none, and would wait for a silent server for ever
        with tempfile.TemporaryDirectory(prefix=f".fetch-{torchvision_name}-", dir=folder) as aside:
            getattr(importlib.import_module("torchvision.datasets"), torchvision_name)(
                aside, train=False, download=True
            )
            fetched = check(Path(aside))
            place = folder / fetched.relative_to(aside)
            place.mkdir(parents=True, exist_ok=True)
            for path in fetched.iterdir():
                if path.suffix != ".gz":  # archives whose contents lie beside them
                    os.replace(path, place / path.name)
        return check(folder)
    finally:
        socket.setdefaulttimeout(patience)


def read_idx_pair(images: Path, labels: Path, classes: int = 10) -> Split:
    """Grey images and labels of MNIST's format, from one file each, gzipped or not. Raises DatasetDamaged."""
    pixels, numbers = read_idx(images, 3), read_idx(labels, 1)
    if pixels.shape[1:] != (28, 28):
        raise DatasetDamaged(
            f"{images}: expected images of 28 x 28 pixels, found {pixels.shape[1]} x {pixels.shape[2]}"
        )
    if len(pixels) != len(numbers):
        raise DatasetDamaged(
            f"{labels}: expected {len(pixels)} labels, one for each image of {images.name}, found {len(numbers)}"
        )
    return Split(pixels[:, None], _labels(numbers, labels, classes))


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of an IDX file: 2 zero bytes, type 8 (unsigned byte), number of dimensions, big-endian sizes, the bytes."""
    data = _bytes(path)
    magic = bytes((0, 0, 8, dimensions))
    if data[:4] != magic:
        raise DatasetDamaged(
            f"{path}: expected an IDX file of {dimensions}-dimensional bytes (it begins {magic.hex()}), found {data[:4].hex()!r}"
        )
    start = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(data[4:start].ljust(4 * dimensions, b"\0"), dtype=">u4").tolist())
    if len(data) != start + math.prod(shape):
        found = f"found {len(data):,} bytes"
        raise DatasetDamaged(
            f"{path}: expected {start + math.prod(shape):,} bytes, as its header says {' x '.join(map(str, shape))}; {found}"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def idx_images(path: Path) -> int:
    """How many images an IDX file says that it holds, from its first 8 bytes alone."""
    with _opened(path) as file:
        try:
            header = file.read(8)
        except (OSError, EOFError, zlib.error) as error:
            raise DatasetDamaged(f"{path}: cannot be read: {error}") from None
    if len(header) < 8 or header[:4] != bytes((0, 0, 8, 3)):
        raise DatasetDamaged(
            f"{path}: expected an IDX file of images, found {header[:4].hex()!r} at its beginning"
        )
    return int.from_bytes(header[4:8], "big")


def read_cifar(paths: Sequence[Path]) -> Split:
    """Files of CIFAR-10, 10,000 images each: of its binary version those that end in `.bin`, else of its python version."""
    pixels = np.empty((len(paths), CIFAR_BATCH, 3, 32, 32), np.uint8)
    labels = np.empty((len(paths), CIFAR_BATCH), np.int64)
    for index, path in enumerate(paths):
        pixels[index], labels[index] = (
            _cifar_bin(path) if path.suffix == ".bin" else _cifar_pickle(path)
        )
    return Split(pixels.reshape(-1, 3, 32, 32), labels.reshape(-1))


def _cifar_bin(path: Path) -> Split:
    """Per image one byte of label, then 3,072 of pixels: red, green and blue planes of 32 x 32."""
    data = _bytes(path)
    if len(data) != CIFAR_BATCH * 3073:
        raise DatasetDamaged(
            f"{path}: expected {CIFAR_BATCH * 3073:,} bytes ({CIFAR_BATCH:,} images of 3,073), found {len(data):,}"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, 3073)
    return Split(records[:, 1:].reshape(-1, 3, 32, 32), _labels(records[:, 0], path, 10))


def _cifar_pickle(path: Path) -> Split:
    """A pickled dictionary whose `data` is uint8, N x 3072, in the same order, and whose `labels` is a list of N numbers."""
    batch = _unpickle(path)
    if not isinstance(batch, dict):
        raise DatasetDamaged(f"{path}: expected a dictionary, found {type(batch).__name__}")
    named = {
        key.decode("latin1") if isinstance(key, bytes) else key: value
        for key, value in batch.items()
    }
    data, numbers = named.get("data"), named.get("labels")
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.shape != (CIFAR_BATCH, 3072)
    ):
        found = (
            f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        )
        raise DatasetDamaged(
            f"{path}: expected `data` to be uint8 ({CIFAR_BATCH}, 3072), found {found}"
        )
    if (
        not isinstance(numbers, list)
        or len(numbers) != CIFAR_BATCH
        or not all(type(number) is int for number in numbers)
    ):
        found = f"{len(numbers)} of them" if isinstance(numbers, list) else type(numbers).__name__
        raise DatasetDamaged(
            f"{path}: expected `labels` to be a list of {CIFAR_BATCH} whole numbers, found {found}"
        )
    return Split(data.reshape(-1, 3, 32, 32), _labels(np.array(numbers, dtype=object), path, 10))


class _ArraysOnly(pickle.Unpickler):
    """Builds numbers, strings, lists, dictionaries and arrays of numpy; any other class or function is refused unseen."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
        ):
            return np.empty(0).__reduce__()[
                0
            ]  # numpy's own, without importing a name that newer versions deprecate
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == (
            "_codecs",
            "encode",
        ):  # how Python 3 writes bytes under protocols 0 to 2
            return _encode
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, which no array needs: it may be made to run code, and was not"
        )


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="bytes").load()
    except Exception as error:  # damaged pickles raise nearly anything: EOFError, KeyError, MemoryError, ValueError, ...
        raise DatasetDamaged(
            f"{path}: expected a pickled dictionary of arrays, found that {_words(error)}"
        ) from None


class Folder(NamedTuple):
    """A folder of images, decoded: the images, the names of their classes, and each file's name within the folder."""

    images: Split
    class_names: tuple[str, ...]


def image_files(folder: Path) -> list[Path]:
    """The images under a folder, at any depth and through links, sorted by their path within it; hidden ones are passed over."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = (
            [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        )
        if real not in seen:  # a link back up the tree would lead round in circles
            found += [
                Path(place, name)
                for name in names
                if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)
            ]
        seen.add(real)
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def read_folder(folder: Path, size: int, channels: int) -> Folder:
    """Every image under `folder`, its shorter side resized to `size`, its centre cut out, in 1 or 3 channels.

    The class of an image is the first folder under `folder` that it lies in; images that lie in none form a class that
    bears the folder's own name. Raises DatasetDamaged naming the files that cannot be decoded, all at once.
    """
    files = image_files(folder)
    inside = [path.relative_to(folder).parts for path in files]
    classes = [parts[0] if len(parts) > 1 else folder.resolve().name for parts in inside]
    names = sorted(set(classes))
    pixels = np.empty((len(files), channels, size, size), np.uint8)

    def decode(index: int) -> str | None:
        try:
            pixels[index] = read_image(files[index], size, channels)
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damage
            return f"{Path(*inside[index])} ({_words(error)})"
        return None

    # Pillow lets go of the interpreter while it decodes and resizes, so threads do help.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        damaged = [problem for problem in pool.map(decode, range(len(files))) if problem]
    if damaged:
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        shown = "; ".join(damaged[:5])
        raise DatasetDamaged(
            f"{folder}: expected {len(files)} images that can be decoded, found {len(damaged)} that cannot: {shown}{more}"
        )
    numbers = {name: number for number, name in enumerate(names)}
    return Folder(
        Split(pixels, np.array([numbers[name] for name in classes], np.int64)), tuple(names)
    )


def read_image(path: Path, size: int, channels: int) -> np.ndarray:
    """One image as uint8, C x size x size: upright, transparency over white, shorter side resized to `size`, centre cut out."""
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        image = _to_mode(ImageOps.exif_transpose(opened), "L" if channels == 1 else "RGB")
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        # Lanczos, widened by the scale when it shrinks: what Pillow long called ANTIALIAS, and report 001 used.
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - size) // 2, (height - size) // 2
    array = np.asarray(image.crop((left, top, left + size, top + size)))
    return array.reshape(size, size, channels).transpose(2, 0, 1)


def _to_mode(image: Image, mode: str) -> Image:
    from PIL import Image

    if image.mode.startswith(
        "I"
    ):  # 16 bits a pixel: Pillow would cut them off at 255 instead of scaling them
        image = Image.fromarray(
            (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        )
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def write_imported(path: Path, folder: Folder, source: Path) -> None:
    """Writes decoded images to `path` as one safetensors file: whole, or not at all."""
    from safetensors.numpy import save_file

    about = {"class_names": json.dumps(folder.class_names), "source": str(source)}
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(
            {"pixels": folder.images.pixels, "labels": folder.images.labels}, aside, metadata=about
        )
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def imported_shape(path: Path) -> tuple[int, ...]:
    """N, C, H, W of what `write_imported` wrote, from the file's header alone. Raises DatasetDamaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return tuple(file.get_slice("pixels").get_shape())
    except (OSError, SafetensorError) as error:
        raise DatasetDamaged(
            f"{path}: expected what `cae-sweep data import` wrote, found that {_words(error)}"
        ) from None


def read_imported(path: Path) -> Folder:
    """What `write_imported` wrote. Raises DatasetDamaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            pixels, labels = file.get_tensor("pixels"), file.get_tensor("labels")
            names = json.loads((file.metadata() or {})["class_names"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DatasetDamaged(
            f"{path}: expected what `cae-sweep data import` wrote, found that {_words(error)}"
        ) from None
    whole = pixels.dtype == np.uint8 and pixels.ndim == 4 and labels.shape == pixels.shape[:1]
    if not whole or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        found = f"{pixels.dtype} {pixels.shape}, {len(labels)} labels, {names!r:.80}"
        raise DatasetDamaged(
            f"{path}: expected uint8 images N x C x H x W, N labels and the names of the classes, found {found}"
        )
    return Folder(Split(pixels, _labels(labels, path, len(names))), tuple(names))


def _opened(path: Path) -> Any:
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise DatasetDamaged(f"{path}: cannot be read: {_words(error)}") from None


def _bytes(path: Path) -> bytes:
    with _opened(path) as file:
        try:
            return bytes(file.read())
        except (OSError, EOFError, zlib.error) as error:
            kind = "a whole gzip file" if path.suffix == ".gz" else "a file that can be read"
            raise DatasetDamaged(f"{path}: expected {kind}, found that {_words(error)}") from None


def _labels(numbers: np.ndarray, path: Path, classes: int) -> np.ndarray:
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= classes):
        raise DatasetDamaged(
            f"{path}: expected labels from 0 to {classes - 1}, found {numbers.min()} to {numbers.max()}"
        )
    return numbers.astype(np.int64)


def _words(error: Exception) -> str:
    return f"{str(error) or 'it ends too early'} [{type(error).__name__}]"


def read_digits(size: int) -> Split:
    """scikit-learn's 1,797 digits of 8 x 8 pixels with values 0..16: spread over 0..255, then resized bilinearly."""
    from PIL import Image

    library = importlib.util.find_spec("sklearn")
    if not library or not library.origin:
        raise ModuleNotFoundError("scikit-learn, which brings the digits, is not installed")
    # its own file, as its load_digits reads it: to import the library would take a second, in each command that plans
    digits = np.loadtxt(
        Path(library.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=","
    )
    pixels = np.rint(digits[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    if size != 8:
        pixels = np.stack(
            [
                np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
                for image in pixels
            ]
        )
    return Split(pixels[:, None], digits[:, -1].astype(np.int64))


def cut_patches(strips: Sequence[np.ndarray], size: int, count: int, seeds: Sequence[int]) -> Split:
    """`count` patches of 3 x `size` x `size`, no two from the same position, from each strip (H x W x 3) in turn."""
    pixels = np.empty((count, 3, size, size), np.uint8)
    for number, strip in enumerate(strips):
        windows = np.lib.stride_tricks.sliding_window_view(strip, (size, size), axis=(0, 1))
        chosen = np.random.RandomState([*seeds, number]).permutation(
            windows.shape[0] * windows.shape[1]
        )
        rows, columns = np.divmod(chosen[: len(pixels[number :: len(strips)])], windows.shape[1])
        pixels[number :: len(strips)] = windows[rows, columns]
    return Split(pixels, np.arange(count, dtype=np.int64) % len(strips))
