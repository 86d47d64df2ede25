"""`plan --for-claims`: the cheapest trials that would decide undecided claims."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cae.cli.app import app
from cae.run.events import EpochFinished, TrialEnded, TrialPlanned
from cae.run.paths import RunDir
from cae.run.trial_state import TrialState
from cae.sweep.engine.session import Prepared, prepare, select
from tests.run.events import session, started, write

SWEEP = '''"""Digits."""

from ray import tune
from cae import Adam, BetterThan, ConvAutoencoder, Digits, NotTestable, Reconstruct, Sweep, Trial

sweep = Sweep(
    base=Trial(
        dataset=Digits(size=8, train_images=32, val_images=16, test_images=16),
        task=Reconstruct(),
        arch=ConvAutoencoder(
            encoder_filters=(4, 2), decoder_filters=(4,), pool_after=(1,), upsample_after=(0,)
        ),
        optimizer=Adam(),
        epochs=1,
        batch_size=16,
    ),
    space={"optimizer.lr": tune.grid_search([1e-3, 3e-3, 1e-2])},
    claims=[
        BetterThan(
            id="C1",
            text="A learning rate of 0.01 is better.",
            metric="val_loss",
            this={"optimizer.lr": 1e-2},
            that={"optimizer.lr": 1e-3},
        ),
        NotTestable(id="C2", text="It is nice.", reason="nothing measures it"),
    ],
)
'''


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits_claims.py").write_text(SWEEP)


def output_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plan", "digits_claims.py", "--for-claims", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def first_claim(*arguments: str) -> dict[str, Any]:
    claim: dict[str, Any] = json.loads(output_of("--json", *arguments))["claims"][0]
    return claim


def planned_by(command: str) -> Prepared:
    """What a printed command would run."""
    words = shlex.split(command)
    assert words[:3] == ["cae-sweep", "run", "digits_claims.py"]
    values: dict[str, list[str]] = {}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        values.setdefault(option, []).append(value)
    assert set(values) <= {"--set", "--where", "--budget", "--max-trials", "--retry"}
    limit = None
    if "--max-trials" in values:
        limit = int(values["--max-trials"][0])
    budget = values.get("--budget", ["full"])[0]
    retry = values.get("--retry", [""])[0]
    where = values.get("--where")
    return prepare(
        select(Path(words[2]), None, budget, values.get("--set"), limit, None, retry, where=where)
    )


def rates_and_seeds(prepared: Prepared) -> list[tuple[Any, int]]:
    trials = prepared.plan.remaining
    return [(trial.trial.flat()["optimizer.lr"], trial.trial.seed) for trial in trials]


def test_without_a_run_a_claim_needs_three_seeds_of_both_sides() -> None:
    first, second = json.loads(output_of("--json"))["claims"]
    assert (first["id"], first["verdict"], first["need"]) == ("C1", "not run", "trials")
    assert (first["more_seeds"], first["source"]) == (3, "timed")
    assert first["seconds"] > 0
    (command,) = first["commands"]
    assert "--where optimizer.lr=0.01" in command
    prepared = planned_by(command)
    assert prepared.plan.overrides == {}  # the numbers stay comparable
    rates = (0.001, 0.01)
    expected = [(rate, seed) for rate in rates for seed in range(3)]
    assert sorted(rates_and_seeds(prepared)) == expected
    assert (second["id"], second["need"], second["commands"]) == ("C2", "impossible", [])


def epoch_of(number: int, loss: float) -> EpochFinished:
    """An epoch of 10 minutes."""
    metrics = {"val_loss": loss, "seconds": 600.0}
    return EpochFinished(trial=number, epoch=1, metrics=metrics)


def run_with_losses(
    losses: dict[float, list[float]], metrics: dict[str, float] | None = None
) -> RunDir:
    """A run of finished trials with these losses, one per seed, and metrics of the test."""
    words = ["seeds=2"]
    prepared = prepare(select(Path("digits_claims.py"), None, "full", words, None, None, ""))
    events: list[Any] = [session(*(planned.number for planned in prepared.plan.trials))]
    for planned in prepared.plan.trials:
        flat = planned.trial.flat()
        events.append(
            TrialPlanned(
                trial=planned.number,
                hash=planned.hash,
                config=flat,
                axes=planned.axes,
                sizes=planned.sizes,
                group=planned.group,
                fingerprint=planned.fingerprint,
            )
        )
        loss = losses[flat["optimizer.lr"]][planned.trial.seed]
        events.append(started(planned.number))
        events.append(epoch_of(planned.number, loss))
        events.append(
            TrialEnded(
                trial=planned.number,
                state=TrialState.FINISHED,
                reason="all",
                best_epoch=1,
                metrics=metrics or {},
            )
        )
    return write_run(prepared, events)


def write_run(prepared: Prepared, events: list[Any]) -> RunDir:
    run = prepared.run
    run.path.mkdir(parents=True)
    claims = [claim.described() for claim in prepared.file.sweep.claims]
    sweep = {"file": "digits_claims.py", "claims": claims, "base": prepared.file.sweep.base.flat()}
    sweep |= {"command": "cae-sweep run digits_claims.py", "sweep": "digits_claims"}
    run.sweep_json.write_text(json.dumps(sweep))
    write(run, *events)
    return run


def test_an_undecided_claim_needs_more_seeds_of_its_configurations() -> None:
    run_with_losses({0.001: [0.2, 0.26], 0.003: [0.1, 0.1], 0.01: [0.19, 0.22]})
    first, _ = json.loads(output_of("--json"))["claims"]
    assert (first["verdict"], first["need"], first["source"]) == ("undecided", "seeds", "measured")
    more_seeds = first["more_seeds"]
    assert more_seeds > 0
    assert first["seconds"] == pytest.approx(2 * more_seeds * 600)
    seeds: list[tuple[Any, int]] = []
    for command in first["commands"]:
        seeds += rates_and_seeds(planned_by(command))
    expected = [(rate, 2 + number) for rate in (0.01, 0.001) for number in range(more_seeds)]
    assert sorted(seeds) == sorted(expected)
    text = output_of()
    assert f"C1 (undecided), {2 * more_seeds} trials" in text
    assert "C2 (not testable): Nothing measures it." in text
    assert "0 of 2 claims decided" in text


def rewrite(*changes: tuple[str, str]) -> None:
    """Change the text of the sweep file."""
    text = SWEEP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("digits_claims.py").write_text(text)


LATENT_CLAIM = ('metric="val_loss"', 'metric="test_probe_accuracy"')


def test_a_measure_that_the_sweep_turns_off_needs_no_trials_but_a_setting() -> None:
    rewrite(LATENT_CLAIM, ("    claims=[", "    latent=False,\n    claims=["))
    claim = first_claim()
    assert (claim["need"], claim["trials"], claim["commands"]) == ("trials", [], [])
    assert claim["sentence"] == (
        "test_probe_accuracy is not measured: latent = False turns off the measures of the latent "
        "code; --set latent=true turns them on."
    )
    claim = first_claim("--set", "latent=true")
    (command,) = claim["commands"]
    prepared = planned_by(command)
    assert prepared.plan.sweep.latent
    assert len(prepared.plan.remaining) == 6


def test_finished_trials_are_measured_and_not_trained_again() -> None:
    """The trials were trained with latent=False: their checkpoints can be measured."""
    rewrite(LATENT_CLAIM)
    losses = {rate: [0.2, 0.2] for rate in (0.001, 0.003, 0.01)}
    run = run_with_losses(losses, metrics={"test_loss": 0.2})
    for number in range(1, 7):
        run.trial(number).mkdir(parents=True)
        for name in ("best.safetensors", "last.safetensors"):
            (run.trial(number) / name).touch()
    claim = first_claim("--set", "seeds=2")
    (command,) = claim["commands"]
    assert command.endswith("--set seeds=3 --retry latent")
    assert claim["new_trials"] == 2, "the third seed of both sides"
    prepared = planned_by(command)
    requested_again = [trial for trial in prepared.plan.remaining if trial.retry]
    assert len(requested_again) == 4


def test_a_sample_of_a_grid_keeps_its_points_and_its_budget() -> None:
    """`--max-trials` counts seeds."""
    rewrite(
        ("[1e-3, 3e-3, 1e-2]", "[1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]"),
        ("    claims=[", '    budgets={"quick": {"max_trials": 6}},\n    claims=['),
        ("BetterThan(", "Threshold("),
        ("BetterThan, ", "Threshold, "),
        ('this={"optimizer.lr": 1e-2}', 'op="<"'),
        ('that={"optimizer.lr": 1e-3}', "bound=1.0"),
    )
    claim = first_claim("--budget", "quick")
    assert "--where" not in claim["commands"][0]
    sample = prepare(select(Path("digits_claims.py"), None, "quick", None, None, None, ""))
    rates = {rate for rate, _ in rates_and_seeds(sample)}
    (command,) = claim["commands"]
    expected = [(rate, seed) for rate in sorted(rates) for seed in range(3)]
    assert sorted(rates_and_seeds(planned_by(command))) == expected
    assert claim["new_trials"] == len(expected) == 18


def test_sides_that_no_conditions_choose_alone_have_commands_of_their_own() -> None:
    """Conditions that allow both rates and both batch sizes would choose four configurations."""
    rewrite(
        ('{"optimizer.lr": tune', '{"batch_size": tune.grid_search([8, 16]), "optimizer.lr": tune'),
        ('this={"optimizer.lr": 1e-2}', 'this={"optimizer.lr": 1e-2, "batch_size": 8}'),
        ('that={"optimizer.lr": 1e-3}', 'that={"optimizer.lr": 1e-3, "batch_size": 16}'),
    )
    claim = first_claim()
    trained: list[tuple[Any, int]] = []
    for command in claim["commands"]:
        prepared = planned_by(command)
        (batch_size,) = {trial.trial.batch_size for trial in prepared.plan.remaining}
        trained += [(batch_size, rate) for rate, _ in rates_and_seeds(prepared)]
    assert sorted(trained) == 3 * [(8, 0.01)] + 3 * [(16, 0.001)]


def test_an_axis_of_seeds_is_limited_to_the_seeds_of_the_claim() -> None:
    rewrite(('{"optimizer.lr": tune', '{"seed": tune.grid_search([0, 1, 5]), "optimizer.lr": tune'))
    claim = first_claim()
    (command,) = claim["commands"]
    expected = [(rate, seed) for rate in (0.001, 0.01) for seed in range(3)]
    assert sorted(rates_and_seeds(planned_by(command))) == expected
    assert claim["new_trials"] == len(expected)


def test_a_sweep_without_claims_is_an_error() -> None:
    text = SWEEP[: SWEEP.index("    claims=[")] + ")\n"
    Path("digits_claims.py").write_text(text)
    result = CliRunner().invoke(app, ["plan", "digits_claims.py", "--for-claims"])
    assert result.exit_code == 2
    assert "--for-claims: digits_claims.py declares no claims" in result.output
