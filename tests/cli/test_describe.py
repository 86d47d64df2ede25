"""`cae-sweep describe`: every component and metric, and the generated documentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.sweep.spec.catalog import Entry, catalog, trial_metrics

DOCUMENT = Path(__file__).parents[2] / "docs" / "parameters.md"


def describe(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["describe", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_generated_document_is_up_to_date() -> None:
    """In a process of its own: other tests define components."""
    result = subprocess.run(
        [sys.executable, "-m", "cae", "describe", "--markdown"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == DOCUMENT.read_text(), (
        "run: python -m cae describe --markdown > docs/parameters.md"
    )


@pytest.mark.parametrize("entry", catalog(), ids=lambda entry: entry.name)
def test_every_entry_is_described_completely(entry: Entry) -> None:
    assert entry.meaning
    for parameter in entry.parameters:
        assert parameter.type, parameter.name
        assert parameter.meaning, parameter.name
    for metric in entry.metrics:
        assert metric.meaning, metric.name


def test_every_metric_of_a_trial_has_a_meaning() -> None:
    metrics = trial_metrics()
    assert {metric.name for metric in metrics} >= {"lr", "seconds", "images_per_second"}
    assert all(metric.meaning for metric in metrics)


def test_without_a_name_all_entries_are_listed() -> None:
    output = describe()
    for name in ("conv_autoencoder", "mnist", "denoise", "adam", "ASHA", "RisesWith"):
        assert name in output


def test_a_component_is_printed_with_its_parameters() -> None:
    output = describe("denoise")
    assert "noise_factor" in output
    assert "number above 0" in output


def test_a_parameter_is_printed_for_every_component_that_has_it() -> None:
    output = describe("arch.kernel_size")
    assert "ConvAutoencoder.kernel_size" in output
    assert "VariationalAutoencoder.kernel_size" in output


def test_a_metric_is_printed_with_its_direction() -> None:
    output = describe("val_psnr")
    assert "larger" in output


def test_all_metrics_are_printed_with_those_of_the_latent_code() -> None:
    output = describe("metrics")
    for name in ("images_per_second", "psnr", "elbo", "probe_accuracy", "trustworthiness_pca"):
        assert name in output, name


@pytest.mark.parametrize("name", ["test_probe_accuracy", "val_probe_accuracy", "probe_accuracy"])
def test_a_metric_of_the_latent_code_is_printed_with_its_protocol(name: str) -> None:
    output = describe(name)
    assert "LogisticRegression(C=1, solver='lbfgs'" in output
    assert "larger" in output


def test_an_unknown_name_is_an_error_with_the_nearest_one() -> None:
    result = CliRunner().invoke(app, ["describe", "arch.kernal_size"])
    assert result.exit_code == 2
    assert "did you mean arch.kernel_size, " in result.stderr


OWN = '''"""Own components."""

from cae import Adam, ConvAutoencoder, Digits, Reconstruct, Sweep, Trial
from cae.trial.metrics import error_metric


class DescribedTask(Reconstruct):
    """A task of the user's."""

    side: int
    """Side of the box in pixels."""

    def declared_metrics(self):
        own = error_metric("described_error", "pixel value", "An error of the user's.")
        return super().declared_metrics() | {"described_error": own}


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=16), task=DescribedTask(side=3), arch=ConvAutoencoder(),
        optimizer=Adam(lr=0.1),
    )
)
'''


def test_components_of_a_sweep_file_are_described(tmp_path: Path) -> None:
    path = tmp_path / "own_described.py"
    path.write_text(OWN)
    printed = describe("DescribedTask", "--sweep", str(path))
    assert "A task of the user's." in printed
    assert "Side of the box in pixels." in printed
    assert "required" in printed
    assert "An error of the user's." in printed


def test_an_unknown_name_may_be_that_of_an_own_component() -> None:
    result = CliRunner().invoke(app, ["describe", "NotDescribed"])
    assert result.exit_code == 2
    assert "one of your own needs --sweep FILE" in result.stderr
