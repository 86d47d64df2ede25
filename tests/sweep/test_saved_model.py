"""The models of the trials of a run: `cae.open_run(...).model(trial)`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import cae
from cae.cli.app import app
from cae.errors import UserError
from cae.run.paths import RunDir
from cae.trial.networks.base import Architecture
from cae.trial.pixel_format import PixelFormat

DEEP_SWEEP = '''"""Images of 12 bits, and a network of the sweep file's own."""

from ray import tune
from torch import nn

from cae import Adam, Architecture, Arrays, Reconstruct, Sweep, Trial


class SavedModelNetwork(Architecture):
    units: int = 3

    def build(self, input_shape, output_shape):
        network = nn.Module()
        network.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, self.units))
        network.decoder = nn.Sequential(nn.Linear(self.units, 64), nn.Unflatten(1, (1, 8, 8)))
        network.forward = lambda images: network.decoder(network.encoder(images))
        return network


sweep = Sweep(
    base=Trial(
        dataset=Arrays(path="deep.npy", shape=(1, 8, 8), value_range=(0, 4095)),
        task=Reconstruct(),
        arch=SavedModelNetwork(),
        optimizer=Adam(lr=1e-3),
        batch_size=8,
        epochs=1,
    ),
    space={"arch.units": tune.grid_search([3, 4])},
)
'''


def test_a_trial_is_used_without_exporting_it(
    run_sweep: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 1, 8, 8), np.uint16)
    np.save("deep.npy", pixels)
    file = Path("deep_sweep.py")
    file.write_text(DEEP_SWEEP)
    run = run_sweep(file)
    recorded = PixelFormat("uint16", (0.0, 4095.0))
    assert {str(record.pixels) for record in run.records().values()} == {str(recorded.to_json())}

    saved = cae.open_run(run.path)
    model = saved.model(2)
    assert model.pixel_format == recorded
    codes = model.encode(pixels)
    inputs = torch.from_numpy(pixels.astype(np.float32)) / 4095
    with torch.inference_mode():
        assert torch.equal(codes, model.network.get_submodule("encoder")(inputs))
    assert codes.shape == (40, 4)
    assert torch.equal(model.decode(codes), model.reconstruct(pixels))

    command = ["best", str(run.path), "--trial", "2", "--no-verify", "--format", "torch"]
    without_folder = CliRunner().invoke(app, command)
    assert without_folder.exit_code == 2
    assert "--format torch: needs -o DIR" in without_folder.stderr
    result = CliRunner().invoke(app, [*command, "-o", "model"])
    assert result.exit_code == 0, result.output
    exported = cae.load_model("model")
    assert exported.pixel_format == recorded, "known without reading the images"
    assert torch.equal(exported.encode(pixels), codes)
    check_folder(Path("model"), result.stdout)

    with pytest.raises(UserError, match="trial = 3: the run has no such trial; it has 1, 2"):
        saved.model(3)
    (run.trial(1) / "best.safetensors").unlink()
    with pytest.raises(UserError, match=r"trial 1: its best weights, .* do not exist"):
        saved.model(1)
    monkeypatch.delitem(Architecture.registry, "saved_model_network")
    with pytest.raises(UserError, match=r"call cae.load_components\(FILE\) before.*deep_sweep.py"):
        saved.model(2)
    cae.load_components(file)
    assert torch.equal(saved.model(2).encode(pixels), codes)
    file.write_text(DEEP_SWEEP.replace("8, 8))", "8, 8)), nn.Sigmoid()"))
    cae.load_components(file)
    with pytest.warns(UserWarning, match=r"trial 2: the source code .* differs"):
        saved.model(2)

    lines = [json.loads(line) for line in run.journal.read_text().splitlines()]
    for line in lines:
        line.pop("pixels", None)  # as an older version wrote it
    run.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    cae.load_components("deep_sweep.py")
    old = cae.open_run(run.path)
    with pytest.warns(UserWarning, match="differs"):
        old_model = old.model(2)
    with pytest.raises(UserError, match=r"not recorded .* cae-sweep best RUN --trial N -o DIR"):
        old_model.encode(pixels)


def check_folder(folder: Path, output: str) -> None:
    """The files of an exported model with a component of its own."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "model.json",
        "model.safetensors",
        "README.md",
        "code/deep_sweep.py",
        "model.pt2",
        "encoder.pt2",
        "decoder.pt2",
    }
    assert (folder / "code" / "deep_sweep.py").read_text() == DEEP_SWEEP
    assert "loading the model never executes it: cae.load_components('model/code/deep" in output
    assert "model.pt2, encoder.pt2, decoder.pt2: checked against the network" in output
    card = (folder / "README.md").read_text()
    for text in (
        "# Images of 12 bits, and a network of the sweep file's own: trial 2",
        "cae.load_components('code/deep_sweep.py'); model = cae.load_model('FOLDER')",
        "uint16, black and white are [0.0, 4095.0]; inputs of the network are (pixels - 0) / 4095",
        "licence of the images: not known",
        "trained with one seed: there are no intervals",
        "The weights were not evaluated again",
        "| arch.units | 4 |",
    ):
        assert text in card, text
