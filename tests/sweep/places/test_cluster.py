"""Clusters on one machine: checks of hosts, staged files, jobs, recipes.

Real hosts: `make cluster`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from typing_extensions import override

from cae.cli.app import app
from cae.errors import RunError
from cae.run.events import SessionEnded
from cae.run.paths import RunDir
from cae.sweep.engine import session
from cae.sweep.places import cluster, hosts, jobs, staging
from cae.sweep.places.base import Host, ResourceOptions, Resources
from cae.sweep.places.cluster import ClusterPlace
from cae.sweep.places.hosts import (
    TOKEN_FILE,
    HostRequirements,
    check_hosts,
    unmet_requirement,
)
from cae.sweep.places.machine import versions
from cae.trial.messages import ConfigError
from tests.conftest import ROOT, SWEEP

Write = Callable[..., Path]
Run = Callable[..., RunDir]
ONE_HOST = Resources(cpus=2, gpus=0, cpus_per_trial=1, gpus_per_trial=0, hosts=(Host(2.0, 0.0),))


class OneHost(ClusterPlace):
    """The Ray of the tests as a cluster of one host."""

    def __init__(self) -> None:
        super().__init__("auto", ResourceOptions())

    @override
    @contextlib.contextmanager
    def connect(self, sweep_file: Path, *, start: bool) -> Iterator[Resources]:
        yield ONE_HOST


@pytest.fixture
def run_in_cluster(one_ray: Any) -> Run:
    del one_ray  # the cluster

    def run(path: Path) -> RunDir:
        selection = session.Selection(path, "run", "full", {}, None, None)
        prepared = session.prepare(selection)
        session.execute(prepared, OneHost(), command="a test")
        return prepared.run

    return run


@pytest.fixture
def requirements(tmp_path: Path, sweep_file: Write) -> HostRequirements:
    from cae.sweep.spec.sweep_file import read_sweep_file

    path = sweep_file()
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / TOKEN_FILE).write_text("token")
    config = read_sweep_file(path).sweep.base.flat()
    return HostRequirements(str(folder), "token", versions(), config, path)


def test_a_host_that_meets_all_requirements_passes(requirements: HostRequirements) -> None:
    assert unmet_requirement(requirements) == ""


def test_another_version_is_reported_with_both_versions(requirements: HostRequirements) -> None:
    other = replace(requirements, versions=requirements.versions | {"torch": "1.0"})
    assert (
        f"host {os.uname().nodename} has torch {versions()['torch']} instead of 1.0"
        in unmet_requirement(other)
    )


def test_a_host_that_does_not_see_the_folder_is_reported(requirements: HostRequirements) -> None:
    assert (
        f"host {os.uname().nodename} does not see /not/shared: store the run (--out)"
        in unmet_requirement(replace(requirements, location="/not/shared"))
    )


def test_a_host_that_sees_another_folder_at_the_same_path_is_reported(
    requirements: HostRequirements,
) -> None:
    assert "the folder is not the same on all hosts" in unmet_requirement(
        replace(requirements, token="another")
    )


def test_a_host_without_a_component_of_the_sweep_file_is_reported(
    requirements: HostRequirements,
) -> None:
    own = replace(
        requirements,
        config=requirements.config | {"arch": "their_own"},
        sweep_file=Path("nowhere.py"),
    )
    assert "cannot build the sweep's trials: arch = 'their_own' is not known" in unmet_requirement(
        own
    )


@pytest.mark.usefixtures("one_ray")
def test_every_host_is_checked_and_leaves_no_file(requirements: HostRequirements) -> None:
    assert check_hosts(requirements).startswith("1 host: 1 x ")
    assert [path.name for path in Path(requirements.location).iterdir()] == [TOKEN_FILE]


@pytest.mark.usefixtures("one_ray")
def test_all_problems_of_the_hosts_are_reported_together(
    requirements: HostRequirements,
) -> None:
    with pytest.raises(RunError) as caught:
        check_hosts(
            replace(requirements, versions={"ray": "0.1"}),
            cluster._missing_room(replace(ONE_HOST, cpus_per_trial=3)),
        )
    first, second = caught.value.messages
    assert "instead of 0.1" in first
    assert (
        "no host has room for a trial of 3 CPUs and 0 GPUs: the hosts have 2 CPUs, 0 GPUs" in second
    )
    assert not list(Path(requirements.location).iterdir())


def test_a_run_in_a_cluster_describes_its_hosts(sweep_file: Write, run_in_cluster: Run) -> None:
    run = run_in_cluster(sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}"))
    assert {record.state for record in run.records().values()} == {"finished"}
    assert run.read_sweep().device.startswith("1 host: 1 x ")
    assert not (run.path / TOKEN_FILE).exists()


def test_a_worker_on_an_unfit_host_that_joined_late_ends_the_sweep(
    sweep_file: Write, run_in_cluster: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pass_all(*arguments: object) -> str:
        """No host is checked, and no token is written."""
        del arguments
        return "1 host: 1 x cpu"

    monkeypatch.setattr(cluster, "check_hosts", pass_all)
    run = run_in_cluster(sweep_file())
    (close,) = [event for event in run.events() if isinstance(event, SessionEnded)]
    assert close.reason.startswith(f"aborted: host {os.uname().nodename} does not see")
    assert run.records()[1].state in ("interrupted", "pending")


def test_files_beside_the_sweep_file_are_staged(tmp_path: Path) -> None:
    for name in (
        "sweep.py",
        "helper.py",
        "published/numbers.csv",
        "package/part.py",
        ".git/config",
        "runs/q/journal.jsonl",
        "env/pyvenv.cfg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    with staging.stage_sweep(tmp_path / "sweep.py") as folder:
        found = sorted(
            str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
        )
    assert found == ["helper.py", "package/part.py", "published/numbers.csv", "sweep.py"]


def test_too_many_bytes_beside_the_sweep_file_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_BYTES", 10)
    (tmp_path / "sweep.py").write_text("0123456789")
    (tmp_path / "images.bin").write_text("0123456789")
    with (
        pytest.raises(RunError, match=r"put sweep\.py into a folder of its own"),
        staging.stage_sweep(tmp_path / "sweep.py"),
    ):
        pass


def test_a_missing_cluster_is_an_error_with_a_hint(sweep_file: Write, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        [
            "run",
            str(sweep_file()),
            "--address",
            "http://127.0.0.1:9",
            "--out",
            str(tmp_path / "run"),
        ],
    )
    assert result.exit_code == 2
    assert "--address http://127.0.0.1:9" in result.stderr
    assert "is it the cluster's dashboard" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("out", [[], ["--out", "runs/mine"]])
def test_a_job_needs_a_location_that_all_hosts_see(out: list[str], sweep_file: Write) -> None:
    result = CliRunner().invoke(
        app, ["run", str(sweep_file()), "--address", "http://127.0.0.1:9", *out]
    )
    assert result.exit_code == 2
    assert "an absolute path on a disk that all hosts share, or s3://BUCKET/PATH" in result.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "sweeps/a.py", "--address", "http://h:8265", "--set", "epochs=3"],
        ["run", "--address=http://h:8265", "./sweeps/a.py", "--set", "epochs=3"],
    ],
)
def test_a_job_gets_the_arguments_without_the_address(argv: list[str]) -> None:
    assert jobs._arguments_on_cluster(argv, Path("sweeps/a.py"), "a.py") == [
        "run",
        "a.py",
        "--set",
        "epochs=3",
    ]


class Client:
    """A client with one job whose connection breaks once and that ends with exit code 1."""

    def __init__(self) -> None:
        self.calls = 0
        self.status_calls = 0

    def get_job_status(self, _name: str) -> Any:
        from ray.job_submission import JobStatus

        self.status_calls += 1
        return JobStatus.RUNNING if self.status_calls < 3 else JobStatus.FAILED

    async def tail_job_logs(self, _name: str) -> Any:
        self.calls += 1
        yield "one\n"
        if self.calls == 1:
            raise ConnectionError("the link is cut")
        yield "two\n"

    def get_job_info(self, _name: str) -> Any:
        class Info:
            driver_exit_code = 1
            message = "it failed"

        return Info()


# The other process has Playwright's event loop, and a thread has only one.
@pytest.mark.xdist_group("ray")
def test_a_followed_job_prints_each_line_once_when_the_connection_breaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.0)
    assert jobs._follow(Client(), "job") == 1
    out, err = capsys.readouterr()
    assert out == "one\ntwo\n"
    assert "the connection to job job broke (the link is cut)" in err


@pytest.mark.parametrize("script", ["lab.sh", "one_machine.sh", "slurm.sbatch"])
def test_a_script_parses_and_prints_its_usage(script: str) -> None:
    path = ROOT / "cluster" / script
    subprocess.run(["bash", "-n", path], check=True)
    assert os.access(path, os.X_OK)
    assert script in (ROOT / "cluster" / "README.md").read_text()
    if script != "slurm.sbatch":  # without arguments it prints its usage
        result = subprocess.run(["bash", path], capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert f"cluster/{script}" in result.stdout + result.stderr


def test_the_aws_recipe_is_valid() -> None:
    import jsonschema
    import ray

    recipe = yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text())
    jsonschema.validate(
        recipe,
        json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text()),
    )
    for starts in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "RAY_AUTH_MODE=token" in recipe[starts][-1]


def test_the_pods_of_the_kubernetes_recipe_are_valid() -> None:
    import kubernetes_validate

    job = yaml.safe_load((ROOT / "cluster" / "rayjob.yaml").read_text())
    cluster_spec = job["spec"]["rayClusterSpec"]
    assert cluster_spec["authOptions"] == {"mode": "token"}
    for group in (cluster_spec["headGroupSpec"], *cluster_spec["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
        kubernetes_validate.validate(json.loads(json.dumps(pod)), "1.30", strict=True)


@pytest.mark.parametrize("recipe", ["lab.sh", "slurm.sbatch", "aws.yaml", "rayjob.yaml"])
def test_no_recipe_exposes_the_dashboard(recipe: str) -> None:
    text = (ROOT / "cluster" / recipe).read_text()
    assert "0.0.0.0" not in text
    assert "token" in text


def test_errors_of_the_sweep_file_are_reported_before_submitting(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(SWEEP.format(space="{}", epochs=2, more="").replace("size=8,", "size='big',"))
    with pytest.raises(ConfigError) as caught:
        jobs.submit("http://127.0.0.1:9", path, None, ["run", str(path)])
    assert any("Digits.size = 'big'" in message for message in caught.value.messages)
    assert any("--out" in message for message in caught.value.messages)


def test_devices_of_hosts_are_counted() -> None:
    assert (
        hosts._describe_devices([("cpu",), ("NVIDIA A100",) * 8, ("cpu",)])
        == "3 hosts: 2 x cpu, 8 x NVIDIA A100"
    )
