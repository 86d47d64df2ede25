"""A cluster, as far as one machine shows it: hosts that are asked, files that come along, jobs, recipes. Real hosts: `make cluster`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cae.cli.app import app
from cae.errors import RunError
from cae.run.events import SessionEnded
from cae.run.paths import RunDir
from cae.sweep.places import cluster, hosts, jobs
from cae.sweep.places.hosts import TOKEN, Demands, check_hosts, unfit
from cae.sweep.places.local import Resources, versions
from cae.trial.config import ConfigError
from tests.conftest import ROOT, SWEEP

Write = Callable[..., Path]
Run = Callable[..., RunDir]
ONE_HOST = Resources(cpus=2, gpus=0, cpus_per_trial=1, gpus_per_trial=0, nodes=((2.0, 0.0),))


@pytest.fixture
def demands(tmp_path: Path, sweep_file: Write) -> Demands:
    from cae.sweep.spec.sweep_file import read_sweep_file

    path, place = sweep_file(), tmp_path / "shared"
    place.mkdir()
    (place / TOKEN).write_text("token")
    return Demands(str(place), "token", versions(), read_sweep_file(path).sweep.base.flat(), path)


def test_a_host_that_has_what_is_asked_is_fit(demands: Demands) -> None:
    assert unfit(demands) == ""


def test_a_host_with_another_version_is_named_with_both(demands: Demands) -> None:
    other = replace(demands, versions=demands.versions | {"torch": "1.0"})
    assert f"host {os.uname().nodename} has torch {versions()['torch']} instead of 1.0" in unfit(
        other
    )


def test_a_host_that_does_not_see_the_folder_is_named_with_what_to_do(demands: Demands) -> None:
    assert f"host {os.uname().nodename} does not see /not/shared: keep the run (--out)" in unfit(
        replace(demands, place="/not/shared")
    )


def test_a_host_that_sees_another_folder_of_that_name_is_named(demands: Demands) -> None:
    assert "the folder is not the same on all hosts" in unfit(replace(demands, token="another"))


def test_a_host_that_lacks_a_part_of_the_sweep_file_is_named(demands: Demands) -> None:
    own = replace(
        demands, config=demands.config | {"arch": "their_own"}, sweep_file=Path("nowhere.py")
    )
    assert "cannot build the sweep's trials: arch = 'their_own' is not known" in unfit(own)


@pytest.mark.usefixtures("one_ray")
def test_every_host_is_asked_and_leaves_nothing_behind(demands: Demands) -> None:
    found = check_hosts(demands, ONE_HOST)
    assert [host["host"] for host in found] == [os.uname().nodename]
    assert [path.name for path in Path(demands.place).iterdir()] == [TOKEN]


@pytest.mark.usefixtures("one_ray")
def test_hosts_that_are_unfit_and_trials_that_fit_nowhere_are_told_at_once(
    demands: Demands,
) -> None:
    with pytest.raises(RunError) as caught:
        check_hosts(replace(demands, versions={"ray": "0.1"}), replace(ONE_HOST, cpus_per_trial=3))
    first, second = caught.value.messages
    assert "instead of 0.1" in first
    assert "no host has room for a trial of 3 CPUs and 0 GPUs: there are 2 CPUs, 0 GPUs" in second
    assert not list(Path(demands.place).iterdir())


def test_a_sweep_in_a_cluster_says_what_its_hosts_are(sweep_file: Write, run_sweep: Run) -> None:
    run = run_sweep(
        sweep_file("{'optimizer.lr': tune.grid_search([1e-3, 1e-2])}"), resources=ONE_HOST
    )
    assert {record.state for record in run.records().values()} == {"finished"}
    assert run.read_sweep()["device"].startswith("1 host: 1 x ")
    assert not (run.path / TOKEN).exists()


def test_a_worker_on_a_host_that_joined_late_and_is_unfit_ends_the_sweep_with_its_name(
    sweep_file: Write, run_sweep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passed(demands: Demands, resources: Resources) -> list[dict[str, str]]:  # noqa: ARG001  nobody was asked, and no token is there
        return [{"host": "h1", "device": "cpu"}]

    monkeypatch.setattr("cae.sweep.engine.session.check_hosts", passed)
    run = run_sweep(sweep_file(), resources=ONE_HOST)
    (close,) = [event for event in run.events() if isinstance(event, SessionEnded)]
    assert close.reason.startswith(f"given up: host {os.uname().nodename} does not see")
    assert run.records()[1].state in ("interrupted", "pending")


def test_what_lies_beside_a_sweep_file_comes_along(tmp_path: Path) -> None:
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
    with cluster.staged(tmp_path / "sweep.py") as folder:
        found = sorted(
            str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
        )
    assert found == ["helper.py", "package/part.py", "published/numbers.csv", "sweep.py"]


def test_too_much_beside_a_sweep_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "MOST_BYTES", 10)
    (tmp_path / "sweep.py").write_text("0123456789")
    (tmp_path / "images.bin").write_text("0123456789")
    with (
        pytest.raises(RunError, match=r"put sweep\.py into a folder of its own"),
        cluster.staged(tmp_path / "sweep.py"),
    ):
        pass


def test_a_cluster_that_is_not_there_is_told_with_how_to_reach_one(
    sweep_file: Write, tmp_path: Path
) -> None:
    told = CliRunner().invoke(
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
    assert told.exit_code == 2
    assert "--address http://127.0.0.1:9" in told.stderr
    assert "is it the cluster's dashboard" in told.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("out", [[], ["--out", "runs/mine"]])
def test_a_run_submitted_from_outside_is_kept_where_all_hosts_see_it(
    out: list[str], sweep_file: Write
) -> None:
    told = CliRunner().invoke(
        app, ["run", str(sweep_file()), "--address", "http://127.0.0.1:9", *out]
    )
    assert told.exit_code == 2
    assert "an absolute path on a disk that all hosts share, or s3://BUCKET/PATH" in told.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "sweeps/a.py", "--address", "http://h:8265", "--set", "epochs=3"],
        ["run", "--address=http://h:8265", "./sweeps/a.py", "--set", "epochs=3"],
    ],
)
def test_a_job_is_given_the_words_of_the_command_without_the_address(argv: list[str]) -> None:
    assert jobs._inside(argv, Path("sweeps/a.py")) == ["run", "a.py", "--set", "epochs=3"]


class Client:
    """A cluster's, that has one job: its connection breaks once, and it ends with 1."""

    def __init__(self) -> None:
        self.calls, self.asked = 0, 0

    def get_job_status(self, name: str) -> Any:
        from ray.job_submission import JobStatus

        self.asked += 1
        return JobStatus.RUNNING if self.asked < 3 else JobStatus.FAILED

    async def tail_job_logs(self, name: str) -> Any:
        self.calls += 1
        yield "one\n"
        if self.calls == 1:
            raise ConnectionError("the link is cut")
        yield "two\n"

    def get_job_info(self, name: str) -> Any:
        class Info:
            driver_exit_code, message = 1, "it failed"

        return Info()


@pytest.mark.xdist_group(
    "ray"
)  # the other process has Playwright's event loop, and one thread has one
def test_a_followed_job_prints_each_line_once_though_the_connection_breaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RECONNECT_S", 0.0)
    assert jobs._follow(Client(), "job") == 1
    out, err = capsys.readouterr()
    assert out == "one\ntwo\n"
    assert "the connection to job job broke (the link is cut)" in err


@pytest.mark.parametrize("script", ["lab.sh", "one_machine.sh", "slurm.sbatch"])
def test_a_script_is_whole_and_tells_how_it_is_used(script: str) -> None:
    path = ROOT / "cluster" / script
    subprocess.run(["bash", "-n", path], check=True)
    assert os.access(path, os.X_OK)
    assert script in (ROOT / "cluster" / "README.md").read_text()
    if script != "slurm.sbatch":  # it says so when it is called with nothing
        told = subprocess.run(["bash", path], capture_output=True, text=True, check=False)
        assert told.returncode == 2
        assert f"cluster/{script}" in told.stdout + told.stderr


def test_the_recipe_for_aws_suits_rays_own_schema() -> None:
    import jsonschema
    import ray

    recipe = yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text())
    jsonschema.validate(
        recipe,
        json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text()),
    )
    for starts in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "RAY_AUTH_MODE=token" in recipe[starts][-1]


def test_the_pods_of_the_recipe_for_kubernetes_suit_its_schema() -> None:
    import kubernetes_validate

    job = yaml.safe_load((ROOT / "cluster" / "rayjob.yaml").read_text())
    cluster_spec = job["spec"]["rayClusterSpec"]
    assert cluster_spec["authOptions"] == {"mode": "token"}
    for group in (cluster_spec["headGroupSpec"], *cluster_spec["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
        kubernetes_validate.validate(json.loads(json.dumps(pod)), "1.30", strict=True)


@pytest.mark.parametrize("recipe", ["lab.sh", "slurm.sbatch", "aws.yaml", "rayjob.yaml"])
def test_no_recipe_shows_a_dashboard_to_the_network(recipe: str) -> None:
    text = (ROOT / "cluster" / recipe).read_text()
    assert "0.0.0.0" not in text
    assert "token" in text


def test_mistakes_of_the_sweep_file_are_told_before_anything_is_submitted(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(SWEEP.format(space="{}", epochs=2, more="").replace("size=8,", "size='big',"))
    with pytest.raises(ConfigError) as caught:
        jobs.submit("http://127.0.0.1:9", path, None, ["run", str(path)])
    assert any("Digits.size = 'big'" in message for message in caught.value.messages)
    assert any("--out" in message for message in caught.value.messages)


def test_words_for_hosts() -> None:
    assert (
        hosts.described([{"device": "cpu"}, {"device": "NVIDIA A100"}, {"device": "cpu"}])
        == "3 hosts: 2 x cpu, 1 x NVIDIA A100"
    )
