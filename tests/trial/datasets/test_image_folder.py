"""ImageFolder and imports: an import gives the same images as the folder itself, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from cae.errors import UserError
from cae.trial.config import Trial, from_flat
from cae.trial.datasets import (
    DatasetDamaged,
    DatasetMissing,
    ImageFolder,
    InventoryEntry,
    fetch,
    import_folder,
    list_datasets,
    load_images,
)
from tests.trial.datasets.small_files import write_random_images

DATASET_PARAMETERS = (
    "path",
    "size",
    "channels",
    "split",
    "split_seed",
    "classes",
    "train_images",
    "val_images",
    "test_images",
)
"""The parameters of an ImageFolder that are in every hash; `dataset` itself is beside them."""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of twelve images of two classes in the current folder."""
    monkeypatch.chdir(tmp_path)
    names = []
    for number in range(12):
        class_name = ("cats", "dogs")[number % 2]
        names.append(f"{class_name}/{number:02d}.png")
    write_random_images(tmp_path / "photos", names)
    return tmp_path / "photos"


def imported_entries(folder: Path) -> list[InventoryEntry]:
    return [entry for entry in list_datasets([folder]) if entry.name == "image_folder"]


def test_a_folder_is_found_by_its_absolute_path(photos: Path) -> None:
    images = ImageFolder(path=str(photos), size=16).load([])
    assert images.class_names == ("cats", "dogs")
    assert images.train.pixels.shape == (10, 3, 16, 16)
    assert len(images.val.labels) == 1
    assert len(images.test.labels) == 1


def test_a_folder_is_found_relative_to_the_current_and_to_data_folders(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ImageFolder(path="photos", size=16)
    from_current_folder = dataset.load([])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    from_data_folder = dataset.load([Path("/missing"), photos.parent])
    assert from_data_folder.fingerprint == from_current_folder.fingerprint
    message = r"(?s)dataset\.path = 'photos'.*elsewhere/photos, /missing/photos"
    with pytest.raises(DatasetMissing, match=message):
        dataset.load([Path("/missing")])


def test_size_and_channels_give_the_shape(photos: Path) -> None:
    images = ImageFolder(path=str(photos), size=9, channels=1).load([])
    assert images.train.pixels.shape == (10, 1, 9, 9)


@pytest.mark.parametrize(("parameter", "value"), [("channels", 2), ("split", "holdout")])
def test_invalid_parameters_are_errors(parameter: str, value: object) -> None:
    with pytest.raises(ValidationError, match=parameter):
        ImageFolder.model_validate({"path": "photos", parameter: value})


def test_an_import_gives_the_images_of_the_folder(photos: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    done = import_folder(photos, "pets", library, size=16, channels=3)
    assert done.folder == library / "pets"
    assert done.dataset == ImageFolder(path="pets", size=16, channels=3)
    assert done.images_per_class == {"cats": 6, "dogs": 6}
    assert os.listdir(library / "pets") == ["images.safetensors"]
    imported = ImageFolder(path="pets", size=16).load([library])
    direct = ImageFolder(path="photos", size=16).load([])
    assert imported.fingerprint == direct.fingerprint
    assert imported.class_names == direct.class_names


def test_another_size_than_that_of_the_import_is_an_error(photos: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    import_folder(photos, "pets", library, size=16)
    message = r"dataset\.size = 32 with dataset\.channels = 3: .*pets was imported as 3 x 16 x 16"
    with pytest.raises(ValueError, match=message):
        ImageFolder(path="pets", size=32).load([library])


def test_imports_are_listed_with_their_usage(photos: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    import_folder(photos, "pets", library, size=16)
    [entry] = imported_entries(library)
    assert entry.folder == library / "pets"
    assert entry.images == 12
    assert entry.image_shape == (3, 16, 16)
    assert entry.hint == 'ImageFolder(path="pets", size=16, channels=3)'
    os.truncate(library / "pets/images.safetensors", 100)
    [entry] = imported_entries(library)
    assert entry.hint.startswith("damaged: ")


def test_a_second_import_replaces_the_first_on_request(photos: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    import_folder(photos, "pets", library, size=16)
    with pytest.raises(UserError, match=r"pets is imported already; .* --replace"):
        import_folder(photos, "pets", library, size=8, channels=1)
    assert ImageFolder(path="pets", size=16).load([library]).train.pixels.shape[1] == 3
    import_folder(photos, "pets", library, size=8, channels=1, replace=True)
    images = ImageFolder(path="pets", size=8, channels=1).load([library])
    assert images.train.pixels.shape == (10, 1, 8, 8)


def test_a_failed_import_writes_nothing(photos: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    for name in ("../out", "a/b", "", ".hidden", "a b"):
        with pytest.raises(UserError, match="name = "):
            import_folder(photos, name, library)
    with pytest.raises(DatasetMissing, match="missing does not exist"):
        import_folder(photos / "missing", "pets", library)
    with pytest.raises(DatasetMissing, match=r"00\.png is a file: should be a folder"):
        import_folder(photos / "cats" / "00.png", "pets", library)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    with pytest.raises(DatasetMissing, match=r"no images .*; there are 1 other files, such as a\."):
        import_folder(tmp_path / "texts", "pets", library)
    with pytest.raises(ValueError, match="size"):
        import_folder(photos, "pets", library, size=0)
    (photos / "cats" / "bad.png").write_bytes(b"nothing")
    with pytest.raises(DatasetDamaged, match=r"1 of 13 images cannot be decoded: cats/bad\.png"):
        import_folder(photos, "pets", library)
    assert not library.exists()


def test_an_import_never_replaces_another_folder(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "MNIST" / "train-images-idx3-ubyte"
    other.parent.mkdir()
    other.touch()
    with pytest.raises(UserError, match="not an imported data set; choose another name"):
        import_folder(photos, "MNIST", tmp_path)
    assert os.listdir(other.parent) == [other.name]


def test_own_images_cannot_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="cae-sweep data import"):
        fetch("image_folder", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_range_of_deep_images_is_a_parameter_that_old_trials_do_not_have(trial: Trial) -> None:
    folder = trial.override({"dataset": "image_folder", "dataset.path": "photos"})
    assert folder.flat().keys() == {
        *(key for key in trial.flat() if not key.startswith("dataset.")),
        *(f"dataset.{name}" for name in DATASET_PARAMETERS),
    }
    deep = folder.override({"dataset.max_value": 4095})
    assert deep.flat()["dataset.max_value"] == 4095
    assert from_flat(deep.flat()) == deep
    assert from_flat(folder.flat()) == folder


def test_an_import_has_the_range_with_which_it_was_made(photos: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    import_folder(photos, "pets", library, size=16)
    with pytest.raises(ValueError, match=r"dataset\.max_value = 255: .*max_value = None"):
        ImageFolder(path="pets", size=16, max_value=255).load([library])
    import_folder(photos, "pets", library, size=16, max_value=255, replace=True)
    ImageFolder(path="pets", size=16, max_value=255).load([library])


@pytest.mark.usefixtures("photos")
def test_a_relative_path_may_belong_to_the_folder_of_the_sweep_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset = ImageFolder(path="photos", size=8)
    in_current_folder = load_images(dataset, [], [tmp_path])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    beside_the_file = load_images(dataset, [], [tmp_path])
    assert beside_the_file.fingerprint == in_current_folder.fingerprint
    assert beside_the_file.notes == in_current_folder.notes
    with pytest.raises(DatasetMissing, match="the folder of the sweep file"):
        load_images(dataset, [])


def test_the_current_folder_comes_first_and_the_choice_is_noted(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_random_images(other / "photos", [f"cats/{number}.png" for number in range(10)])
    monkeypatch.chdir(other)
    images = load_images(ImageFolder(path="photos", size=8), [tmp_path / "data"], [tmp_path])
    assert images.notes[-1] == f"'photos' is {other / 'photos'}, and not {photos}"
    assert images.fingerprint != load_images(ImageFolder(path=str(photos), size=8), []).fingerprint


@pytest.mark.usefixtures("photos")
def test_a_maximal_value_without_an_effect_is_noted() -> None:
    images = load_images(ImageFolder(path="photos", size=8, channels=1, max_value=4095), [])
    note = "max_value = 4095 has no effect: no image has more than 8 bits per value"
    assert images.notes[-1] == note
