"""What all tests share: one Ray for the session, and sweeps of embedded images that take
seconds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

SWEEP = '''"""A sweep of digits: what the tests run."""

from ray import tune

from cae import ASHA, SGD, Adam, ConvAutoencoder, Denoise, Digits, Reconstruct
from cae import ReduceOnPlateau, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=96, val_images=32, test_images=32),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(lr=1e-3),
        batch_size=32,
        epochs={epochs},
    ),
    space={space},
    latent=False,  # its measures need a second more in each new worker
    {more}
)
'''


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a sweep file: `sweep_file("{'optimizer.lr': ...}", epochs=3, more="seeds=2")`."""

    def write(space: str = "{}", *, epochs: int = 2, more: str = "", name: str = "small") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(SWEEP.format(space=space, epochs=epochs, more=more))
        return path

    return write


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium. One per process: Playwright cannot be started twice in it."""
    from playwright.sync_api import sync_playwright

    from tests.report.page.pages import CHROMIUM

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


RAY_GROUPS = ["ray", "ray_sweeps", "ray_engine"]
WITH_SWEEPS = {
    "test_growing_runs.py",
    "test_limits.py",
    "test_suggestions.py",
    "test_sweep_stops.py",
    "test_sweeps.py",
    "test_worker_start.py",
}


def ray_group(path: Path) -> str:
    """The test process for a file of tests with Ray: each of three takes a third of the time."""
    if path.name in WITH_SWEEPS:
        return "ray_sweeps"
    if path.parent in (ROOT / "tests" / "sweep" / "engine", ROOT / "tests" / "run" / "storage"):
        return "ray_engine"
    return "ray"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with Ray run in groups, each in one process with one Ray, before all others."""
    groups: dict[str, list[pytest.Item]] = {name: [] for name in RAY_GROUPS}
    others: list[pytest.Item] = []
    for item in items:
        if "one_ray" in getattr(item, "fixturenames", ()):
            group = ray_group(item.path)
            item.add_marker(pytest.mark.xdist_group(group))
            groups[group].append(item)
        else:
            others.append(item)
    with_ray = [item for name in RAY_GROUPS for item in groups[name]]
    items[:] = with_ray + others


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own and sees no data set of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CAE_DATA", raising=False)


@pytest.fixture(scope="session")
def one_ray() -> Iterator[Any]:
    """The Ray of this process, with two slots: starting one takes longer than most tests.

    Its two logical GPUs are only counted.
    """
    os.environ["RAY_AUTH_MODE"] = "disabled"  # no token in the home folder of the developer
    # Workers inherit the credentials; the test server accepts any.
    os.environ |= {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
    from cae.sweep.places.base import Resources
    from cae.sweep.places.local import local_ray

    with local_ray(Resources(cpus=2, gpus=2, cpus_per_trial=1, gpus_per_trial=0)):
        yield Resources(cpus=2, gpus=0, cpus_per_trial=1, gpus_per_trial=0, device="cpu")


@pytest.fixture
def two_slots(one_ray: Any) -> Any:
    """The Resources of a sweep whose trials run two at a time."""
    return one_ray


@pytest.fixture
def run_sweep(one_ray: Any) -> Callable[..., Any]:
    """Run a sweep file in the shared Ray and return its RunDir.

    The sweep has one slot, because each slot starts a process that imports torch; a test that
    needs trials side by side passes `resources` (see `two_slots`). `options` are the fields of
    session.Selection.
    """
    from cae.sweep.engine import session
    from cae.sweep.engine.limits import DEFAULT_LIMITS
    from tests.places import FixedPlace

    one_slot = dataclasses.replace(one_ray, max_slots=1)

    def run(path: Path, resources: Any = one_slot, limits: Any = None, **options: Any) -> Any:
        selection: dict[str, Any] = {
            "out": Path("run"),
            "budget": "full",
            "settings": {},
            "max_trials": None,
            "data_dir": None,
        }
        prepared = session.prepare(session.Selection(sweep=path, **(selection | options)))
        session.execute(
            prepared,
            FixedPlace(resources),
            command="a test",
            limits=limits or DEFAULT_LIMITS,
        )
        return prepared.run

    return run
