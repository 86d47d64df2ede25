"""What all tests share: one Ray for the whole session, and sweeps of embedded images that take seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

SWEEP = '''"""A sweep of digits: what the tests run."""

from ray import tune

from cae import ASHA, SGD, Adam, ConvAutoencoder, Denoise, Digits, Reconstruct, ReduceOnPlateau, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=96, val_images=32, test_images=32),
        task=Reconstruct(),
        arch=ConvAutoencoder(encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs={epochs},
    ),
    space={space},
    {more}
)
'''


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a sweep file: `sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}", epochs=3, more="seeds=2")`."""

    def write(space: str = "{}", *, epochs: int = 2, more: str = "", name: str = "small") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(SWEEP.format(space=space, epochs=epochs, more=more))
        return path

    return write


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the two processes that run the tests, one has nearly all that need Ray, and the other the sweeps: they take as long."""
    for item in items:
        if "one_ray" in getattr(item, "fixturenames", ()):
            item.add_marker(
                pytest.mark.xdist_group("sweeps" if item.path.name == "test_sweeps.py" else "ray")
            )


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder of its own to run in, and no data set of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CAE_DATA", raising=False)


@pytest.fixture(scope="session")
def one_ray() -> Iterator[Any]:
    """The Ray that all tests in this process share: starting one takes longer than most tests."""
    os.environ["RAY_AUTH_MODE"] = (
        "disabled"  # no token in the home folder of whoever runs the tests
    )
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
    }  # of a server that takes any: workers inherit them
    from cae.sweep.places.local import Resources, local_ray

    with local_ray(
        Resources(cpus=2, gpus=2, cpus_per_trial=1, gpus_per_trial=0)
    ):  # logical GPUs: Ray only counts them
        yield Resources(cpus=2, gpus=0, cpus_per_trial=1, gpus_per_trial=0)


@pytest.fixture
def run_sweep(one_ray: Any) -> Callable[..., Any]:
    """Runs a sweep file in the shared Ray; returns its RunDir. Keywords are those of session.Selection."""
    from cae.sweep.engine import session

    def run(
        path: Path,
        resources: Any = one_ray,
        limits: Any = session.Limits(),  # noqa: B008
        **options: Any,
    ) -> Any:
        chosen: dict[str, Any] = {
            "out": Path("run"),
            "budget": "full",
            "settings": {},
            "max_trials": None,
            "data_dir": None,
        } | options
        prepared = session.prepare(session.Selection(sweep=path, **chosen))
        session.execute(prepared, resources, command="a test", limits=limits)
        return prepared.run

    return run
