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


def planned_by(command: str) -> Prepared:
    """What a printed command would run."""
    words = shlex.split(command)
    assert words[:3] == ["cae-sweep", "run", "digits_claims.py"]
    assert set(words[3::2]) <= {"--set"}
    return prepare(select(Path(words[2]), None, "full", words[4::2], None, None, ""))


def rates_and_seeds(prepared: Prepared) -> list[tuple[Any, int]]:
    trials = prepared.plan.remaining
    return [(trial.trial.flat()["optimizer.lr"], trial.trial.seed) for trial in trials]


def test_without_a_run_a_claim_needs_three_seeds_of_both_sides() -> None:
    first, second = json.loads(output_of("--json"))["claims"]
    assert (first["id"], first["verdict"], first["need"]) == ("C1", "not run", "trials")
    assert (first["more_seeds"], first["source"]) == (3, "timed")
    assert first["seconds"] > 0
    trained: list[tuple[Any, int]] = []
    for command in first["commands"]:
        prepared = planned_by(command)
        assert prepared.plan.overrides == {}  # the numbers stay comparable
        trained += rates_and_seeds(prepared)
    rates = (0.01, 0.001)
    assert trained == [(rate, seed) for rate in rates for seed in range(3)]
    assert (second["id"], second["need"], second["commands"]) == ("C2", "impossible", [])


def epoch_of(number: int, loss: float) -> EpochFinished:
    """An epoch of 10 minutes."""
    metrics = {"val_loss": loss, "seconds": 600.0}
    return EpochFinished(trial=number, epoch=1, metrics=metrics)


def run_with_losses(losses: dict[float, list[float]]) -> RunDir:
    """A run of finished trials with these losses, one per seed."""
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
            TrialEnded(trial=planned.number, state=TrialState.FINISHED, reason="all", best_epoch=1)
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


def test_a_sweep_without_claims_is_an_error() -> None:
    text = SWEEP[: SWEEP.index("    claims=[")] + ")\n"
    Path("digits_claims.py").write_text(text)
    result = CliRunner().invoke(app, ["plan", "digits_claims.py", "--for-claims"])
    assert result.exit_code == 2
    assert "--for-claims: digits_claims.py declares no claims" in result.output
