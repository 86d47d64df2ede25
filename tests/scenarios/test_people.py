"""Days of three users: after each command, every number shown is compared with the journal."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.scenarios.commands import call, refused
from tests.scenarios.recompute import check_everything, read

pytestmark = pytest.mark.usefixtures("one_ray")

ONE_SLOT = ("--slots", "1")
"""Each slot starts a process that imports torch."""


STUDENT = '''"""Which kernel suits my photographs?"""

from ray import tune

from cae import Adam, ConvAutoencoder, ImageFolder, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=ImageFolder(path="things", size=8, channels=3),
        task=Reconstruct(loss="mse"),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        epochs={epochs},
    ),
    space={{"arch.kernel_size": tune.grid_search([3, 5])}},
    metric="val_psnr",
)
'''


def take_photographs(folder: Path, count: int) -> None:
    """Write photographs of two kinds of things, in several formats and sizes; two are damaged."""
    random = np.random.default_rng(0)
    suffixes = (".jpg", ".png", ".JPG", ".bmp")
    for index in range(count):
        kind = ("dark", "light")[index % 2]
        pixels = random.integers(0, 120, (10 + index % 5, 12, 3)) + 120 * (index % 2)
        path = folder / kind / f"{index:04}{suffixes[index % len(suffixes)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    for path in sorted(folder.rglob("*.png"))[:2]:
        path.write_bytes(path.read_bytes()[:40])


@pytest.mark.slow
def test_a_student_with_800_photographs() -> None:
    take_photographs(Path("photographs"), 800)
    command = ("data", "import", "photographs", "things", "--size", "8", "--data-dir", "data")
    assert "2 of 800 images cannot be decoded" in refused(*command)
    assert not Path("data/things").exists()
    imported = call(*command, "--skip-damaged")
    assert "798 images of 2 classes (dark 400, light 398)" in imported
    assert imported.count("  skipped: ") == 2

    sweep = Path("photographs.py")
    sweep.write_text(STUDENT.format(epochs=2))
    train = ("run", "photographs.py", "--data-dir", "data", *ONE_SLOT)
    call(*train)
    run = Path("runs/photographs")
    check_everything(call, run, {1, 2})
    ranking = read(run).rankings()[0]
    assert ranking[0][2] > ranking[1][2], "a higher PSNR is better"
    journal = (run / "journal.jsonl").read_bytes()
    call(*train)
    assert (run / "journal.jsonl").read_bytes() == journal, "nothing was left to train"

    sweep.write_text(STUDENT.format(epochs=3))
    call(*train)
    check_everything(call, run, {1, 2})
    assert [sorted(trial.epochs) for trial in read(run).trials.values()] == [[1, 2, 3]] * 2
    epochs = (run / "journal.jsonl").read_text().count('"event":"epoch"')
    assert epochs == 6, "no epoch was trained again"

    call("best", "-o", "model", "--data-dir", "data")
    exported = json.loads(Path("model/model.json").read_text())
    best = read(run).rankings()[0][0]
    assert (exported["trial"], exported["epoch"]) == best[:2]
    assert exported["re_evaluated"]["val_psnr"] == pytest.approx(best[2], abs=1e-4)
    call("reconstruct", "model", "photographs/light/0003.bmp", "-o", "pictures.png")
    with Image.open("pictures.png") as pictures:
        assert pictures.mode == "RGB"


RESEARCHER = '''"""The mirror image of stripes, with parts of my own."""

import numpy as np
from ray import tune
from torch import nn

from cae import SGD, Architecture, Dataset, Schedule, Source, Split, Sweep, Task, Trial
from cae.trial.metrics import Direction, share_metric

RIGHT_PIXELS = share_metric("right_pixels", Direction.MAXIMIZE, "Pixels on the right side of 0.5.")


class Stripes(Dataset):
    width: int = 4

    @property
    def image_shape(self):
        return 1, 8, 8

    def read(self, folders):
        phases = np.random.default_rng(self.width).integers(0, 8, 96)
        stripes = (phases[:, None] + np.arange(8)) // self.width % 2 * 255
        images = np.repeat(stripes.astype(np.uint8)[:, None, None], 8, axis=2)
        return Source(Split(images, np.zeros(96, dtype=np.int64)), None, ("stripes",))


class Mirror(Task):
    def pairs(self, images, labels, generator):
        return images, images.flip(3)

    def criterion(self, output, target):
        return {factor} * (output - target).abs().mean()

    def metrics(self, output, target):
        right = ((output > 0.5) == (target > 0.5)).float().flatten(1).mean(1)
        return super().metrics(output, target) | {{"right_pixels": right}}

    def declared_metrics(self):
        return super().declared_metrics() | {{"right_pixels": RIGHT_PIXELS}}


class TwoLayers(Architecture):
    units: int = 16

    def build(self, input_shape, output_shape):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, self.units), nn.ReLU(), nn.Linear(self.units, 64),
            nn.Sigmoid(), nn.Unflatten(1, output_shape),
        )


class Halving(Schedule):
    def next_lr(self, initial_lr, val_losses):
        return initial_lr / 2 ** len(val_losses)


sweep = Sweep(
    base=Trial(
        dataset=Stripes(train_images=64, val_images=16, test_images=16),
        task=Mirror(),
        arch=TwoLayers(),
        optimizer=SGD(lr=0.8),
        schedule=Halving(),
        batch_size=8,
        epochs=2,
    ),
    space={{"arch.units": tune.grid_search([4, 16]), "dataset.width": tune.grid_search([2, 4])}},
    metric="val_right_pixels",
)
'''


def check_loading(output: str) -> None:
    """The line that `best -o` printed loads the model in a new process; `reconstruct` does, too."""
    line = output.partition("load it: ")[2].splitlines()[0].strip()
    assert line == (
        "import cae; cae.load_components('stripes.py'); model = cae.load_model('model')"
    )
    description = json.loads(Path("model/model.json").read_text())
    assert line.replace("'model'", "'FOLDER'") in description["load"]
    evaluate = "; import torch; print(model.network(torch.rand(2, 1, 8, 8)).shape)"
    command = [sys.executable, "-W", "error", "-c", line + evaluate]
    result = subprocess.run(command, capture_output=True, text=True)
    assert "torch.Size([2, 1, 8, 8])" in result.stdout, result.stderr
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("black.png")
    assert "source code" not in call("reconstruct", "model", "black.png", "--sweep", "stripes.py")


@pytest.mark.slow
def test_a_researcher_with_parts_of_their_own() -> None:
    sweep = Path("stripes.py")
    sweep.write_text(RESEARCHER.format(factor=1))
    assert "val_right_pixels" in call("plan", "stripes.py")
    call("run", "stripes.py", *ONE_SLOT)
    run = Path("runs/stripes")
    check_everything(call, run, {1, 2, 3, 4})
    rankings = read(run).rankings()
    assert len(rankings) == 2, "a group for each width of the stripes"
    for ranking in rankings:
        assert ranking[0][2] >= ranking[-1][2], "a larger share of right pixels is better"
    for trial in read(run).trials.values():
        assert [trial.epochs[epoch]["lr"] for epoch in (1, 2)] == [0.8, 0.4]

    number, epoch, value = rankings[0][0]
    output = call("best", "-o", "model", "--trial", number, "--sweep", "stripes.py")
    exported = json.loads(Path("model/model.json").read_text())
    assert exported["epoch"] == epoch
    assert exported["re_evaluated"]["val_right_pixels"] == pytest.approx(value, abs=1e-6)

    check_loading(output)

    # Another loss: its trials are trained beside the old ones, and compared with each other only.
    sweep.write_text(RESEARCHER.format(factor=3))
    call("run", "stripes.py", *ONE_SLOT)
    results = read(run)
    assert sorted(results.trials) == list(range(1, 9))
    for old in range(1, 5):
        assert results.trials[old].epochs[1]["val_loss"] != pytest.approx(
            results.trials[old + 4].epochs[1]["val_loss"], rel=0.5
        )
    assert len(json.loads(call("status", "--json"))["groups"]) == 4

    reconstruct = ("reconstruct", "model", "black.png", "--sweep", "stripes.py")
    assert "warning: the source code of the model's components differs" in call(*reconstruct)

    # The old trials are exported with the code that trained them; the reason is always the true one
    export = ("best", "-o", "old", "--trial", number, "--sweep")
    message = refused(*export, "stripes.py")
    assert "the source code of its components in stripes.py differs" in message
    snapshot = message.partition("the code that trained the trial is in ")[2].partition(")")[0]
    sweep.write_text(sweep.read_text().replace("default_rng(self.width)", "default_rng(9)"))
    message = refused(*export, "stripes.py")
    assert "the images of stripes differ from those" in message
    assert "and the source code of its components in stripes.py differs, too" in message
    sweep.write_text(sweep.read_text().replace("units", "neurons"))
    message = refused(*export, "stripes.py")
    assert "--sweep stripes.py does not define its components: arch.units is not a" in message
    for hint in (snapshot, "--no-verify"):
        assert hint in message
    assert not Path("old").exists()
    assert "re-evaluated: val_loss" in call(*export, snapshot)


TEAM = '''"""Learning rates of a small network."""

from ray import tune

from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=64, val_images=32, test_images=32),
        task=Reconstruct(loss={loss!r}),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-2),
        epochs={epochs},
    ),
    space={{"optimizer.lr": tune.grid_search({rates})}},
    seeds={seeds},
)
'''


class Team:
    """A sweep file that is edited, and the trials that it asks for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, Any] = {
            "loss": "mse",
            "epochs": 1,
            "rates": [1e-3, 1e-2],
            "seeds": 1,
        }

    def edit(self, **values: Any) -> None:
        self.values |= values
        self.path.write_text(TEAM.format(**self.values))

    def current(self, run: Path) -> set[int]:
        """The numbers of the trials with the values of the file."""
        values = self.values
        return {
            trial.number
            for trial in read(run).trials.values()
            if trial.config["task.loss"] == values["loss"]
            and trial.config["optimizer.lr"] in values["rates"]
            and trial.config["seed"] < values["seeds"]
        }


def epochs_trained(run: Path) -> int:
    return (run / "journal.jsonl").read_text().count('"event":"epoch"')


@pytest.mark.slow
def test_a_team_that_extends_narrows_edits_joins_and_moves_a_run() -> None:
    team = Team(Path("rates.py"))
    run = Path("runs/rates")
    team.edit()
    call("run", "rates.py", *ONE_SLOT)
    check_everything(call, run, {1, 2})
    team.edit(rates=[1e-3, 1e-2, 3e-2])  # wider
    call("run", "rates.py", *ONE_SLOT)
    check_everything(call, run, {1, 2, 3})
    team.edit(rates=[1e-2])  # narrower: nothing to train
    call("run", "rates.py", *ONE_SLOT)
    check_everything(call, run, {2})
    assert epochs_trained(run) == 3
    team.edit(epochs=2)  # one trial is extended
    call("run", "rates.py", *ONE_SLOT)
    check_everything(call, run, {2})
    assert epochs_trained(run) == 4
    team.edit(rates=[1e-3, 1e-2], epochs=1, seeds=2)  # the longer trial answers for the shorter one
    call("run", "rates.py", *ONE_SLOT)
    check_everything(call, run, team.current(run))
    assert epochs_trained(run) == 6
    team.edit(loss="l1", seeds=1)  # another loss
    call("run", "rates.py", *ONE_SLOT)
    check_everything(call, run, team.current(run))
    assert len(read(run).rankings()) == 2

    Path("elsewhere").mkdir()
    shutil.copy("rates.py", "elsewhere/rates.py")
    Path("elsewhere/rates.py").write_text(TEAM.format(**team.values | {"rates": [5e-3]}))
    assert "--out" in refused("run", "elsewhere/rates.py")
    call("run", "elsewhere/rates.py", "--out", "runs/other", *ONE_SLOT)
    check_everything(call, run, team.current(run))

    run.rename("runs/archived")
    run = Path("runs/archived")
    call("run", "rates.py", "--out", "runs/archived", *ONE_SLOT)
    check_everything(call, run, team.current(run))
    call("report", "runs/archived", "runs/other", "-o", "joined")
    check_joined(Path("joined"), [run, Path("runs/other")])


def check_joined(folder: Path, runs: list[Path]) -> None:
    """The joined table has each trial of each run once, with its own values."""
    with (folder / "trials.csv").open(newline="") as file:
        rows = {(row["run"], int(row["trial"])): row for row in csv.DictReader(file)}
    expected: dict[tuple[str, int], float] = {}
    for path in runs:
        run = read(path)
        for ranking in run.rankings():
            for number, _, value in ranking:
                expected[path.name, number] = value
    assert {key: float(row["val_loss"]) for key, row in rows.items()} == expected
