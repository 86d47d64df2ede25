"""Real sweeps whose trials are suggested while they run."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cae.cli.tables import trial_log
from cae.run.events import EpochFinished, TrialEnded, TrialPlanned
from cae.run.paths import RunDir
from cae.run.records import Record
from cae.run.status import run_status
from cae.run.trial_state import StopCause, TrialState
from cae.sweep.engine.suggestions import trial_result
from cae.sweep.search.base import Candidates, TrialResult
from cae.sweep.search.model_based import ModelBased
from cae.sweep.spec.plan import make_plan
from cae.sweep.spec.planned_trial import PlannedTrial
from cae.sweep.spec.sweep_file import read_sweep_file
from cae.trial.messages import ConfigError

FAILING_JUDGE = """
from cae import Classifier, Classify


class TiredClassifier(Classifier):
    def build(self, input_shape, output_shape):
        network = super().build(input_shape, output_shape)
        network.register_forward_pre_hook(self.fail)
        return network

    def fail(self, module, inputs):
        if module.training and inputs[0].device.type == "cpu":
            raise RuntimeError("the judge is tired")


JUDGE = Trial(
    dataset=Digits(size=8, train_images=96, val_images=32, test_images=32),
    task=Classify(),
    arch=TiredClassifier(encoder_filters=(4,), pool_after=(1,)),
    optimizer=Adam(),
    epochs=1,
)
"""
Write = Callable[..., Path]
Run = Callable[..., RunDir]
pytestmark = pytest.mark.timeout(600)  # new workers take long to start on a busy machine

SPACE = (
    "{'optimizer.lr': tune.loguniform(1e-4, 1e-1), "
    "'task.loss': tune.grid_search(['mse', 'l1']), "
    "'arch.kernel_size': tune.choice([3, 5])}"
)
FRONT = "search=ModelBased(second_objective='parameters'), samples=5"
SEARCH = "search=ModelBased(initial_trials=2, candidates=40), samples=9, scheduler=ASHA()"


def searching_sweep(write: Write, more: str = SEARCH, space: str = SPACE) -> Path:
    path = write(space, epochs=4, more=more)
    path.write_text(path.read_text().replace("import ASHA,", "import ASHA, ModelBased, Random,"))
    return path


def suggested(run: RunDir) -> list[tuple[Any, ...]]:
    """The configuration, the reason and the end of each trial, in their order."""
    records = run.records().values()
    return [(record.config, record.suggestion, record.reason) for record in records]


def losses(run: RunDir) -> list[list[float]]:
    rows = [record.epochs for record in run.records().values()]
    return [[epochs[epoch]["val_loss"] for epoch in sorted(epochs)] for epochs in rows]


def cut_after_epoch(source: RunDir, path: Path, epochs: int) -> RunDir:
    """A copy of a run as a kill after so many epochs would have left it: checkpoints may be ahead
    of the journal."""
    shutil.copytree(source.path, path)
    run = RunDir(path)
    lines = source.journal.read_bytes().splitlines(keepends=True)
    seen = 0
    for index, event in enumerate(source.events()):
        seen += isinstance(event, EpochFinished)
        if seen == epochs:
            run.journal.write_bytes(b"".join(lines[: index + 1]) + b'{"event":"tri')
            return run
    raise AssertionError(f"the run has only {seen} epochs")


@pytest.mark.slow
def test_a_killed_search_goes_on_as_if_it_had_not_been_interrupted(
    sweep_file: Write, run_sweep: Run
) -> None:
    path = searching_sweep(sweep_file)
    run = run_sweep(path)
    records = run.records()
    assert len(records) == 9
    assert {record.state for record in records.values()} == {
        TrialState.FINISHED,
        TrialState.STOPPED,
    }
    methods = [record.suggestion["method"] for record in records.values()]
    assert methods == ["initial design"] * 4 + ["model"] * 5
    assert [record.config["task.loss"] for record in records.values()].count("mse") in (4, 5)
    planned = [event.trial for event in run.events() if isinstance(event, TrialPlanned)]
    assert planned == list(range(1, 10)), "each trial is recorded once, before it starts"
    assert "suggested: model of 2 trials: " in trial_log(run, 5)
    progress = run_status(run).progress
    assert (progress.requested, progress.ended, progress.to_come) == (9, 9, 0)

    total = sum(isinstance(event, EpochFinished) for event in run.events())
    for epochs in (total // 3, total - 2):
        resumed = cut_after_epoch(run, Path(f"killed after {epochs}"), epochs)
        left = run_status(resumed).progress
        assert (left.requested, left.to_come) == (9, 9 - len(resumed.records()))
        run_sweep(path, out=resumed.path)
        assert suggested(resumed) == suggested(run)
        assert losses(resumed) == losses(run)


@pytest.mark.parametrize("objective", ["parameters", "seconds"])
def test_a_search_for_a_front_uses_sizes_of_the_plan_or_seconds_of_the_journal(
    sweep_file: Write, run_sweep: Run, objective: str
) -> None:
    search = f"ModelBased(initial_trials=2, candidates=40, second_objective={objective!r})"
    path = searching_sweep(sweep_file, f"search={search}, samples=7")
    run = run_sweep(path)
    plan = make(path)
    assert plan.search is not None
    records = list(run.records().values())
    index_of = {candidate.hash: index for index, candidate in enumerate(plan.search.candidates)}
    amounts: list[float] = []
    if objective == "parameters":
        amounts = [candidate.sizes["parameters"] for candidate in plan.search.candidates]
        assert len(set(amounts)) == 2, "two sizes of the kernel"
    candidates = Candidates(
        [candidate.axes for candidate in plan.search.candidates],
        [candidate.group["key"] for candidate in plan.search.candidates],
        amounts=amounts,
    )
    results: list[TrialResult] = []
    for record in records:
        suggestion = plan.search.search.suggest(candidates, results)
        assert suggestion is not None
        assert suggestion.candidate == index_of[record.hash]
        assert suggestion.to_json() == record.suggestion
        epochs = [record.epochs[epoch] for epoch in sorted(record.epochs)]
        values = [metrics["val_loss"] for metrics in epochs]
        seconds = math.fsum(metrics["seconds"] for metrics in epochs)
        results.append(
            TrialResult(suggestion.candidate, 4, values, has_ended=True, seconds=seconds)
        )
    assert f"hypervolume with {objective}" in records[-1].suggestion["reason"]


@pytest.mark.slow
def test_two_slots_replay_the_suggestions_and_more_trials_go_on(
    sweep_file: Write, run_sweep: Run, two_slots: Any
) -> None:
    path = searching_sweep(sweep_file, "search=ModelBased(initial_trials=2, candidates=30)")
    run = run_sweep(path, resources=two_slots, max_trials=5)
    before = suggested(run)
    assert len(before) == 5
    run_sweep(path, resources=two_slots, max_trials=5)
    assert suggested(run) == before
    run_sweep(path, max_trials=7)
    assert suggested(run)[:5] == before
    assert len(suggested(run)) == 7
    assert len({str(sorted(config.items())) for config, _, _ in suggested(run)}) == 7


def make(path: Path, **options: Any) -> Any:
    return make_plan(read_sweep_file(path).sweep, lambda dataset: dataset.load([]), **options)


@pytest.mark.parametrize(
    ("more", "space", "message"),
    [
        ("search=ModelBased()", SPACE, "samples = 48 in the sweep file, or use --max-trials 48"),
        ("search=ModelBased(), samples=5", "{}", "the search space has no dimension; add one"),
        ("search=ModelBased(), samples=5, seeds=2", SPACE, "seeds = 2: .* --set space=none"),
        (f"{FRONT}, scheduler=ASHA()", SPACE, r"scheduler = ASHA\(.*: it considers val_loss alone"),
        (f"{FRONT}, plateau=3", SPACE, "plateau = 3: it considers val_loss alone"),
    ],
)
def test_a_search_that_cannot_start_says_what_is_missing(
    sweep_file: Write, more: str, space: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(searching_sweep(sweep_file, more, space))


def test_other_objects_and_parameters_are_refused(sweep_file: Write) -> None:
    for search, message in (
        ("'tpe'", "should be a search of cae-sweep"),
        ("ModelBased(initial_trials=0)", "initial_trials"),
        ("ModelBased(trials=3)", "trials"),
        ("ModelBased(second_objective='size')", "parameters"),
    ):
        path = searching_sweep(sweep_file, f"search={search}, samples=3")
        with pytest.raises(ConfigError, match=message):
            make(path)


def test_a_dependency_that_varies_is_refused(sweep_file: Write) -> None:
    path = searching_sweep(sweep_file, "search=ModelBased(), samples=3")
    text = path.read_text().replace("task=Reconstruct()", "task=Denoise(judge=JUDGE)")
    judge = (
        "from cae import Classifier, Classify\n"
        "JUDGE = Trial(dataset=Digits(size=8, train_images=96, val_images=32, test_images=32), "
        "task=Classify(), arch=Classifier(encoder_filters=(4,), pool_after=(1,)), "
        "optimizer=Adam(), epochs=1)\n"
    )
    text = text.replace("sweep = Sweep(", judge + "sweep = Sweep(")
    text = re.sub(r"'task.loss': .*?\), ", "'task.judge.optimizer.lr': tune.choice([1, 2]), ", text)
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"varies the trial task\.judge"):
        make(path)


def test_the_plan_lists_the_initial_design_and_counts_the_rest(sweep_file: Write) -> None:
    plan = make(searching_sweep(sweep_file), max_trials=7)
    assert isinstance(plan.sweep.search, ModelBased)
    assert plan.trials == []
    assert [planned.number for planned in plan.listed] == [1, 2, 3, 4]
    assert plan.to_come == 7
    assert plan.has_work


def test_the_plan_numbers_new_trials_after_all_trials_of_the_run(sweep_file: Write) -> None:
    path = searching_sweep(sweep_file)
    left = Record(number=9, hash="other", config={}, axes={}, sizes={})
    plan = make(path, max_trials=2, records={9: left})
    assert [planned.number for planned in plan.listed] == [10, 11]


def test_without_the_search_space_nothing_is_searched(sweep_file: Write) -> None:
    path = searching_sweep(sweep_file, "search=ModelBased(), samples=9")
    plan = make(path, settings={"space": "none", "seeds": 3})
    assert plan.search is None
    assert plan.hints == []
    assert [planned.trial.seed for planned in plan.trials] == [0, 1, 2]


def test_samples_of_the_command_line_are_the_number_of_trials(sweep_file: Write) -> None:
    path = searching_sweep(sweep_file)
    plan = make(path, settings={"samples": 12})
    assert (plan.to_come, len(plan.search.candidates)) == (12, 40)
    with pytest.raises(ConfigError, match="seeds = 2: search = ModelBased"):
        make(path, settings={"seeds": 2})


def test_an_overridden_dimension_does_not_reduce_the_candidates(sweep_file: Write) -> None:
    for settings in ({}, {"task.loss": "mse"}):
        plan = make(searching_sweep(sweep_file), settings=settings)
        assert len(plan.search.candidates) == 40


def test_samples_of_a_searched_grid_have_an_effect(sweep_file: Write) -> None:
    space = "{'arch.kernel_size': tune.grid_search([3, 5, 7])}"
    plan = make(searching_sweep(sweep_file, "search=ModelBased(), samples=2", space))
    assert plan.hints == []
    assert plan.to_come == 2


def test_trials_that_were_tried_are_in_the_order_of_their_numbers(sweep_file: Write) -> None:
    plan = make(searching_sweep(sweep_file))
    for candidate, number in ((7, 3), (5, 1), (6, 2)):
        planned = replace(plan.search.candidates[candidate], number=number)
        plan = plan.with_suggestion(candidate, planned)
    assert list(plan.search.tried.items()) == [(5, 1), (6, 2), (7, 3)]
    assert (len(plan.trials), plan.to_come) == (3, 6)


def test_random_search_has_the_order_of_a_sample_and_grid_that_of_the_file(
    sweep_file: Write,
) -> None:
    space = (
        "{'arch.kernel_size': tune.grid_search([3, 5, 7]), 'batch_size': tune.grid_search([8, 16])}"
    )
    orders = []
    for more in ("", "search=Grid()", "search=Random()"):
        path = searching_sweep(sweep_file, more, space)
        path.write_text(path.read_text().replace("ModelBased,", "ModelBased, Grid,"))
        orders.append([tuple(trial.axes.values()) for trial in make(path).trials])
        sample = [tuple(trial.axes.values()) for trial in make(path, max_trials=3).trials]
        if more == "search=Random()":
            assert sample == orders[-1][:3]
        if more == "search=Grid()":
            assert sample == orders[0][:3]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


@pytest.mark.parametrize("space", ["{'arch.kernel_size': tune.grid_search([3, 5, 7])}", SPACE])
def test_another_seed_is_another_order_and_other_draws(sweep_file: Write, space: str) -> None:
    designs = []
    for seed in (0, 0, 1, 2):
        more = f"search=ModelBased(initial_trials=3, candidates=40, seed={seed}), samples=3"
        plan = make(searching_sweep(sweep_file, more, space))
        designs.append([str(planned.axes) for planned in plan.listed])
    assert designs[0] == designs[1]
    assert len({tuple(design) for design in designs}) > 1


def test_a_grid_search_of_a_random_dimension_is_refused(sweep_file: Write) -> None:
    path = searching_sweep(sweep_file, "search=Grid()")
    path.write_text(path.read_text().replace("ModelBased,", "ModelBased, Grid,"))
    with pytest.raises(ConfigError, match=r"search = Grid\(\): .* use search = Random"):
        make(path)


def test_samples_of_the_command_line_override_the_trials_of_a_budget(sweep_file: Write) -> None:
    more = "search=ModelBased(candidates=20), budgets={'few': {'max_trials': 12}}"
    path = searching_sweep(sweep_file, more)
    assert make(path, budget="few").to_come == 12
    assert make(path, budget="few", settings={"samples": 5}).to_come == 5
    assert make(path, budget="few", settings={"samples": 5}, max_trials=7).to_come == 7


def test_candidates_are_the_same_after_some_of_them_were_trained(sweep_file: Write) -> None:
    """Also beside a trial of an earlier sweep that is inside the space."""
    path = searching_sweep(sweep_file, "search=ModelBased(candidates=8), samples=4")
    earlier = make(path, settings={"space": "none", "optimizer.lr": 0.05}).trials[0]
    records = {1: finished(earlier, 1)}
    before = make(path, records=records)
    points = [candidate.axes for candidate in before.search.candidates]
    assert {"optimizer.lr": 0.05} in [{"optimizer.lr": point["optimizer.lr"]} for point in points]
    for number in (2, 3):
        records[number] = finished(before.search.candidates[-number], number)
    after = make(path, records=records)
    assert [candidate.axes for candidate in after.search.candidates] == points
    assert sorted(after.search.tried.values()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("state", "seconds"), [("failed", 8.0), ("stopped", 8.0), ("running", 8.0), ("finished", 9.0)]
)
def test_seconds_are_those_of_all_epochs_like_the_estimated_value(
    state: str, seconds: float
) -> None:
    """Otherwise a trial that failed early would be the cheapest network of the front."""
    record = Record(1, "h1", {"epochs": 4}, {}, {}, state=TrialState(state))
    measured = [1.5, 2.5]
    if state == "finished":
        measured += [2.0, 3.0]
    for epoch, value in enumerate(measured, 1):
        record.epochs[epoch] = {"val_loss": 0.1, "seconds": value}
    assert trial_result(0, record, "val_loss").seconds == seconds


def test_a_trial_that_its_patience_ended_has_its_final_value() -> None:
    """More epochs would not have improved it: no improvement is estimated."""
    record = Record(1, "h1", {"epochs": 40}, {}, {}, state=TrialState.STOPPED)
    for number, value in enumerate([0.3, 0.2, 0.2], 1):
        record.epochs[number] = {"val_loss": value, "seconds": 2.0}
    for cause, epochs in ((StopCause.PATIENCE, 3), (StopCause.SCHEDULER, 40)):
        record.end = TrialEnded(
            trial=1, state=TrialState.STOPPED, reason="-", stopped_by=str(cause)
        )
        result = trial_result(0, record, "val_loss")
        assert (result.epochs, result.seconds) == (epochs, 2.0 * epochs)


def finished(planned: PlannedTrial, number: int) -> Record:
    """The record of a planned trial that has finished."""
    record = Record(number, planned.hash, planned.trial.flat(), planned.axes, planned.sizes)
    record.state = TrialState.FINISHED
    record.epochs[planned.trial.epochs] = {"val_loss": 0.1}
    return record


@pytest.mark.slow
def test_a_search_whose_dependency_failed_gives_up(sweep_file: Write, run_sweep: Run) -> None:
    space = "{'optimizer.lr': tune.choice([1e-3, 1e-2])}"
    path = searching_sweep(sweep_file, "search=ModelBased(), samples=2", space)
    text = path.read_text().replace("task=Reconstruct()", "task=Denoise(judge=JUDGE)")
    path.write_text(text.replace("sweep = Sweep(", FAILING_JUDGE + "sweep = Sweep("))
    run = run_sweep(path)
    assert [record.state for record in run.records().values()] == [TrialState.FAILED]
    assert run_status(run).session_end == ("gave up: trial 1, on which all others depend, failed")
