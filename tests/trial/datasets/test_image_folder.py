"""Folders of images: found, read and imported once; an import gives the very images of its folder, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from cae.errors import UserError
from cae.trial.datasets.base import (
    DatasetDamaged,
    DatasetMissing,
    ImageFolder,
    available,
    import_folder,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with twelve `pictures` of two classes and a folder that something else made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST" / "train-images-idx3-ubyte").touch()
    for index, pixels in enumerate(
        np.random.default_rng(0).integers(0, 256, (12, 20, 25, 3), np.uint8)
    ):
        path = tmp_path / "pictures" / ("cats", "dogs")[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path


def test_image_folders_are_found_by_absolute_and_relative_path(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ImageFolder(path=str(home / "pictures"), size=16)
    found = dataset.load([])
    assert found.train.pixels.shape == (10, 3, 16, 16)
    assert found.class_names == ("cats", "dogs")
    assert [len(split.labels) for split in (found.train, found.val, found.test)] == [10, 1, 1]
    assert (
        ImageFolder(path="pictures", size=16).load([]).fingerprint == found.fingerprint
    )  # in the current folder
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert (
        ImageFolder(path="pictures", size=16).load([Path("/nowhere"), home]).fingerprint
        == found.fingerprint
    )
    with pytest.raises(
        DatasetMissing,
        match=r"(?s)dataset\.path = 'pictures'.*elsewhere/pictures, /nowhere/pictures",
    ):
        ImageFolder(path="pictures").load([Path("/nowhere")])
    assert ImageFolder(path="pictures", size=9, channels=1).load([home]).train.pixels.shape == (
        10,
        1,
        9,
        9,
    )
    with pytest.raises(ValidationError):
        ImageFolder(path="pictures", channels=2)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        ImageFolder(path="pictures", split="holdout")  # type: ignore[arg-type]


def test_an_imported_folder_gives_the_images_of_the_folder_itself(
    home: Path, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    assert (
        import_folder(home / "pictures", "pets", library, size=16, channels=3) == library / "pets"
    )
    assert os.listdir(library / "pets") == ["images.safetensors"]
    imported = ImageFolder(path="pets", size=16).load([library])
    direct = ImageFolder(path="pictures", size=16).load([])
    assert (imported.fingerprint, imported.class_names) == (direct.fingerprint, direct.class_names)
    with pytest.raises(
        ValueError,
        match=r"dataset\.size = 32 with dataset\.channels = 3, but .*pets was imported as 3 x 16 x 16",
    ):
        ImageFolder(path="pets", size=32).load([library])
    [line] = [line for line in available([library]) if line.name == "image_folder"]
    assert (line.folder, line.images, line.image_shape) == (library / "pets", 12, (3, 16, 16))
    assert line.how == 'ImageFolder(path="pets", size=16, channels=3)'
    import_folder(
        home / "pictures", "pets", library, size=8, channels=1
    )  # again: the new one takes the old one's place
    assert ImageFolder(path="pets", size=8, channels=1).load([library]).train.pixels.shape == (
        10,
        1,
        8,
        8,
    )
    os.truncate(library / "pets/images.safetensors", 100)
    assert any(line.how.startswith("damaged: ") for line in available([library]))


def test_an_import_that_cannot_be_done_leaves_nothing(home: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    for name in ("../out", "a/b", "", ".hidden", "a b"):
        with pytest.raises(UserError, match="name = "):
            import_folder(home / "pictures", name, library)
    with pytest.raises(DatasetMissing, match="no images"):
        import_folder(home / "absent", "pets", library)
    with pytest.raises(ValueError, match="size"):
        import_folder(home / "pictures", "pets", library, size=0)
    with pytest.raises(UserError, match="no import made it"):
        import_folder(home / "pictures", "MNIST", home)
    (home / "pictures" / "cats" / "bad.png").write_bytes(b"nothing")
    with pytest.raises(DatasetDamaged, match=r"found 1 that cannot: cats/bad\.png"):
        import_folder(home / "pictures", "pets", library)
    assert not library.exists()
