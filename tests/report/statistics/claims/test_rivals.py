"""Several comparisons of which each has to support a claim."""

from __future__ import annotations

import numpy as np
import pytest

from cae.report.statistics.claims.rivals import Comparisons, RivalKind
from cae.report.statistics.inference import MeanDifference, paired_difference

NULL_RUNS = 400
SEEDS = 5


def differences_of(named: np.ndarray, others: np.ndarray) -> dict[str, MeanDifference]:
    """Compare each column of `named` with each of `others`; their rows are seeds."""
    differences = {}
    for i, first in enumerate(named.T):
        for j, second in enumerate(others.T):
            differences[f"{i} {j}"] = paired_difference(first, second)
    return differences


def test_equal_rows_are_rarely_contradicted_and_hardly_ever_supported() -> None:
    """5 % of the runs may be decided although nothing differs; here, 3 standard errors more."""
    generator = np.random.default_rng(0)
    contradicted = 0
    supported = 0
    for _ in range(NULL_RUNS):
        values = generator.normal(size=(SEEDS, 6))
        comparisons = Comparisons(-1, differences_of(values[:, :2], values[:, 2:]))
        contradicted += bool(comparisons.contradicting)
        supported += not comparisons.contradicting and not comparisons.uncertain
    limit = 0.05 + 3 * np.sqrt(0.05 * 0.95 / NULL_RUNS)
    assert contradicted / NULL_RUNS < limit
    assert supported / NULL_RUNS < 0.01


@pytest.mark.parametrize(
    ("others", "deciding", "kind"),
    [
        ({"a": 1.0}, "a", RivalKind.ONLY),
        ({"a": 3.0, "b": -1.0}, "b", RivalKind.CLOSEST),
        ({"a": 3.0, "b": 0.0}, "b", RivalKind.CLOSEST),
    ],
)
def test_sizes_are_compared_without_a_test(
    others: dict[str, float], deciding: str, kind: RivalKind
) -> None:
    """One value each: what is above 0 is larger by so much."""
    differences = {}
    for name, lead in others.items():
        differences[name] = paired_difference(np.array([lead]), np.array([0.0]))
    comparisons = Comparisons(1, differences, are_certain=True)
    assert comparisons.deciding == deciding
    assert comparisons.untested is None
    assert comparisons.rival_kind == kind
