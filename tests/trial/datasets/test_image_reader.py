"""The reader of image files: formats, depth, transparency, damage, cropping and padding."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cae.trial.datasets import DatasetDamaged, DatasetInvalid, ImageFolder, import_folder
from cae.trial.datasets.folder_files import find_files
from cae.trial.datasets.image_files import decode_folder
from cae.trial.datasets.image_reader import (
    Fit,
    ImageFacts,
    UnreadableImage,
    fit_array,
    fit_image,
    range_error,
    read_image,
    readable_suffixes,
    to_array,
)
from tests.trial.datasets.small_files import write_image

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
GRADIENT = (np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).repeat(2, 0).repeat(2, 1)
"""16 x 16, from 0 to 252."""


def gray(path: Path, max_value: int | None = None) -> np.ndarray:
    pixels: np.ndarray = to_array(read_image(path, 1, max_value).image)[0]
    return pixels


def png(pixels: np.ndarray, transparent: int | None = None) -> bytes:
    """A PNG file of 16 bits: H x W x C with C 1 (gray), 3 (RGB) or 4 (RGBA)."""
    height, width, channels = pixels.shape
    color_type = {1: 0, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(">H", transparent)))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        content += struct.pack(">I", len(data)) + kind + data + checksum
    return content


# Formats

SAVED = {
    ".png": 0,
    ".PNG": 0,
    ".tif": 0,
    ".tiff": 0,
    ".gif": 0,
    ".bmp": 0,
    ".pgm": 0,
    ".pcx": 0,
    ".tga": 0,
    ".jp2": 0,
    ".ico": 0,
    ".dds": 0,
    ".sgi": 0,
    ".webp": 12,
    ".jpg": 12,
    ".JPEG": 12,
    ".jfif": 12,
}
"""The largest difference from the saved pixels, by suffix."""


@pytest.mark.parametrize("suffix", SAVED)
def test_every_format_that_pillow_reads_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    image = Image.fromarray(GRADIENT)
    if suffix in (".ico", ".dds"):
        image = image.convert("RGBA")
    image.save(path)
    assert find_files(tmp_path).images == [path]
    np.testing.assert_allclose(gray(path).astype(int), GRADIENT, atol=SAVED[suffix])


def test_suffixes_are_those_that_can_be_decoded() -> None:
    assert {".png", ".jpg", ".tif", ".gif", ".pgm", ".ppm", ".webp"} <= readable_suffixes()
    assert not {".eps", ".pdf", ".h5", ".mpg", ".txt", ".npy"} & readable_suffixes()


def test_a_file_is_read_by_its_content_but_never_by_another_program(tmp_path: Path) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / "a.gif")
    renamed = (tmp_path / "a.gif").rename(tmp_path / "a.png")
    np.testing.assert_array_equal(gray(renamed), GRADIENT)
    Image.fromarray(GRADIENT).save(tmp_path / "b.eps")  # Ghostscript would execute it
    renamed = (tmp_path / "b.eps").rename(tmp_path / "b.png")
    with pytest.raises(UnreadableImage, match="not an image of a format that is read"):
        read_image(renamed, 1)


def test_the_first_of_several_images_is_read(tmp_path: Path) -> None:
    first = Image.fromarray(GRADIENT)
    for name in ("a.gif", "a.tif"):
        first.save(
            tmp_path / name, save_all=True, append_images=[first.rotate(90), first.rotate(180)]
        )
        read = read_image(tmp_path / name, 1)
        assert read.facts.frames == 3
        np.testing.assert_array_equal(to_array(read.image)[0], GRADIENT)
    note = decode_folder(tmp_path, 16, 1).notes[0]
    assert note == "2 of 2 files contain several images: the first one is used"


# Depth


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bits_are_scaled_to_8(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(GRADIENT.astype(np.uint16) * 257).save(path)
    np.testing.assert_array_equal(gray(path), GRADIENT)
    assert read_image(path, 1).facts.largest == 252 * 257
    np.testing.assert_array_equal(gray(path, 65535), GRADIENT)
    np.testing.assert_array_equal(to_array(read_image(path, 3).image), np.stack([GRADIENT] * 3))


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_fewer_bits_in_a_file_of_16_need_their_largest_value(bits: int, tmp_path: Path) -> None:
    white = 2**bits - 1
    values = np.rint(np.linspace(0, white, 256)).astype(np.uint16)
    write_image(tmp_path / "deep.png", Image.fromarray(values.reshape(16, 16)))
    with pytest.raises(DatasetInvalid, match=rf"of white: {white} if they have {bits} bits"):
        decode_folder(tmp_path, 16, 1)
    decoded = decode_folder(tmp_path, 16, 1, max_value=white)
    kept = values if bits > 8 else np.arange(256)
    np.testing.assert_array_equal(decoded.images.pixels.ravel(), kept)
    assert decoded.value_range == (0, white)
    dark = decode_folder(tmp_path, 16, 1, max_value=65535)
    np.testing.assert_array_equal(dark.images.pixels.ravel(), values)
    assert dark.value_range == (0, 65535)
    assert "nearly black" in dark.notes[-1]
    write_image(tmp_path / "bright.png", Image.fromarray(np.full((16, 16), 60000, np.uint16)))
    assert decode_folder(tmp_path, 16, 1).images.pixels.max() == 60000


def test_8_bits_beside_16_are_scaled_and_floats_beside_both_are_kept(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 257 + 3
    write_image(tmp_path / "a.png", Image.fromarray(deep))
    write_image(tmp_path / "b.png", Image.fromarray(RAMP))
    mixed = decode_folder(tmp_path, 16, 3)
    assert mixed.images.pixels.dtype == np.uint16
    np.testing.assert_array_equal(mixed.images.pixels[0], np.stack([deep] * 3))
    np.testing.assert_array_equal(mixed.images.pixels[1, 0], RAMP.astype(np.uint16) * 257)
    assert "all are uint16, white is 65535" in mixed.notes[0]
    floats = (RAMP / 300).astype(np.float32)
    write_image(tmp_path / "c.tif", Image.fromarray(floats))
    mixed = decode_folder(tmp_path, 16, 1)
    assert mixed.images.pixels.dtype == np.float32
    assert mixed.value_range == (0, 1)
    np.testing.assert_allclose(mixed.images.pixels[0, 0], deep / 65535, atol=1e-6)
    np.testing.assert_allclose(mixed.images.pixels[1, 0], RAMP / 255, atol=1e-6)
    np.testing.assert_array_equal(mixed.images.pixels[2, 0], floats)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_deep_images_are_fitted_like_those_of_8_bits(fit: Fit) -> None:
    wide = np.kron(RAMP, np.ones((2, 5), np.uint8))
    shallow = fit_image(Image.fromarray(wide), 12, 20, fit)
    deep, lost = fit_array(wide[None].astype(np.uint16) * 257, 12, 20, fit)
    assert lost == shallow.lost_share
    assert deep.shape == (1, 20, 12)
    assert np.abs(deep[0] / 257 - np.asarray(shallow.image)).max() < 1.5


def test_a_value_above_max_value_is_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "deep.png", Image.fromarray(np.full((9, 9), 4096, np.uint16)))
    with pytest.raises(DatasetDamaged, match=r"from 4096 to 4096: should be in 0\.\.4095"):
        decode_folder(tmp_path, 8, 1, max_value=4095)


def test_color_images_of_16_bits_are_read_with_their_upper_bits(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png(np.full((9, 9, 3), (0x8000, 0xFFFF, 0x0100), np.uint16)))
    read = read_image(path, 3)
    np.testing.assert_array_equal(to_array(read.image)[:, 0, 0], (0x80, 0xFF, 0x01))
    assert read.facts == ImageFacts(0xFFFF, is_deep_color=True)
    path.write_bytes(png(np.full((9, 9, 3), 4095, np.uint16)))
    with pytest.raises(DatasetInvalid, match="save them with 8 bits"):
        decode_folder(tmp_path, 8, 3)
    with pytest.raises(DatasetDamaged, match="max_value = 4095 is not possible"):
        decode_folder(tmp_path, 8, 3, max_value=4095)


def test_floats_are_read_in_their_stated_range(tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray((GRADIENT / 255).astype(np.float32)).save(path)
    np.testing.assert_array_equal(gray(path), GRADIENT)
    Image.fromarray(GRADIENT.astype(np.float32)).save(path)
    with pytest.raises(UnreadableImage, match=r"floats from 0 to 252: should be in \[0, 1\]"):
        read_image(path, 1)
    np.testing.assert_array_equal(gray(path, 255), GRADIENT)


def test_the_range_of_images_of_8_bits_is_known() -> None:
    assert range_error([ImageFacts()], None) == ""
    assert range_error([ImageFacts(100), ImageFacts(5000)], None) == ""
    assert range_error([ImageFacts(100)], 255) == ""


# Transparency and color spaces


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_transparent_pixels_are_white(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    if mode == "I;16":
        path.write_bytes(png(np.full((8, 8, 1), 500, np.uint16), transparent=500))
    elif mode == "P":
        Image.new("P", (8, 8), 0).save(path, transparency=0)
    else:
        Image.new(mode, (8, 8)).save(path)
    np.testing.assert_array_equal(gray(path), 255)


@pytest.mark.parametrize("mode", ["LAB", "CMYK", "YCbCr"])
def test_other_color_spaces_become_gray_and_rgb(mode: str, tmp_path: Path) -> None:
    white = {"LAB": (255, 128, 128), "CMYK": (0, 0, 0, 0), "YCbCr": (255, 128, 128)}[mode]
    Image.new(mode, (8, 8), white).save(tmp_path / "image.tif")
    for channels in (1, 3):
        pixels = to_array(read_image(tmp_path / "image.tif", channels).image)
        assert pixels.shape == (channels, 8, 8)
        assert pixels.min() >= 254


# Crop and pad


def test_cropping_reports_what_is_lost_and_padding_loses_nothing() -> None:
    page = np.full((300, 200), 255, np.uint8)
    page[:30] = 0
    image = Image.fromarray(page)
    cropped = fit_image(image, 20, 20)
    assert cropped.lost_share == pytest.approx(1 / 3)
    assert np.asarray(cropped.image)[2:].min() == 255
    padded = fit_image(image, 20, 20, "pad")
    assert padded.lost_share == 0
    pixels = np.asarray(padded.image)
    np.testing.assert_array_equal(pixels[:, [0, 1, 2, 17, 18, 19]], 255)  # as most of the border
    assert pixels[0, 4:16].max() < 40
    square = fit_image(Image.fromarray(GRADIENT), 16, 16, "pad")
    np.testing.assert_array_equal(np.asarray(square.image), GRADIENT)


def test_images_need_not_be_square() -> None:
    image = Image.fromarray(GRADIENT)
    assert fit_image(image, 12, 30).image.size == (12, 30)
    assert fit_image(image, 12, 30, "pad").image.size == (12, 30)


# Damage, in our words


def test_damage_is_described_in_our_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(
        tmp_path / "good.png"
    )
    complete = (tmp_path / "good.png").read_bytes()
    info = PngImagePlugin.PngInfo()
    info.add_text("notes", "x" * 2_000_000, zip=True)
    Image.fromarray(GRADIENT).save(tmp_path / "text.png", pnginfo=info)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    Image.new("1", (2000, 1001)).save(tmp_path / "large.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(complete[:-600])
    (tmp_path / "words.png").write_text("no image")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    reasons = {}
    for path in sorted(tmp_path.iterdir()):
        try:
            read_image(path, 1)
        except UnreadableImage as error:
            reasons[path.name] = str(error)
    assert reasons == {
        "cut.png": "the file is damaged: it ends too early",
        "empty.png": "the file is empty",
        "gone.png": "it does not exist",
        "large.png": "it has more than 2 megapixels: save it with fewer",
        "text.png": "its text metadata is larger than 1 MB: save it without metadata",
        "words.png": "its content is not an image of a format that is read",
    }


def test_large_images_and_odd_metadata_give_no_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (40, 40)).save(tmp_path / "large.png")  # a warning of Pillow is an error here
    assert decode_folder(tmp_path, 8, 1).images.pixels.shape == (1, 1, 8, 8)


# Folders


def test_other_files_are_skipped_counted_and_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a" / "one.png", Image.fromarray(GRADIENT))
    for name in ("notes.txt", "a/photo.heic", "a/two", "Thumbs.db", "b/c.npy", "d.mp4", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    note = decode_folder(tmp_path, 16, 1).notes[0]
    assert note == (
        "6 files are no image and skipped: Thumbs.db; a/photo.heic; a/two; b/c.npy; d.mp4 and 1 "
        "more"
    )


def test_damaged_files_are_skipped_on_request(tmp_path: Path) -> None:
    for index in range(6):
        write_image(tmp_path / "a" / f"{index}.png", Image.new("L", (9, 9), 40 * index))
    (tmp_path / "a" / "2.png").write_bytes(b"")
    library = tmp_path / "library"
    with pytest.raises(DatasetDamaged, match=r"1 of 6 images .*: 2\.png \(the file is empty\)"):
        import_folder(tmp_path / "a", "letters", library, size=8, channels=1)
    done = import_folder(tmp_path / "a", "letters", library, size=8, channels=1, skip_damaged=True)
    assert done.images_per_class == {"a": 5}
    assert done.notes == ("1 file is damaged and skipped: 2.png (the file is empty)",)
    images = ImageFolder(path="letters", size=8, channels=1).load([library])
    grays = {
        int(image.max())
        for split in (images.train, images.val, images.test)
        for image in split.pixels
    }
    assert grays == {0, 40, 120, 160, 200}
    assert images.notes == done.notes
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetDamaged, match="6 of 6 images"):
        decode_folder(tmp_path / "a", 8, 1, skip_damaged=True)


def write_splits(folder: Path, counts: dict[str, int]) -> None:
    """Images of two classes in folders of splits, each split with a gray of its own."""
    for index, (split, count) in enumerate(counts.items()):
        for number in range(count):
            name = ("cats", "dogs")[number % 2]
            image = Image.new("L", (8, 8), 50 * (index + 1))
            write_image(folder / split / name / f"{number}.png", image)


def grays_of(folder: Path, **parameters: Any) -> list[tuple[int, set[int]]]:
    """Number of images and their grays, of train, val and test."""
    dataset = ImageFolder(path=str(folder), size=8, channels=1, **parameters)
    images = dataset.load([])
    assert images.class_names == ("cats", "dogs")
    splits = (images.train, images.val, images.test)
    return [(len(split.labels), set(split.pixels.ravel().tolist())) for split in splits]


def test_the_folders_train_val_and_test_stay_splits(tmp_path: Path) -> None:
    write_splits(tmp_path, {"train": 12, "Validation": 4, "test": 6})
    assert grays_of(tmp_path) == [(12, {50}), (4, {100}), (6, {150})]
    assert grays_of(tmp_path, train_images=5, val_images=2, test_images=3) == [
        (5, {50}),
        (2, {100}),
        (3, {150}),
    ]
    with pytest.raises(ValueError, match=r"dataset\.val_images = 5: there are only 4 images"):
        grays_of(tmp_path, val_images=5)
    done = import_folder(tmp_path, "pets", tmp_path / "library", size=8, channels=1)
    assert done.notes == ("the splits are kept: 12 train, 4 val, 6 test",)
    assert grays_of(tmp_path / "library" / "pets") == [(12, {50}), (4, {100}), (6, {150})]


def test_a_missing_split_is_taken_from_train(tmp_path: Path) -> None:
    write_splits(tmp_path / "a", {"train": 30, "test": 6})
    assert grays_of(tmp_path / "a") == [(27, {50}), (3, {50}), (6, {100})]
    write_splits(tmp_path / "b", {"train": 30, "valid": 6})
    assert grays_of(tmp_path / "b") == [(27, {50}), (6, {100}), (3, {50})]
    notes = decode_folder(tmp_path / "b", 8, 1).notes
    assert "there are no images for test: they are taken from train" in notes


def test_a_class_named_train_is_a_class(tmp_path: Path) -> None:
    for name in ("train", "car"):
        write_image(tmp_path / name / "1.png", Image.new("L", (8, 8)))
    decoded = decode_folder(tmp_path, 8, 1)
    assert decoded.class_names == ("car", "train")
    assert decoded.splits is None


@pytest.mark.parametrize("other", ["extra/1.png", "loose.png"])
def test_images_beside_the_splits_are_an_error(other: str, tmp_path: Path) -> None:
    write_splits(tmp_path, {"train": 4, "test": 2})
    write_image(tmp_path / other, Image.new("L", (8, 8)))
    with pytest.raises(DatasetInvalid, match="folders for training and for validation or test"):
        decode_folder(tmp_path, 8, 1)


def test_cropped_and_nearly_black_images_are_noted(tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", Image.new("L", (200, 100), 1))
    write_image(tmp_path / "square.png", Image.new("L", (50, 50), 0))
    assert decode_folder(tmp_path, 8, 1).notes == (
        "1 of 2 images are of another shape and were cropped to their center: up to 50% of an "
        "image is lost",
        "no pixel of the images is brighter than 1 of 255: they are nearly black",
    )


def test_an_interrupted_import_does_not_block_the_next_one(tmp_path: Path) -> None:
    write_splits(tmp_path / "pets", {"cats": 3})
    left = tmp_path / "library" / "pets" / ".images.safetensors.4711"
    left.parent.mkdir(parents=True)
    left.touch()
    import_folder(tmp_path / "pets", "pets", tmp_path / "library", size=8)
    assert [path.name for path in left.parent.iterdir()] == ["images.safetensors"]


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "tif", "png"])
@pytest.mark.parametrize("width", [160, 5, 16])
def test_rows_of_16_or_160_bytes_are_not_16_bits(tmp_path: Path, suffix: str, width: int) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", (width, 16), (10, 20, 30)).save(path)
    facts = read_image(path, 3, max_value=4095).facts
    assert facts == ImageFacts()
