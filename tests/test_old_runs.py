"""Runs that an older version made are read, reported and resumed as that version did it.

They are in tests/fixtures/runs_261f11c, whose README.md says how they were made.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.run.storage.s3_server import S3Server

OLD_RUNS = Path(__file__).parent / "fixtures" / "runs_261f11c"
IN_FOLDERS = ("finished", "interrupted", "dependencies")
SWEEPS = sorted(path.stem for path in (ROOT / "sweeps").glob("*.py"))
NEWER_BUDGETS = ("evening",)
NEWER_SWEEPS = {
    "cifar_best",
    "anomaly_mnist",
    "code_depths",
    "code_widths",
    "denoise_networks",
    "few_photos",
    "vae_beta",
}
"""Sweeps that did not exist when the old runs were made."""
LARGEST_SWEEP = "cifar_grid full"
"""1,536 networks take seconds to build; here their parameters are not counted again."""
ROUNDING = 1e-3
"""How far the losses of resumed epochs may be from the old ones, relatively: CPUs of another kind
round otherwise. Equal bits on one machine are tested in tests/sweep/engine/test_runner.py."""

HOW_HASHES_ARE_MADE = {
    "hashes": "For each sweep and budget: [hash, parameters] of every planned trial, in order.",
    "fingerprints": "No images are read. The fingerprint of a data set is the text 'stand-in ' "
    "followed by json.dumps([dataset.name, dataset.parameters()], sort_keys=True).",
}

Event = dict[str, Any]
Run = Callable[..., Any]


# What the tests use of the package


def invoke(*words: str) -> str:
    """What a command prints. It may end with 1, which `status` does where trials have failed."""
    from typer.testing import CliRunner

    from cae.cli.app import app

    result = CliRunner().invoke(app, list(words))
    assert result.exit_code in (0, 1), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.stdout


def write_tables(folder: Path) -> None:
    """Derives trials.csv and epochs.csv anew, as `report` does, without the page."""
    from cae.report.data import tables
    from cae.run.paths import RunDir

    run = RunDir(folder)
    tables.write(tables.read([run]), run)


def budgets_of(sweep_name: str) -> list[str]:
    from cae.sweep.spec.sweep_file import read_sweep_file

    sweep = read_sweep_file(ROOT / "sweeps" / f"{sweep_name}.py").sweep
    return sorted({"full", "smoke", *sweep.budgets})


def hashes_of(sweep_name: str, budget: str) -> list[list[Any]]:
    """[hash, parameters] of every trial that a shipped sweep plans."""
    from cae.sweep.spec.plan import make_plan
    from cae.sweep.spec.sweep_file import read_sweep_file
    from cae.trial.datasets import Dataset, Images, Split

    empty = Split(np.zeros((1, 1, 1, 1), np.uint8), np.zeros(1, np.int64))

    def without_images(dataset: Dataset) -> Images:
        described = json.dumps([dataset.name, dataset.parameters()], sort_keys=True)
        return Images(empty, empty, empty, f"stand-in {described}")

    sweep = read_sweep_file(ROOT / "sweeps" / f"{sweep_name}.py").sweep
    with one_thread():
        plan = make_plan(sweep, without_images, budget=budget)
    return [[planned.hash, planned.sizes["parameters"]] for planned in plan.trials]


def build_no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans without counting parameters."""
    from cae.trial.config import Trial

    def no_sizes(trial: Trial) -> dict[str, None]:
        del trial
        return {"parameters": None}

    monkeypatch.setattr(Trial, "sizes", no_sizes)


# Helpers


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, and round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def client_of(endpoint: str) -> Any:
    import boto3  # type: ignore[import-untyped]

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def write_objects(endpoint: str, folder: Path) -> None:
    """Puts files into the bucket: their paths below the folder become their keys."""
    client = client_of(endpoint)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = path.relative_to(folder).as_posix()
            client.put_object(Bucket="bucket", Key=key, Body=path.read_bytes())


def read_objects(endpoint: str) -> dict[str, bytes]:
    """The run's objects by their keys, without the empty ones that pyarrow writes for folders."""
    client = client_of(endpoint)
    content = {}
    for found in client.list_objects_v2(Bucket="bucket", Prefix="old/").get("Contents", []):
        key = found["Key"]
        if not key.endswith("/"):
            content[key] = client.get_object(Bucket="bucket", Key=key)["Body"].read()
    return content


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def read_journal(text: bytes) -> list[Event]:
    """The events of a journal. The process may have died while it wrote the last line."""
    events = []
    for line in text.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def without_new_columns(table: bytes) -> bytes:
    """A table without the column that old versions do not have. It is True in all rows."""
    lines = table.split(b"\n")
    names = lines[0].split(b",")
    if b"in_current_sweep" not in names:
        return table
    index = names.index(b"in_current_sweep")
    assert index == 2, "values before it could contain commas"
    old_lines: list[bytes] = []
    for line in filter(None, lines):
        cells = line.split(b",")
        assert cells.pop(index) in (b"in_current_sweep", b"True")
        old_lines.append(b",".join(cells))
    return b"\n".join([*old_lines, b""])


def copy_of(name: str) -> Path:
    """A copy of a run, with its sweep file beside it."""
    shutil.copytree(OLD_RUNS / name / "run", "run")
    shutil.copy(OLD_RUNS / name / f"{name}.py", ".")
    return Path("run")


def check_resumed(name: str, before: bytes, after: bytes, logs: dict[int, str]) -> None:
    """Whether a run went on from where it was, and came to the numbers of an uninterrupted one."""
    assert after.startswith(before), "the old journal was changed"
    old_events, events = read_journal(before), read_journal(after)
    new_events = events[len(old_events) :]
    assert not [event for event in new_events if event["event"] == "trial"], "trials were added"
    assert new_events[-1] | {"time": 0} == {"event": "close", "time": 0, "reason": "complete"}

    ended_before = {event["trial"] for event in old_events if event["event"] == "end"}
    assert ended_before
    started_again = {event["trial"] for event in new_events if event["event"] == "start"}
    assert started_again
    assert not started_again & ended_before, "trials that had finished were started again"

    epoch_events = [event for event in events if event["event"] == "epoch"]
    finished_epochs = Counter((event["trial"], event["epoch"]) for event in epoch_events)
    assert max(finished_epochs.values()) == 1, "an epoch was reported twice"
    for number, log in logs.items():
        lines = [line for line in log.splitlines() if " epoch " in line]
        trained = [line.split(" epoch ")[1].split(":")[0] for line in lines if ": " in line]
        counts = Counter(epoch for epoch in trained if epoch.isdecimal())
        assert max(counts.values()) == 1, f"trial {number}: an epoch was trained twice"

    expected = read_json(OLD_RUNS / name / "expected.json")
    hashes = {str(event["trial"]): event["hash"] for event in events if event["event"] == "trial"}
    assert hashes == {number: trial["hash"] for number, trial in expected.items()}
    for index, event in enumerate(events):
        of_trial = expected[str(event["trial"])] if "trial" in event else {}
        error = ROUNDING if index >= len(old_events) else 0.0
        if event["event"] == "epoch":
            old_losses = of_trial["epochs"].pop(str(event["epoch"]))
            losses = {loss: event["metrics"][loss] for loss in old_losses}
            assert losses == pytest.approx(old_losses, rel=error, abs=0.0), event
        elif event["event"] == "end":
            assert event["state"] == of_trial["end"]["state"]
    assert not [trial for trial in expected.values() if trial["epochs"]], "epochs are missing"


OLD_MODES = {"dependencies": "max"}
"""Where larger values of the sweep's metric are better."""


def check_status_and_best(name: str, place: str) -> None:
    """Whether `status` says and `best` exports what they did.

    The best epoch may be the one after the last of the journal, whose checkpoint is there already.
    """
    old_status = read_json(OLD_RUNS / name / "status.json")
    status = json.loads(invoke("status", place, "--json"))
    assert status.pop("run") in place
    assert status.pop("mode") == OLD_MODES.get(name, "min")  # not in the old status
    assert status.pop("earlier_trials") == 0  # not in the old status
    assert status.pop("earlier_states") == {}
    assert status.pop("best_is_earlier") is False
    assert status.pop("restarts") == {}
    assert status.pop("undefined_trials") == []
    old_status.pop("run")
    assert status.pop("seconds_left") == pytest.approx(old_status.pop("seconds_left"))
    choice: list[str] = []
    if "groups" in status:  # the old version ranked the trials of all groups together
        assert status["best"] is None
        best_of_all = old_status["best"]
        groups = [group for group in status.pop("groups") if group.pop("group")]
        assert len(groups) > 1
        (status["best"],) = [group for group in groups if group["trial"] == best_of_all["trial"]]
        choice = ["--trial", str(best_of_all["trial"])]
    assert status == old_status

    invoke("best", place, *choice, "-o", "model")
    model = read_json(Path("model") / "model.json")
    old_best = read_json(OLD_RUNS / name / "best.json")
    assert {key: model[key] for key in old_best} == old_best


# Runs in folders


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_the_tables_of_an_old_run_are_made_again_byte_for_byte(name: str) -> None:
    run = copy_of(name)
    for table in ("trials.csv", "epochs.csv"):
        (run / table).unlink()
    write_tables(run)
    for table in ("trials.csv", "epochs.csv"):
        assert (
            without_new_columns((run / table).read_bytes())
            == (OLD_RUNS / name / "run" / table).read_bytes()
        )


def test_the_report_of_an_old_run_is_built() -> None:
    run = copy_of("finished")
    invoke("report", "run")
    for table in ("trials.csv", "epochs.csv"):
        assert (
            without_new_columns((run / table).read_bytes())
            == (OLD_RUNS / "finished" / "run" / table).read_bytes()
        )
    assert "Every way in which a trial ends" in (run / "report.html").read_text()


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_the_status_and_the_best_trial_of_an_old_run_are_found(name: str) -> None:
    copy_of(name)
    check_status_and_best(name, "run")


def test_an_old_run_that_is_complete_stays_as_it_is(run_sweep: Run) -> None:
    run = copy_of("finished")
    before = (run / "journal.jsonl").read_bytes()
    events = read_journal(before)
    states = {event["state"] for event in events if event["event"] == "end"}
    assert states == {"finished", "stopped", "diverged", "failed"}
    assert [event for event in events if event["event"] == "spared"]
    run_sweep(Path("finished.py"), out=run)
    assert (run / "journal.jsonl").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["interrupted", "dependencies"])
def test_an_old_run_ends_as_if_it_had_not_been_interrupted(name: str, run_sweep: Run) -> None:
    run = copy_of(name)
    before = (run / "journal.jsonl").read_bytes()
    run_sweep(Path(f"{name}.py"), out=run)
    after = (run / "journal.jsonl").read_bytes()
    logs = {}
    for log in run.glob("trials/*/log.txt"):
        logs[int(log.parent.name)] = log.read_text()
    check_resumed(name, before, after, logs)


# A run in a bucket


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    one = S3Server()
    yield one
    one.stop()


@pytest.fixture
def endpoint(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server with the old run in its bucket, and nothing of what another test did to it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    client = client_of(server.endpoint)
    for key in read_objects(server.endpoint):
        client.delete_object(Bucket="bucket", Key=key)
    write_objects(server.endpoint, OLD_RUNS / "bucket" / "objects")
    return server.endpoint


def address_of(endpoint: str) -> str:
    return f"s3://bucket/old?endpoint_override={endpoint}&region=us-east-1"


def journal_of(content: dict[str, bytes]) -> bytes:
    pieces = sorted(key for key in content if key.startswith("old/journal/"))
    return b"".join(content[key] for key in pieces)


def test_an_old_run_in_a_bucket_is_read(endpoint: str) -> None:
    before = read_objects(endpoint)
    check_status_and_best("bucket", address_of(endpoint))
    invoke("report", address_of(endpoint))
    after = read_objects(endpoint)
    assert after["old/epochs.csv"] == before["old/epochs.csv"]
    new_table = without_new_columns(after["old/trials.csv"])
    rows = list(csv.DictReader(new_table.decode().splitlines()))
    groups = [row.pop("group") for row in rows]
    assert rows == list(csv.DictReader(before["old/trials.csv"].decode().splitlines()))
    assert groups == ["", *(f"task.noise_factor = {level}" for level in (0.2, 0.4, 0.6))]


@pytest.mark.slow
def test_an_old_run_in_a_bucket_ends_as_if_not_interrupted(endpoint: str, run_sweep: Run) -> None:
    before = read_objects(endpoint)
    shutil.copy(OLD_RUNS / "bucket" / "bucket.py", ".")
    run_sweep(Path("bucket.py"), out=address_of(endpoint))
    after = read_objects(endpoint)
    logs = {}
    for key, content in after.items():
        if key.endswith("/log.txt"):
            logs[int(key.split("/")[2])] = content.decode()
    check_resumed("bucket", journal_of(before), journal_of(after), logs)


# Hashes


@pytest.mark.parametrize("name", SWEEPS)
def test_a_shipped_sweep_plans_the_same_trials(name: str) -> None:
    old = read_json(OLD_RUNS / "hashes.json")
    if name in NEWER_SWEEPS:
        assert not any(key.startswith(f"{name} ") for key in old)
        return
    budgets = [budget for budget in budgets_of(name) if budget not in NEWER_BUDGETS]
    known = {key for key in old if key.startswith(f"{name} ")}
    assert known == {f"{name} {budget}" for budget in budgets}
    for budget in budgets:
        if f"{name} {budget}" != LARGEST_SWEEP:
            assert hashes_of(name, budget) == old[f"{name} {budget}"], budget


def test_the_largest_sweep_plans_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    build_no_networks(monkeypatch)
    found = hashes_of(*LARGEST_SWEEP.split())
    old = read_json(OLD_RUNS / "hashes.json")[LARGEST_SWEEP]
    assert [trial[0] for trial in found] == [trial[0] for trial in old]
