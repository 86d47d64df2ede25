"""Where the files of data sets are searched for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.trial.datasets.errors import DatasetMissing
from cae.trial.datasets.files import data_folders, find_files

FILES = [("one", "one.gz"), ("two", "two.gz")]
SUBFOLDERS = ["set/raw", "set"]


def create_files(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def test_the_first_folder_with_all_files_is_used(tmp_path: Path) -> None:
    first = tmp_path / "first"
    second = tmp_path / "second"
    third = tmp_path / "third"
    create_files(first / "set/raw", "one")
    create_files(second / "set/raw", "one", "two.gz")
    create_files(third / "set/raw", "one", "two")
    expected = [second / "set/raw/one", second / "set/raw/two.gz"]
    assert find_files(FILES, SUBFOLDERS, [first, second, third]) == expected


def test_a_folder_can_be_the_subfolder_itself(tmp_path: Path) -> None:
    create_files(tmp_path / "set/raw", "one", "two")
    expected = [tmp_path / "set/raw/one", tmp_path / "set/raw/two"]
    for folder in (tmp_path, tmp_path / "set", tmp_path / "set/raw"):
        assert find_files(FILES, SUBFOLDERS, [folder]) == expected


def test_missing_files_are_an_error_with_the_searched_folders(tmp_path: Path) -> None:
    create_files(tmp_path / "set/raw", "one")
    incomplete = rf"searched {tmp_path}\n.*set/raw is incomplete: missing are two"
    with pytest.raises(DatasetMissing, match=incomplete):
        find_files(FILES, SUBFOLDERS, [tmp_path])
    with pytest.raises(DatasetMissing, match="searched no folder"):
        find_files(FILES, SUBFOLDERS, [])


def test_data_folders_are_the_option_alone_or_the_variable_and_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("CAE_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert data_folders() == [Path("/home/someone/.cache/cae-sweep")]
    monkeypatch.setenv("CAE_DATA", "~/data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folders() == [Path("/home/someone/data"), tmp_path / "cae-sweep"]
    assert data_folders(Path("/x")) == [Path("/x")]
    assert data_folders(Path("~/other")) == [Path("/home/someone/other")]
