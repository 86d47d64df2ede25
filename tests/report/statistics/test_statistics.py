"""The statistics of the page on runs whose answer is known, because it was planted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cae.report.data import tables
from cae.report.data.results import Results
from cae.report.page.sections.early_stopping import evidence_sentences
from cae.report.page.sections.importance import importance_section
from cae.report.page.sections.worker_utilization import worker_utilization_section
from cae.report.statistics import best as seeds
from cae.report.statistics import early_stopping as halving
from cae.report.statistics import importance as surrogate
from cae.report.statistics import inference as statistics
from cae.report.statistics import worker_utilization as slots
from cae.run.paths import RunDir

Writer = Callable[..., Any]
Make = Callable[[str], RunDir]


def seeded(
    writer: Writer, means: list[float], count: int, spread: float, name: str = "run"
) -> Results:
    """Configurations of these means, each with `count` seeds."""
    sweep, random = writer(name, seeds=count), np.random.default_rng(1)
    plan = [(kernel, seed) for seed in range(count) for kernel in range(len(means))]
    sweep.session(list(range(1, len(plan) + 1)))
    for number, (kernel, seed) in enumerate(plan, 1):
        sweep.trial(number, {"arch.kernel_size": kernel}, seed=seed)
        sweep.start(number)
        sweep.epoch(number, 1, means[kernel] + spread * float(random.normal()))
        sweep.end(number, "finished", best_epoch=1, metrics={})
    return tables.read([sweep.close()])


def test_a_configuration_that_is_better_beyond_the_spread_of_seeds_is_called_better(
    writer: Writer,
) -> None:
    results = seeded(writer, [0.010, 0.020, 0.021], 5, 0.0005)
    found = seeds.contest(results)
    assert found.verdict == "better"
    assert found.table["chance"].iloc[0] > 0.99
    assert found.table["gap_low"].iloc[1] > 0
    said = seeds.sentence(results, found)
    assert "is better than each of the 2 others beyond the spread of seeds" in said


def test_a_planted_tie_is_called_a_tie_and_the_smallest_of_the_tied_is_named(
    writer: Writer,
) -> None:
    results = seeded(writer, [0.010, 0.010, 0.030], 4, 0.001)
    found = seeds.contest(results)
    assert found.verdict == "tied"
    assert len(found.tied) == 1
    assert found.table["chance"].sum() == pytest.approx(1)
    assert "is tied with that of" in seeds.sentence(results, found)
    assert "The smallest of them is" in seeds.sentence(results, found)


def test_equal_configurations_are_rarely_called_better_however_many_they_are() -> None:
    """The best of twelve equal ones, a hundred times: choosing the winner by the same data does not make it a winner."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(100):
        samples = sorted(
            (random.normal(size=4) for _ in range(12)), key=lambda sample: float(sample.mean())
        )
        two = statistics.welch(samples[1], samples[0], [])
        wrong += two.p() < 0.05
    assert wrong <= 8


def test_one_seed_each_is_unknown_and_says_what_would_tell(writer: Writer) -> None:
    results = seeded(writer, [0.01, 0.02], 1, 0.0)
    found = seeds.contest(results)
    assert found.verdict == "unknown"
    assert seeds.sentence(results, found).endswith(
        "the same command with --set seeds=3; what is finished stays."
    )


def test_a_configuration_of_which_a_seed_failed_is_not_in_the_contest(writer: Writer) -> None:
    sweep = writer(seeds=2)
    sweep.session([1, 2, 3, 4])
    for number, (kernel, seed) in enumerate(itertools.product([3, 5], [0, 1]), 1):
        sweep.trial(number, {"arch.kernel_size": kernel}, seed=seed)
        sweep.start(number)
        sweep.epoch(number, 1, math.nan if number == 1 else 0.01 * number)
        sweep.end(number, "diverged" if number == 1 else "finished")
    found = seeds.contest(tables.read([sweep.close()]))
    assert list(found.table["why"]) == ["", "1 of 2 seeds finished"]
    assert len(found.ranked) == 1


def planted(
    writer: Writer, value: Callable[[int, int, int], float], count: int = 90, **sweep_json: Any
) -> Results:
    sweep = writer(**sweep_json)
    settings = list(itertools.product([3, 5, 7], [8, 16, 32], range(10)))[:count]
    sweep.session(list(range(1, len(settings) + 1)))
    for number, (kernel, filters, idle) in enumerate(settings, 1):
        sweep.trial(
            number, {"arch.kernel_size": kernel, "arch.filters": filters, "arch.idle": idle}
        )
        sweep.start(number)
        sweep.epoch(number, 1, value(kernel, filters, idle))
        sweep.end(number, "finished")
    return tables.read([sweep.close()])


def test_the_planted_order_of_importance_is_found_and_the_idle_parameter_is_not_important(
    writer: Writer,
) -> None:
    random = np.random.default_rng(0)
    results = planted(
        writer, lambda kernel, filters, _: kernel + filters / 32 + 0.1 * float(random.normal())
    )
    (found,) = surrogate.surrogates(results)
    assert found.r2 > 0.8
    assert found.importance["parameter"].tolist() == [
        "arch.kernel_size",
        "arch.filters",
        "arch.idle",
    ]
    assert found.importance["low"].iloc[1] > 0
    assert found.importance["low"].iloc[2] < 0.01
    said = importance_section(results).verdict
    assert "arch.kernel_size matters most; also significant: arch.filters" in said
    assert "their effects are additive" in said


def test_a_planted_interaction_is_found_and_its_cells_are_what_was_measured(writer: Writer) -> None:
    results = planted(
        writer,
        lambda kernel, filters, idle: float((kernel == 3) == (filters == 8)) + 0.01 * idle + 1,
    )
    (found,) = surrogate.surrogates(results)
    assert set(found.pairs.iloc[0][["a", "b"]]) == {"arch.kernel_size", "arch.filters"}
    assert found.pairs.iloc[0]["of_joint"] > 0.1


def test_importance_is_hidden_with_a_reason_where_it_could_not_be_trusted(writer: Writer) -> None:
    random = np.random.default_rng(0)
    noise = planted(writer, lambda *_: 1 + float(random.normal()) ** 2)
    assert (
        "a forest cannot predict the rank of unseen configurations"
        in surrogate.surrogates(noise)[0].why
    )
    few = planted(lambda **more: writer("few", **more), lambda kernel, *_: float(kernel), count=12)
    assert "at least 20 are needed" in surrogate.surrogates(few)[0].why


def halved(
    writer: Writer,
    curves: dict[int, list[float]],
    spared: dict[int, int] | None = None,
    **config: Any,
) -> Results:
    """Trials with these curves; one that is shorter than the longest was stopped; `spared` ones are of the audit."""
    sweep, longest = writer(), max(map(len, curves.values()))
    sweep.session(list(curves))
    for number in curves:
        said = {"is_audit": True} if number in (spared or {}) else {}
        hash_, axes = f"{number:016x}", {"arch.kernel_size": 3 + 2 * (number % 2)}
        sweep.add(
            "trial",
            trial=number,
            hash=hash_,
            config={"epochs": longest, **axes, **config},
            axes=axes,
            sizes={},
            **said,
        )
    for number, curve in curves.items():
        sweep.start(number)
        for epoch, value in enumerate(curve, 1):
            sweep.epoch(number, epoch, value)
        if number in (spared or {}):
            sweep.add(
                "audit_stop",
                trial=number,
                reason="above",
                rung=(spared or {})[number],
                value=1.0,
                cutoff=0.5,
                seen=3,
            )
        if len(curve) < longest:
            sweep.end(
                number,
                "stopped",
                reason="above the cutoff",
                rung=len(curve),
                value=curve[-1],
                cutoff=0.1,
            )
        else:
            sweep.end(number, "finished")
    return tables.read([sweep.close()])


def test_a_planted_regret_is_found_at_the_epoch_where_the_best_was_still_behind(
    writer: Writer,
) -> None:
    results = halved(
        writer,
        {
            1: [0.5, 0.4, 0.30],
            2: [0.6, 0.5, 0.10],
            3: [0.7, 0.6, 0.50],
            4: [0.9, 0.8, 0.7],
            5: [1.0],
        },
    )
    found = halving.halving(results)
    lost = {(row.epoch, row.kept): row.regret for row in found.regret.itertuples()}
    assert lost == {
        (1, 1): pytest.approx(0.2),
        (1, 3): 0,
        (2, 1): pytest.approx(0.2),
        (2, 3): 0,
        (3, 1): 0,
        (3, 3): 0,
    }
    assert any("would have lost 0.2" in said for said in evidence_sentences(results, found))


def test_rank_correlation_and_survival_are_those_of_the_curves(writer: Writer) -> None:
    curves = {number: [number, number + 0.5] if number < 5 else [number] for number in range(1, 9)}
    found = halving.halving(
        halved(
            writer, {number: [float(value) for value in curve] for number, curve in curves.items()}
        )
    )
    assert found.agreement[["a", "b", "rho", "n"]].to_numpy().tolist() == [[1, 2, 1.0, 4]]
    every = found.survival["all trials"]
    assert dict(zip(every["epoch"], every["share"], strict=True)) == {0: 1.0, 1: 0.5, 2: 0.5}


def test_the_audit_says_how_many_that_would_have_been_stopped_came_to_the_best(
    writer: Writer,
) -> None:
    curves = {number: [1.0, 0.5 + 0.01 * number] for number in range(1, 21)}
    curves |= {21: [2.0, 0.1], 22: [2.0, 0.9], 23: [2.0, 0.95], 24: [2.0, 0.8]}
    found = halving.audit(halved(writer, curves, spared=dict.fromkeys(range(21, 25), 1)))
    assert (found["planned"], found["spared"], found["won"]) == (4, 4, 1)
    assert found["low"] == pytest.approx(0.0456, abs=1e-3)  # Wilson's interval of 1 in 4
    assert found["high"] == pytest.approx(0.6994, abs=1e-3)
    said = halving.audit_sentence(found, "val_loss")
    assert "4 trials that would have been stopped ran on, and 1 came to the best val_loss" in said


def test_the_slots_time_adds_up_and_what_did_not_train_is_named(writer: Writer) -> None:
    sweep = writer()
    sweep.session([1, 2])
    for number in (1, 2):
        sweep.trial(number, {})
    for number in (1, 2):
        sweep.add("start", 10, trial=number, epoch=0, host="a", device="cpu", worker=1)
        sweep.epoch(number, 1, 0.1)  # 12.5 s of training, by the fixture's clock
        sweep.end(number, "finished" if number == 1 else "failed")
    results = tables.read([sweep.close()])
    found = slots.slots(results)
    assert found.wall == pytest.approx(2 * (10 + 12.5 + 1))
    assert found.total == pytest.approx(2 * found.wall)
    assert found.seconds["finished"] == found.seconds["lost"] == pytest.approx(12.5)
    assert found.seconds["around"] == pytest.approx(2.0)
    assert found.seconds["start-up"] == pytest.approx(20)
    assert found.busy == pytest.approx(25 / 94)
    assert "trained for 27\u00a0% of 47 s" in worker_utilization_section(results).verdict


def test_labels_name_what_is_unusual_and_leave_out_what_follows(writer: Writer) -> None:
    sweep, usual = (
        writer(),
        dict[str, Any](
            {
                "arch.kernel_size": 3,
                "arch.layers": 2,
                "arch.pools": 1,
                "optimizer.lr": 0.01,
                "optimizer": "adam",
            }
        ),
    )
    plan: list[dict[str, Any]] = [
        {},
        {"arch.kernel_size": 5},
        {"arch.layers": 4, "arch.pools": 3},
        {"optimizer.lr": 0.1},
        {"optimizer": "sgd"},
    ]
    sweep.session(list(range(1, len(plan) + 1)))
    for number, changed in enumerate(plan, 1):
        sweep.trial(number, {**usual, **changed})
    results = tables.read([sweep.close()])
    told = seeds.apart(results, list(results.trials.index))
    assert told == ["as most are", "kernel_size 5", "layers 4", "lr 0.1", "optimizer sgd"]
    assert seeds.apart(results, [0, 1]) == ["kernel_size 3", "kernel_size 5"]
