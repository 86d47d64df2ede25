"""Seeds that start from the same trained weights are not independent repetitions."""

from __future__ import annotations

from typing import Any

import pytest

from cae import BetterThan
from cae.report.data import tables
from cae.report.statistics.best import compare_configurations
from cae.report.statistics.claims.judge import judge_claims
from cae.report.statistics.shared_dependencies import shared_dependencies
from cae.report.wording.best import certainty_sentence
from cae.report.wording.claims import reason
from cae.run.paths import RunDir
from tests.report.synthetic_runs import MakeWriter

SENTENCE = (
    "The seeds of a configuration start from the same trained weights (trial 1): the spread of "
    "that training is not in these numbers."
)
CLAIM = BetterThan(
    id="C1",
    text="Three is better.",
    metric="val_loss",
    this={"arch.kernel_size": 3},
    that={"arch.kernel_size": 5},
)


def heads_on_one_trial(writer: MakeWriter, parameter: str, seeds: int) -> RunDir:
    """Two configurations whose trials all depend on trial 1."""
    run = writer(claims=[CLAIM.described()], overrides={}, seeds=seeds, scheduler=None)
    count = 2 * seeds
    run.session(list(range(1, count + 2)))
    run.trial(1, {"arch.kernel_size": 3}, is_dependency=True)
    for number in range(2, count + 2):
        index, seed = divmod(number - 2, seeds)
        config: dict[str, Any] = {"task": "classify", parameter: "trial"}
        kernel = 3 + 2 * index
        run.trial(
            number, {"arch.kernel_size": kernel}, dependencies={parameter: 1}, seed=seed, **config
        )
        run.start(number)
        run.epoch(number, 1, 0.01 * kernel + 1e-5 * seed * index)
        run.end(number, "finished", best_epoch=1, metrics={})
    return run.close()


def test_one_encoder_of_all_seeds_is_stated_beside_the_verdicts(writer: MakeWriter) -> None:
    """Regression: three heads on one encoder looked like three independent repetitions."""
    results = tables.read([heads_on_one_trial(writer, "task.encoder", 3)])
    assert shared_dependencies(results, results.trials.index[1:]) == [1]
    (claim,) = judge_claims(results)
    assert claim.shared_dependencies == [1]
    assert reason(claim).endswith(SENTENCE)
    group = results.groups[0].results
    assert certainty_sentence(group, compare_configurations(group)).endswith(SENTENCE)


@pytest.mark.parametrize(("parameter", "seeds"), [("task.encoder", 1), ("task.judge", 3)])
def test_one_seed_and_a_trial_that_measures_are_not_stated(
    parameter: str, seeds: int, writer: MakeWriter
) -> None:
    results = tables.read([heads_on_one_trial(writer, parameter, seeds)])
    assert shared_dependencies(results, results.trials.index[1:]) == []
