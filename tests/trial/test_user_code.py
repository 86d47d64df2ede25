"""What of a user's code identifies a component: everything that it uses, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.user_code import (
    code_in_text,
    code_of,
    digest,
    find_user_module,
    imported_user_modules,
)

SWEEP = '''"""A sweep with a network of its own."""

import helpers
from helpers import block
from package import inner
from torch import nn
from torch.nn import ReLU as Activation

from cae import Adam, Architecture, Digits, Reconstruct, Sweep, Trial

UNITS = 64
WIDTHS = (UNITS, 8)
EPOCHS = 2


class _Base(Architecture):
    def build(self, input_shape, output_shape):
        return make_network(output_shape)


def make_network(output_shape):
    EPOCHS = "a local name"
    layers = [nn.Flatten(), nn.Linear(64, WIDTHS[0]), Activation(), block(WIDTHS[0])]
    return nn.Sequential(*layers, nn.Unflatten(1, output_shape))


class OwnNetwork(_Base):
    units: int = 1

    def unused_here(self):
        return inner.value(), lazily()


def lazily():
    import lazy

    return lazy.VALUE


def change(component):
    component.changed = 1


change(OwnNetwork)
OwnNetwork.constant = 2


def unused():
    return helpers


sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=96, val_images=32, test_images=32),
        task=Reconstruct(),
        arch=OwnNetwork(),
        optimizer=Adam(),
        epochs=EPOCHS,
    ),
)
'''
MODULES = {
    "helpers.py": "from torch import nn\nSIZE = 64\nOTHER = 1\n"
    "def block(units):\n    return nn.Linear(units, SIZE)\n",
    "lazy.py": "VALUE = 1\n",
    "package/__init__.py": "",
    "package/inner.py": "from . import deep\ndef value():\n    return deep.VALUE\n",
    "package/deep.py": "VALUE = 1\n",
}
USED = [
    ("own.py", "UNITS = 64", "UNITS = 4"),
    ("own.py", "(UNITS, 8)", "(UNITS, 9)"),
    ("own.py", "ReLU as", "Tanh as"),
    ("own.py", "return make_network", "return 1 and make_network"),
    ("own.py", "nn.Flatten(), nn", "nn.Flatten(1), nn"),
    ("own.py", "units: int = 1", "units: int = 2"),
    ("own.py", "component.changed = 1", "component.changed = 2"),
    ("own.py", "OwnNetwork.constant = 2", "OwnNetwork.constant = 3"),
    ("helpers.py", "SIZE = 64", "SIZE = 2 * 32"),
    ("helpers.py", "nn.Linear(units, SIZE)", "nn.Linear(units, SIZE, bias=False)"),
    ("package/inner.py", "return deep.VALUE", "return -deep.VALUE"),
    ("package/deep.py", "VALUE = 1", "VALUE = 22"),
    ("lazy.py", "VALUE = 1", "VALUE = 22"),
]
UNUSED = [
    ("own.py", "EPOCHS = 2", "EPOCHS = 3"),
    ("own.py", "Adam()", "Adam(lr=0.1)"),
    ("own.py", "return helpers", "return helpers.OTHER"),
    ("own.py", '"""A sweep', '"""The sweep'),
    ("helpers.py", "OTHER = 1", "OTHER = 2"),
]


@pytest.fixture
def own_sweep(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "own.py"
    path.write_text(SWEEP)
    return path


def code_in(path: Path) -> str:
    """The code of the trial that a sweep file declares."""
    return read_sweep_file(path).sweep.base.code()


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(("name", "old", "new"), USED)
def test_code_that_a_component_uses_identifies_it(
    own_sweep: Path, name: str, old: str, new: str
) -> None:
    before = code_in(own_sweep)
    edit(own_sweep.parent, name, old, new)
    assert code_in(own_sweep) != before


@pytest.mark.parametrize(("name", "old", "new"), UNUSED)
def test_other_code_does_not_identify_a_component(
    own_sweep: Path, name: str, old: str, new: str
) -> None:
    before = code_in(own_sweep)
    edit(own_sweep.parent, name, old, new)
    assert code_in(own_sweep) == before


def test_the_code_is_that_which_was_executed(own_sweep: Path) -> None:
    trial = read_sweep_file(own_sweep).sweep.base
    own_sweep.write_text("half a fi")
    assert "units: int = 1" in trial.code()


def test_the_code_in_another_text_of_the_file(own_sweep: Path) -> None:
    component = type(read_sweep_file(own_sweep).sweep.base.arch)
    assert code_in_text(SWEEP, component) == code_of(component)
    assert code_in_text(SWEEP.replace("EPOCHS = 2", "EPOCHS = 3"), component) == code_of(component)
    assert code_in_text(SWEEP.replace("UNITS = 64", "UNITS = 4"), component) != code_of(component)
    assert code_in_text("", component) == ""


def test_built_in_components_have_no_code(own_sweep: Path) -> None:
    base = read_sweep_file(own_sweep).sweep.base
    assert base.override({"arch": "conv_autoencoder"}).code() == ""
    assert digest("") == ""


def test_the_modules_that_a_sweep_file_imports(own_sweep: Path) -> None:
    module = read_sweep_file(own_sweep).module
    names = ["helpers", "lazy", "package", "package.deep", "package.inner"]
    assert [module.name for module in imported_user_modules(module)] == names


def test_modules_of_python_and_of_packages_are_not_the_users() -> None:
    for name in ("json", "numpy", "cae", "pytest", "sqlite3", "no_such_module", "xml.dom"):
        assert find_user_module(name) is None
