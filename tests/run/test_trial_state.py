"""The states of a trial, and what follows from each."""

from __future__ import annotations

import pytest

from cae.run.trial_state import TrialState


def states(name: str) -> set[TrialState]:
    """The states that have a property."""
    return {state for state in TrialState if getattr(state, name)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("is_final", "finished stopped diverged failed oom killed"),
        ("is_ranked", "finished stopped running interrupted waiting killed withdrawn"),
        ("is_successful", "finished stopped"),
        ("is_remaining", "running interrupted waiting pending"),
        ("is_failure", "failed oom"),
        ("is_retryable", "failed oom diverged killed"),
    ],
)
def test_the_states_that_have_a_property(name: str, expected: str) -> None:
    assert states(name) == set(map(TrialState, expected.split()))


def test_a_state_is_final_remaining_or_withdrawn() -> None:
    assert not states("is_final") & states("is_remaining")
    assert states("is_final") | states("is_remaining") == set(TrialState) - {TrialState.WITHDRAWN}


def test_only_final_states_can_be_retried() -> None:
    assert states("is_retryable") <= states("is_final")
    assert states("is_failure") <= states("is_retryable")
    assert not states("is_successful") & states("is_retryable")
