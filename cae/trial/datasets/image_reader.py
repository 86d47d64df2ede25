"""The reader of image files: the same for training, `data import` and `reconstruct`.

An image is rotated as its EXIF data requires, it is drawn over white where it is transparent, and
converted to gray or RGB of 8 bits, or gray of more bits if they are kept. Then it is resized, and
cropped, padded or stretched.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cae.files import check_regular

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Fit = Literal["crop", "pad", "stretch"]

UNREAD_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
"""Formats that Pillow recognizes and reads only with other programs, or not at all."""
ANIMATED_FORMATS = {"AVIF", "GIF", "PNG", "TIFF", "WEBP"}
"""Formats whose files may contain several images."""
MAX_DEEP = 65535
"""Largest value of 16 bits."""
SUSPICIOUS_DEEP = 4095
"""If no value of 16-bit images is larger, they have 8, 10 or 12 bits in files of 16."""
MAX_VALUE = "max_value (--max-value)"
"""The parameter of ImageFolder, and the option of commands, in messages."""
MAX_REASON = 120
"""Characters of Pillow's own reason in a message."""


class UnreadableImage(Exception):
    """A file that cannot be read as an image; the message says why, without the file's name."""


@dataclass(frozen=True)
class ImageFacts:
    """What is lost of the content of a file when it is read."""

    largest: int | None = None
    """Largest value in the file, if it has more than 8 bits per value."""
    is_deep_color: bool = False
    """Whether it is a color image of 16 bits, of which only the upper 8 bits are read."""
    frames: int = 1
    """Number of images in the file, of which the first one is read."""


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file states."""

    width: int
    height: int
    mode: str
    """Pillow's name of the type of the pixels: L, RGB, P, I;16, F, ..."""
    format: str
    """PNG, JPEG, ..."""

    @property
    def pixels(self) -> int:
        """Width x height."""
        return self.width * self.height

    @property
    def is_deep(self) -> bool:
        """Whether it is gray with more than 8 bits per value."""
        return _is_deep(self.mode)


@dataclass(frozen=True)
class ReadImage:
    """An upright image: gray or RGB of 8 bits, or gray floats (mode F) if its depth was kept."""

    image: Image
    facts: ImageFacts
    white: float = 255.0
    """The value of white in `image`."""


@dataclass(frozen=True)
class FittedImage:
    """An image of the requested size."""

    image: Image
    lost_share: float = 0.0
    """Share of the image that was cropped."""


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return the names of the formats that are read, in the order in which Pillow tries them."""
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in UNREAD_FORMATS)


@functools.cache
def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of the files that are read, in lower case with a dot."""
    from PIL import Image

    formats = set(readable_formats())
    suffixes = Image.registered_extensions()
    return frozenset(suffix for suffix, name in suffixes.items() if name in formats)


@contextmanager
def no_pillow_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings about metadata and large images: they do not change the pixels.

    Not safe in threads: call it in the main thread, around them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_image(
    source: Path | Image, channels: int, max_value: int | None = None, *, keep_depth: bool = False
) -> ReadImage:
    """Read an image as gray (1 channel) or RGB (3 channels). Raises UnreadableImage.

    Args:
        source: The file, or an image of Pillow; of one with several frames, the current one.
        channels: 1 or 3.
        max_value: The value of white in images of more than 8 bits per value; None: 65535.
        keep_depth: Whether gray images of more than 8 bits stay as they are (mode F), for one
            channel and for three.
    """
    mode = "RGB"
    if channels == 1:
        mode = "L"
    try:
        return _read(source, mode, max_value, keep_depth=keep_depth)
    except UnreadableImage:
        raise
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damage.
        raise UnreadableImage(_reason(source, error)) from None


def _read(source: Path | Image, mode: str, max_value: int | None, *, keep_depth: bool) -> ReadImage:
    if isinstance(source, Path):
        image, facts = _open_upright(source, max_value)
    else:
        image, facts = _upright(source, max_value)
    largest = None
    if _is_deep(image.mode):
        if keep_depth:
            return _keep_deep(image, facts, max_value)
        image, largest = _scale_deep(image, max_value)
    image = _convert(image, mode)
    if facts.is_deep_color:
        largest = (int(np.asarray(image).max()) << 8) | 255
    return ReadImage(image, replace(facts, largest=largest))


def _open_upright(path: Path, max_value: int | None) -> tuple[Image, ImageFacts]:
    """The first image of a file, rotated as its EXIF data requires, in the mode of the file.

    The file's own pixels, as many again, are released when this returns.
    """
    with _open(path) as file:
        frames = 1
        if file.format in ANIMATED_FORMATS:
            frames = getattr(file, "n_frames", 1)
            if frames > 1:
                file.seek(0)
        upright, facts = _upright(file, max_value)
    return upright, replace(facts, frames=frames)


def _upright(image: Image, max_value: int | None) -> tuple[Image, ImageFacts]:
    """An image rotated as its EXIF data requires: a copy."""
    from PIL import ImageOps

    is_deep_color = not _is_deep(image.mode) and any("16" in mode for mode in _raw_modes(image))
    if is_deep_color and max_value not in (None, MAX_DEEP):
        raise UnreadableImage(
            "it is a color image of 16 bits, of which only the upper 8 bits are read, so that "
            f"max_value = {max_value} is not possible: save it with 8 bits"
        )
    return ImageOps.exif_transpose(image), ImageFacts(is_deep_color=is_deep_color)


def _raw_modes(image: Image) -> list[str]:
    """The types of the pixels in a file, as Pillow's decoders name them: BGR, RGB;16B, ...

    Other arguments of a decoder are numbers, such as the bytes of a row. Empty for an image that is
    not a file, or whose pixels have been read.
    """
    modes: list[str] = []
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        if isinstance(arguments, tuple) and arguments:
            arguments = arguments[0]
        modes.append(str(arguments))
    return modes


def read_header(path: Path) -> ImageHeader:
    """Return the header of an image file; without pixels if it cannot be read."""
    try:
        with _open(path) as file:
            return ImageHeader(file.width, file.height, file.mode, file.format or "")
    except Exception:  # Pillow's own are many; reading the image reports the error
        return ImageHeader(0, 0, "", "")


def _is_deep(mode: str) -> bool:
    return mode == "F" or mode.startswith("I")


def read_bands(source: Path | Image, channels: int) -> list[Image]:
    """Return the channels of a file that has exactly so many, each as a gray image of 8 bits.

    `source`: the file, or an image of Pillow; of one with several frames, the current one.

    Two channels are gray and alpha, four are RGB and alpha or CMYK; a file with as many gray images
    as channels has one per channel. Raises UnreadableImage.
    """
    from PIL import ImageOps

    try:
        if isinstance(source, Path):
            with _open(source) as file:
                frames = getattr(file, "n_frames", 1)
                if frames == channels and file.mode == "L":
                    bands = []
                    for frame in range(frames):
                        file.seek(frame)
                        bands.append(file.copy())
                    return bands
                file.seek(0)
                image = ImageOps.exif_transpose(file)
        else:
            image = ImageOps.exif_transpose(source)
    except Exception as error:
        raise UnreadableImage(_reason(source, error)) from None
    names = image.getbands()
    if len(names) != channels or image.mode not in ("LA", "RGBA", "CMYK"):
        raise UnreadableImage(
            f"it has {len(names)} channels ({image.mode}), and the model needs {channels}: give an "
            f"array of {channels} x H x W that numpy.save wrote (.npy), or a TIFF file of "
            f"{channels} gray images"
        )
    return list(image.split())


def _open(path: Path) -> ImageFile:
    from PIL import Image

    check_regular(path)
    return Image.open(path, formats=readable_formats())


def _check_deep(image: Image, max_value: int | None) -> tuple[np.ndarray, float, float]:
    """The values of a gray image of more than 8 bits, the largest one, and white."""
    values = np.asarray(image)
    low = float(values.min())
    high = float(values.max())
    if image.mode == "F":
        white = float(max_value or 1)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise UnreadableImage("it contains NaN or infinite values")
        if low < 0 or high > white:
            raise UnreadableImage(
                f"its values are floats from {low:g} to {high:g}: should be in [0, {white:g}]; "
                f"set {MAX_VALUE} to the value of white, or save it with 8 bits"
            )
        return values, high, white
    white = float(max_value or MAX_DEEP)
    if low < 0 or high > white:
        raise UnreadableImage(
            f"its values are from {low:g} to {high:g}: should be in 0..{white:g}; set {MAX_VALUE} "
            "to the value of white, or save it with 8 bits"
        )
    return values, high, white


def _scale_deep(image: Image, max_value: int | None) -> tuple[Image, int | None]:
    """A gray image of more than 8 bits as one of 8 bits, and its largest value (None: floats)."""
    from PIL import Image

    values, high, white = _check_deep(image, max_value)
    if image.mode == "F":
        return Image.fromarray(_to_bytes(values, white)), None
    if max_value is None:
        scaled = (values >> 8).astype(np.uint8)
    else:
        scaled = _to_bytes(values, white)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # this value is transparent: white, as in 8-bit images
        scaled[values == transparent] = 255
    return Image.fromarray(scaled), int(high)


def _keep_deep(image: Image, facts: ImageFacts, max_value: int | None) -> ReadImage:
    """A gray image of more than 8 bits as floats."""
    from PIL import Image

    values, high, white = _check_deep(image, max_value)
    floats = values.astype(np.float32)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        floats[values == transparent] = white
    if image.mode != "F":
        facts = replace(facts, largest=int(high))
    return ReadImage(Image.fromarray(floats), facts, white)


def _to_bytes(values: np.ndarray, white: float) -> np.ndarray:
    """Scale values in [0, white] to 0..255, row by row: in float64 an image is large."""
    scaled = np.empty(values.shape, np.uint8)
    for row, row_values in enumerate(values):
        scaled[row] = np.rint(row_values.astype(np.float64) * (255 / white))
    return scaled


def _convert(image: Image, mode: str) -> Image:
    from PIL import Image

    if image.mode == "La":  # premultiplied
        image = image.convert("LA")
    has_alpha = image.mode in ("LA", "PA", "RGBA", "RGBa")
    if has_alpha or "transparency" in image.info:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    if image.mode == "LAB":
        image = image.convert("RGB")
    if image.mode == mode:
        return image  # `convert` would copy it
    return image.convert(mode)


def fit_image(image: Image, width: int, height: int, fit: Fit = "crop") -> FittedImage:
    """Resize an image to `width` x `height`.

    `crop`: it covers the whole area, and what is outside is cut off, the same on both sides. `pad`:
    all of it is inside, and the rest has the median color of its border. `stretch`: both sides are
    resized, which distorts it.
    """
    from PIL import Image

    if fit == "stretch":
        return FittedImage(_resize(image, (width, height)))
    scales = (width / image.width, height / image.height)
    if fit == "pad":
        scale = min(scales)
        size = (
            max(1, min(width, round(image.width * scale))),
            max(1, min(height, round(image.height * scale))),
        )
        resized = _resize(image, size)
        background = Image.new(image.mode, (width, height), _border_color(image))
        background.paste(resized, ((width - size[0]) // 2, (height - size[1]) // 2))
        return FittedImage(background)
    scale = max(scales)
    size = (
        max(width, round(image.width * scale)),
        max(height, round(image.height * scale)),
    )
    resized = _resize(image, size)
    left = (size[0] - width) // 2
    top = (size[1] - height) // 2
    cropped = resized.crop((left, top, left + width, top + height))
    return FittedImage(cropped, 1 - width * height / (size[0] * size[1]))


def fit_array(
    pixels: np.ndarray, width: int, height: int, fit: Fit = "crop"
) -> tuple[np.ndarray, float]:
    """Resize an image of any type, C x H x W, as `fit_image` does.

    Returns the image in its type, and the share of it that was cropped.
    """
    from PIL import Image

    if pixels.shape[1:] == (height, width):
        return pixels, 0.0
    channels: list[np.ndarray] = []
    lost_share = 0.0
    for channel in pixels:
        content = np.ascontiguousarray(channel)
        if content.dtype != np.uint8:
            content = content.astype(np.float32)
        fitted = fit_image(Image.fromarray(content), width, height, fit)
        lost_share = fitted.lost_share
        channels.append(np.asarray(fitted.image))
    resized = np.stack(channels)
    if pixels.dtype != np.uint8:
        resized = resized.clip(pixels.min(), pixels.max())  # the filter overshoots at edges
    if pixels.dtype.kind in "iu":
        resized = np.rint(resized)
    return resized.astype(pixels.dtype), lost_share


def _resize(image: Image, size: tuple[int, int]) -> Image:
    from PIL import Image

    if size == image.size:
        return image
    # Lanczos is the filter that Pillow called ANTIALIAS, which report 001 used.
    return image.resize(size, Image.Resampling.LANCZOS)


def _border_color(image: Image) -> float | tuple[int, ...]:
    """The median of the pixels at the border, per channel."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if image.mode == "F":
        return float(np.median(border))
    median = tuple(int(value) for value in np.median(border, axis=0))
    if len(median) == 1:
        return median[0]
    return median


def to_array(image: Image) -> np.ndarray:
    """Return an image as C x H x W, in the type of its pixels."""
    pixels = np.asarray(image)
    return pixels.reshape(image.height, image.width, -1).transpose(2, 0, 1)


def to_stored(
    pixels: np.ndarray, read_white: float, dtype: np.dtype[Any], white: float
) -> np.ndarray:
    """Return pixels from 0 to `read_white` in a type whose white is `white`.

    They are rounded if the type is an integer, and clipped: resizing overshoots at edges.
    """
    if pixels.dtype == dtype and read_white == white:
        return pixels
    values = pixels.astype(np.float64) * (white / read_white)
    if dtype.kind in "iu":
        values = np.rint(values)
    return values.clip(0, white).astype(dtype)


def range_error(images: Sequence[ImageFacts], max_value: int | None) -> str:
    """Return why images of 16 bits would be nearly black, and the fix; empty if they are not."""
    deep = [image for image in images if image.largest is not None]
    if not deep or max_value is not None:
        return ""
    largest = max(image.largest or 0 for image in deep)
    if largest > SUSPICIOUS_DEEP:
        return ""
    found = f"{len(deep)} of {len(images)} images have 16 bits per value, but none"
    if all(image.is_deep_color for image in deep):
        return (
            f"{found} is above {largest}, of which the upper 8 bits are read: they would be nearly "
            f"black; save them with 8 bits, or set {MAX_VALUE} to 65535 if they are that dark"
        )
    bits = max(8, 2 * ((largest.bit_length() + 1) // 2))
    return (
        f"{found} is above {largest}: they would be nearly black; set {MAX_VALUE} to the value of "
        f"white: {2**bits - 1} if they have {bits} bits, 65535 if they are that dark"
    )


def _reason(source: object, error: Exception) -> str:
    """Why an image cannot be read, in our words."""
    from PIL import Image, UnidentifiedImageError

    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    if isinstance(error, PermissionError):
        return "it cannot be read: permission denied"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if isinstance(error, MemoryError):
        return "it is too large for the memory"
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        return f"it has more than {limit:.0f} megapixels: save it with fewer"
    if isinstance(error, UnidentifiedImageError):
        if isinstance(source, Path) and source.stat().st_size == 0:
            return "the file is empty"
        return "its content is not an image of a format that is read"
    if isinstance(error, ValueError) and ("MAX_TEXT" in text or "text chunk" in text):
        return "its text metadata is larger than 1 MB: save it without metadata"
    if isinstance(error, EOFError) or "truncated" in text:
        return "the file is damaged: it ends too early"
    reason = text[:MAX_REASON] or type(error).__name__
    return f"the file is damaged: {reason}"
