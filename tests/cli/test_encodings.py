"""Sweep files, folders and terminals with other encodings than UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cae.sweep.spec.code_snapshot import take_snapshot
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.datasets import ImageFolder, load_images

SWEEP = '''# -*- coding: latin-1 -*-
"""Größe."""

from beside_latin import NAME

from cae import Adam, ConvAutoencoder, ImageFolder, Reconstruct, Sweep, Trial

sweep = Sweep(
    title=NAME,
    base=Trial(
        dataset=ImageFolder(path="photos", size=8),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(),
        epochs=1,
    ),
)
'''


@pytest.fixture
def sweep_path(tmp_path: Path) -> Path:
    """A sweep file in latin-1 that imports another one, and folders named in latin-1 and UTF-8."""
    for name in (b"caf\xe9", b"caf\xe8", "größe".encode()):
        folder = tmp_path / "photos" / os.fsdecode(name)
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = np.full((8, 8, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "beside_latin.py").write_text("# coding: latin-1\nNAME = 'Größe'\n", "latin-1")
    path = tmp_path / "latin.py"
    path.write_text(SWEEP, "latin-1")
    return path


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_commands_work_without_utf_8(sweep_path: Path, encoding: str) -> None:
    """Without the UTF-8 mode that Python turns on by itself for the locale C."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run(
        [sys.executable, "-m", "cae", "plan", str(sweep_path)],
        env=os.environ | locale | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    title = {"latin-1": "Größe".encode("latin-1"), "ascii": rb"Gr\xf6\xdfe"}[encoding]
    assert title in result.stdout


def test_class_names_of_any_bytes_are_distinct_text(sweep_path: Path) -> None:
    dataset = ImageFolder(path=str(sweep_path.parent / "photos"), size=8)
    images = load_images(dataset, [])
    assert images.class_names == ("caf\\xe8", "caf\\xe9", "größe")


def test_a_snapshot_has_the_encoding_that_its_files_declare(
    sweep_path: Path, tmp_path: Path
) -> None:
    take_snapshot(read_sweep_file(sweep_path)).write(tmp_path / "code")
    assert (tmp_path / "code" / "latin.py").read_bytes() == sweep_path.read_bytes()
    copy = (tmp_path / "code" / "beside_latin.py").read_bytes()
    assert copy == (tmp_path / "beside_latin.py").read_bytes()
