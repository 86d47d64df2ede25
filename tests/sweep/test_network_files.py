"""Networks as ONNX and torch.export files: they give the outputs of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from cae import ConvAutoencoder, DenseAutoencoder, Reconstruct
from cae.errors import UserError
from cae.sweep import network_files
from cae.sweep.network_files import FileFormat, write_network_files
from cae.trial.config import Trial
from cae.trial.networks.create import build_network
from tests.trial.tasks.test_declared_metrics import TASKS, small_trial

SKIPS = {"arch.skips": True}
NORMALIZED = ConvAutoencoder(
    encoder_filters=(4, 2),
    decoder_filters=(4,),
    pool_after=(1,),
    upsample_after=(0,),
    batch_norm="before_activation",
    dropout=0.5,
    hidden_units=(5,),
    upsampling="transposed",
)


def network_of(trial: Trial) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    network = build_network(trial).eval()
    return network, trial.task.input_shape(trial.dataset.image_shape)


def run_file(path: Path, inputs: torch.Tensor) -> np.ndarray:
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        [name] = [item.name for item in session.get_inputs()]
        [outputs] = session.run(None, {name: inputs.numpy()})
        return np.asarray(outputs)
    with torch.inference_mode():
        loaded = torch.export.load(path).module()
        return np.asarray(loaded(inputs))


def check_files(trial: Trial, file_format: FileFormat, folder: Path) -> set[str]:
    """Run each file with 7 images, and return the names of the parts."""
    network, shape = network_of(trial)
    written = write_network_files(network, shape, file_format, folder)
    inputs = torch.rand(7, *shape)
    with torch.inference_mode():
        expected = {"model": network(inputs), "encoder": network.get_submodule("encoder")(inputs)}
    given = {"model": inputs, "encoder": inputs, "decoder": expected["encoder"]}
    expected["decoder"] = expected["model"]
    for path in written.paths:
        outputs = run_file(path, given[path.stem])
        np.testing.assert_allclose(outputs, expected[path.stem], rtol=1e-5, atol=1e-5)
    return {path.stem for path in written.paths}


WHOLE = {"model", "encoder", "decoder"}


def trials_of_every_shape() -> dict[str, Trial]:
    """A trial for each architecture with each shape of inputs and outputs that a task has."""
    trials: dict[str, Trial] = {}
    shapes: set[tuple[Any, ...]] = set()
    for task in TASKS:
        trial = small_trial(task)
        image_shape = trial.dataset.image_shape
        key = (trial.arch.name, task.input_shape(image_shape), task.output_shape(image_shape))
        if key not in shapes:
            shapes.add(key)
            trials[f"{task.name} {len(shapes)}"] = trial
    reconstruct = small_trial(Reconstruct())
    for arch in (DenseAutoencoder(), NORMALIZED):
        changed = reconstruct.model_copy(update={"arch": arch})
        trials[f"reconstruct {arch.name}"] = changed
    trials["reconstruct"] = reconstruct  # the last of its architecture
    return trials


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "torch"])
def test_files_of_every_task_and_architecture_give_the_outputs_of_the_network(
    file_format: FileFormat, tmp_path: Path
) -> None:
    trials = trials_of_every_shape()
    if file_format == "onnx":  # takes seconds per file: one network of each architecture
        trials = {trial.arch.name: trial for trial in trials.values()}
        assert len(trials) == 4
    for name, trial in trials.items():
        folder = tmp_path / name
        folder.mkdir()
        parts = check_files(trial, file_format, folder)
        if trial.task.name == "classify":
            assert parts == {"model", "encoder"}
        else:
            assert parts == WHOLE


def test_a_network_with_skips_has_no_file_of_the_decoder(tmp_path: Path) -> None:
    network, shape = network_of(small_trial(Reconstruct()).override(SKIPS))
    written = write_network_files(network, shape, "torch", tmp_path)
    assert {path.name for path in written.paths} == {"model.pt2", "encoder.pt2"}
    [note] = written.notes
    assert note.startswith("no file of the decoder: a network with skips")


def test_a_file_with_other_outputs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wrong(part: Any, path: Path) -> Any:
        path.touch()

        def run(inputs: torch.Tensor) -> np.ndarray:
            with torch.inference_mode():
                return np.asarray(part.network(inputs)) + 3e-5

        return run

    monkeypatch.setitem(network_files.WRITERS, "torch", write_wrong)
    network, shape = network_of(small_trial(Reconstruct()))
    with pytest.raises(UserError, match=r"model.pt2: its outputs differ .* at most 1e-05"):
        write_network_files(network, shape, "torch", tmp_path)


class DependsOnValues(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.sum() > 3:
            return images
        return -images


def test_a_network_that_cannot_be_exported_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the model of this network cannot be exported"):
        write_network_files(DependsOnValues(), (1, 4, 4), "torch", tmp_path)


def test_a_missing_package_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network_files.PACKAGES, "onnx", ("onnx", "not_installed_here"))
    network, shape = network_of(small_trial(Reconstruct()))
    expected = r"not_installed_here is not installed: pip install 'cae-sweep\[onnx\]'"
    with pytest.raises(UserError, match=expected):
        write_network_files(network, shape, "onnx", tmp_path)
    assert not list(tmp_path.iterdir())
