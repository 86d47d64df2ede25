"""The order in which trials start. Tune gets a trial when a slot is free, not earlier."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ray.tune.search import Searcher
from typing_extensions import override

from cae.sweep.engine.worker_report import INPUTS


def start_long_trials_early(work: Mapping[int, float], slots: int) -> list[int]:
    """The order of trials in which no long trial runs alone at the end.

    The trials keep their order, except that the longest remaining one starts as soon as all
    remaining work keeps the slots busy for at most twice its own time.

    Args:
        work: Remaining work of each trial by number, in any unit.
        slots: How many trials run at the same time.
    """
    remaining_work = sum(work.values())
    longest_first = deque(sorted(work, key=lambda number: -work[number]))
    in_plan_order = iter(work)
    order: dict[int, None] = {}  # an ordered set
    while len(order) < len(work):
        while longest_first[0] in order:
            longest_first.popleft()
        number = longest_first[0]
        if 2 * slots * work[number] < remaining_work:
            number = next(candidate for candidate in in_plan_order if candidate not in order)
        order[number] = None
        remaining_work -= work[number]
    return list(order)


def _nothing() -> None:
    """No further trials."""


class TrialQueue(Searcher):
    """Hands the trials to Tune in a given order; a trial whose worker died is next.

    Without it, Tune requests resources for several trials ahead, moves a trial whose worker died to
    the end, and gives up a trial whose worker dies while it starts: ASHA would see the trials in
    another order and stop others.
    """

    def __init__(
        self,
        numbers: Iterable[int],
        slots: int,
        *,
        inputs: Callable[[int], Any] = int,
        suggest: Callable[[], int | None] = _nothing,
    ) -> None:
        """Create a queue.

        Args:
            numbers: The trials, in their order.
            slots: How many run at the same time.
            inputs: What the worker of a trial receives when it starts.
            suggest: Returns the number of a further trial when the queue is empty; None: there is
                none.
        """
        super().__init__()
        self._inputs = inputs
        self._suggest_trial = suggest
        self.waiting = deque(numbers)
        self.slots = slots
        self.running: set[str] = set()
        """Tune's ids of the trials that hold a slot."""

    @override
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        if len(self.running) >= self.slots:
            return None
        number = self._next_trial()
        if number is not None:
            self.running.add(trial_id)
            return {"number": number, INPUTS: self._inputs(number)}
        if self.running:
            return None  # a running trial may have to restart
        return str(self.FINISHED)

    def _next_trial(self) -> int | None:
        if self.waiting:
            return self.waiting.popleft()
        return self._suggest_trial()

    def restart(self, number: int) -> None:
        """Start a trial next."""
        self.waiting.appendleft(number)

    @override
    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.running.discard(trial_id)
