"""Every command and code block of the guide on own images works, in its order."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cae.cli.app import app
from tests.conftest import ROOT
from tests.trial.datasets.small_files import idx_content

GUIDE = (ROOT / "docs" / "guide" / "own_images.md").read_text()
BLOCKS = re.findall(r"```(sh|python|)\n(.*?)```", GUIDE, re.DOTALL)
RANDOM = np.random.default_rng(0)
CELLS = RANDOM.integers(0, 65536, (40, 12, 24, 32), np.uint16)


def write_photos() -> None:
    """60 images in two classes, a damaged one and a text."""
    for kind in ("cats", "dogs"):
        Path("photos", kind).mkdir(parents=True)
        for number in range(1, 31):
            size = (30, (40, 50, 60)[number % 3], 3)
            image = Image.fromarray(RANDOM.integers(0, 256, size, np.uint8))
            suffix = ".png"
            if number % 4 == 0:
                suffix = ".jpg"
            if number % 4 == 1:
                image = image.convert("L")
            image.save(f"photos/{kind}/{number}{suffix}")
    Path("photos/cats/broken.jpg").write_bytes(b"no image")
    Path("photos/notes.txt").touch()
    names = sorted(str(path.relative_to("photos")) for path in Path("photos").glob("*/*g"))
    rows = [f"{name},{('train', 'train', 'test')[index % 3]}" for index, name in enumerate(names)]
    Path("photos/splits.csv").write_text("file,split\n" + "\n".join(rows) + "\n")


def write_published() -> None:
    """Small files of the names of KMNIST, EMNIST and CIFAR-100."""
    for folder, prefix in (("KMNIST/raw", ""), ("EMNIST/raw", "emnist-letters-")):
        Path(folder).mkdir(parents=True)
        for split in ("train", "t10k" if not prefix else "test"):
            images = RANDOM.integers(0, 256, (20, 28, 28), np.uint8)
            labels = (np.arange(20) % 10).astype(np.uint8)
            Path(folder, f"{prefix}{split}-images-idx3-ubyte").write_bytes(idx_content(images))
            Path(folder, f"{prefix}{split}-labels-idx1-ubyte").write_bytes(idx_content(labels))
    Path("EMNIST/raw/emnist-digits-train-images-idx3-ubyte").touch()
    Path("cifar-100-python").mkdir()
    for split in ("train", "test"):
        records = RANDOM.integers(0, 20, (20, 3074), np.uint8)
        Path("cifar-100-python", f"{split}.bin").write_bytes(records.tobytes())


def run_command(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    words = shlex.split(line)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    assert words[0] == "cae-sweep"
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
    return result.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
@pytest.mark.timeout(600)
def test_every_block_of_the_guide_runs_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAE_DATA", "data")
    write_photos()
    write_published()
    np.savez("cells.npz", images=CELLS, labels=np.arange(40) % 3)
    np.save("new_cells.npy", CELLS[:5])
    outputs: list[str] = []
    spaces: dict[str, object] = {}
    for kind, text in BLOCKS:
        if kind == "sh":
            for line in text.splitlines():
                outputs.append(run_command(line, monkeypatch))
        elif kind == "python":
            file = re.match(r"# (\w+\.py)\n", text)
            if file:
                Path(file[1]).write_text(text)
            if not file or file[1] == "like_published.py":
                with warnings.catch_warnings():  # a photograph that is cropped
                    warnings.simplefilter("ignore", UserWarning)
                    exec(compile(text, "guide", "exec"), spaces)
        elif text.startswith(("pets: ", "cells.npz: ")):  # what the last command prints
            printed = outputs[-1].replace(str(tmp_path) + "/", "")
            assert printed == text
    assert any("streamed from the disk" in output for output in outputs)
    for name in ("runs/photos/report.html", "dogs.png", "out.npy"):
        assert Path(name).exists()
    written = np.load("out.npy")
    assert written.dtype == np.uint16
    assert written.shape == (5, 12, 24, 32)
    expected = np.clip(np.asarray(spaces["outputs"]), 0, 1) * 65535
    assert np.abs(written - expected).max() <= 0.51
    check_psnr(Path("runs/cells"))
    for name in ("kmnist", "letters", "fine", "coarse"):
        dataset = spaces[name]
        assert len(dataset.load([Path.cwd()]).train.labels) == 18  # type: ignore[attr-defined]


def check_psnr(run: Path) -> None:
    """The PSNR of the page is that of numpy, from the pixels of the file and the exported model."""
    from cae.run.paths import RunDir
    from cae.trial.model import load_model

    order = np.random.RandomState(0).permutation(len(CELLS))
    test = CELLS[order[4:8]].astype(np.float64)
    [record] = RunDir(run).records().values()
    import torch

    with torch.inference_mode():
        inputs = torch.from_numpy((test / 65535).astype(np.float32))
        outputs = load_model("cells_model").network(inputs).double().numpy() * 65535
    errors = ((outputs - test) ** 2).reshape(4, -1).mean(1)
    expected = (20 * np.log10(65535) - 10 * np.log10(errors)).mean()
    description = json.loads(Path("cells_model/model.json").read_text())
    assert description["pixels"]["value_range"] == [0, 65535]
    assert abs(description["metrics"]["test_psnr"] - expected) < 1e-4
    assert record.config["dataset.shape"] == [12, 24, 32]


def test_the_readme_leads_to_the_guide() -> None:
    assert "docs/guide/own_images.md" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if "# cells.py" in text])
def test_the_sweep_file_of_12_channels_has_at_most_12_lines(block: str) -> None:
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 12
