"""Reading sweep files: errors with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.errors import UserError
from cae.sweep.engine.session import prepare, select
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.messages import ConfigError


@pytest.mark.parametrize(
    ("code", "line", "error"),
    [
        ("import sys\nsys.exit('no data')\n", 2, "SystemExit: no data"),
        ("\n\nraise SystemExit(3)\n", 3, "SystemExit: 3"),
        ("x = 1\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        (
            "import argparse\nparser = argparse.ArgumentParser()\nparser.error('which?')\n",
            3,
            "SystemExit: 2",
        ),
        ("x = 1\ny = (\n", 2, "SyntaxError: '(' was never closed"),
    ],
)
def test_a_file_that_cannot_be_executed_is_an_error_with_its_line(
    code: str, line: int, error: str, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.py"
    path.write_text(code)
    with pytest.raises(ConfigError) as caught:
        read_sweep_file(path)
    assert caught.value.messages == [f"{path} cannot be executed: line {line}: {error}"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (b"x = 1\n\0", "SyntaxError: source code string cannot contain null bytes"),
        (b"# -*- coding: morse -*-\n", "SyntaxError: unknown encoding: morse"),
    ],
    ids=["null byte", "unknown encoding"],
)
def test_an_error_without_a_line_names_none(code: bytes, error: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.py"
    path.write_bytes(code)
    with pytest.raises(ConfigError) as caught:
        read_sweep_file(path)
    assert caught.value.messages == [f"{path} cannot be executed: {error}"]


def test_a_syntax_error_in_an_imported_module_has_the_line_of_the_import(tmp_path: Path) -> None:
    (tmp_path / "invalid_helper.py").write_text("\n\n\nx = (\n")
    path = tmp_path / "sweep.py"
    path.write_text("\nimport invalid_helper\n")
    with pytest.raises(ConfigError) as caught:
        read_sweep_file(path)
    error = "SyntaxError: '(' was never closed (invalid_helper.py, line 4)"
    assert caught.value.messages == [f"{path} cannot be executed: line 2: {error}"]


HEADER = """from cae import Adam, Classifier, Classify, ConvAutoencoder, Digits, ImageFolder
from cae import Reconstruct, Sweep, Trial

"""
"""Three lines."""


def errors_of_file(code: str, path: Path) -> list[str]:
    """What `cae-sweep plan` reports, without the name of the file."""
    path.write_text(HEADER + code)
    selection = select(path, None, "full", None, None, None, "")
    with pytest.raises(UserError) as caught:
        prepare(selection)
    return [message.removeprefix(f"{path}: ") for message in caught.value.messages]


def test_an_invalid_parameter_is_reported_once(tmp_path: Path) -> None:
    code = (
        "sweep = Sweep(base=Trial(dataset=ImageFolder(path=3), task=Reconstruct(), "
        "arch=ConvAutoencoder(), optimizer=Adam()))"
    )
    assert errors_of_file(code, tmp_path / "sweep.py") == [
        "line 4: ImageFolder.path = 3: should be a valid string"
    ]


def test_no_consequence_of_an_invalid_parameter_is_reported(tmp_path: Path) -> None:
    code = (
        "sweep = Sweep(base=Trial(dataset=Digits(size=8), task=Reconstruct(), "
        "arch=ConvAutoencoder(encoder_filters=(4, 2), decoder_filters=(4,), pool_aftr=(1,), "
        "upsample_after=(0,)), optimizer=Adam()), space={'optimizer.lrr': 1})"
    )
    assert errors_of_file(code, tmp_path / "sweep.py") == [
        "line 4: ConvAutoencoder.pool_aftr is not a parameter here; did you mean pool_after?",
        "optimizer.lrr is not a parameter of optimizer = 'adam'; did you mean optimizer.lr?",
    ]


def test_all_errors_of_a_dependency_and_of_the_rest_are_reported(tmp_path: Path) -> None:
    code = (
        "encoder = Trial(task=Reconstruct(loss='ms'), arch=ConvAutoencoder(), "
        "optimizer=Adam(lr=-1), epochs=-3, batch=4)\n"
        "base = Trial(dataset=Digits(size=8), task=Classify(encoder=encoder), arch=Classifier())\n"
        "sweep = Sweep(base=base.override({'epochs': 3}), metrc='x')"
    )
    assert errors_of_file(code, tmp_path / "sweep.py") == [
        "line 4: Reconstruct.loss = 'ms': 'ms' is not known; did you mean mse?",
        "line 4: Adam.lr = -1: should be greater than 0",
        "line 4: Trial.dataset is missing",
        "line 4: Trial.epochs = -3: should be greater than 0",
        "line 4: Trial.batch is not a parameter here; did you mean batch_size?",
        "line 5: Trial.optimizer is missing",
    ]


def test_an_invalid_override_in_a_sweep_file_has_its_line(tmp_path: Path) -> None:
    code = (
        "base = Trial(dataset=Digits(size=8), task=Reconstruct(), arch=ConvAutoencoder(), "
        "optimizer=Adam())\n"
        "sweep = Sweep(base=base.override({'optimizer.lr': -1, 'arch.kernel': 3}))"
    )
    errors = errors_of_file(code, tmp_path / "sweep.py")
    assert "line 5: " in errors[0]
    assert "optimizer.lr = -1: should be greater than 0" in errors[0]
    assert "arch.kernel is not a parameter" in errors[0]
