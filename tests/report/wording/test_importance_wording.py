"""Sentences about the importance of parameters."""

from __future__ import annotations

import numpy as np
import pytest

from cae.report.data import tables
from cae.report.page.sections.importance import importance_sentence
from cae.report.statistics.compared_trials import PopulationKind
from cae.report.statistics.importance import Population, analyze_importance
from cae.report.wording.importance import obstacle, population_name
from tests.report.planted_runs import ValueOf, grid
from tests.report.synthetic_runs import MakeWriter


@pytest.mark.parametrize(
    ("kind", "epoch", "name"),
    [
        (PopulationKind.FINISHED, None, "finished trials"),
        (PopulationKind.SAME_EPOCH, 3, "all trials at epoch 3"),
    ],
)
def test_a_population_is_named_by_its_trials(
    kind: PopulationKind, epoch: int | None, name: str
) -> None:
    population = Population(kind, epoch, axes=[], values=np.zeros(0), total_configurations=0)
    assert population_name(population) == name


def obstacle_for(writer: MakeWriter, value_of: ValueOf, trials: int) -> str:
    (analysis,) = analyze_importance(grid(writer, value_of, trials))
    return obstacle(analysis)


def test_too_few_configurations_state_how_many_are_needed(writer: MakeWriter) -> None:
    assert obstacle_for(writer, lambda kernel, *_: float(kernel), 12) == (
        "12 configurations of finished trials, and at least 20 are needed for 2 parameters"
    )


def test_equal_values_are_stated(writer: MakeWriter) -> None:
    text = obstacle_for(writer, lambda *_: 0.01, 90)
    assert text == "all finished trials have the same value"


def test_a_poor_prediction_states_its_r2(writer: MakeWriter) -> None:
    random = np.random.default_rng(0)
    text = obstacle_for(writer, lambda *_: 1 + float(random.normal()) ** 2, 90)
    assert text.startswith("a random forest cannot predict the rank of unseen configurations (R²")
    assert text.endswith("at least 0.3 is required)")


def test_importance_that_is_shown_has_no_obstacle(writer: MakeWriter) -> None:
    assert obstacle_for(writer, lambda kernel, filters, _: kernel + filters / 32, 90) == ""


def test_a_parameter_is_not_credited_with_what_changes_together_with_it(
    writer: MakeWriter,
) -> None:
    """Regression: of two axes that always change together the first one "matters most"."""
    axes = {name: {"values": None} for name in ("arch.kernel_size", "optimizer.lr", "arch.filters")}
    run = writer(axes=axes)
    run.session(list(range(1, 31)))
    for number in range(1, 31):
        kernel = 3 + 2 * (number % 3)
        filters = 8 * (number % 10 + 1)
        run.trial(
            number,
            {"arch.kernel_size": kernel, "optimizer.lr": 0.1 * kernel, "arch.filters": filters},
        )
        run.start(number)
        run.epoch(number, 1, kernel + 0.001 * filters)
        run.end(number, "finished")
    (analysis,) = analyze_importance(tables.read([run.close()]))
    sentence = importance_sentence(analysis)
    assert "arch.kernel_size matters most" in sentence
    assert sentence.endswith(
        "arch.kernel_size and optimizer.lr change together: their effects cannot be separated."
    )
