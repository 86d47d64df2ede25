"""Whose turn it is: Tune is handed a trial when a slot is free, and not before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ray.tune.search import Searcher


def without_a_tail(work: Mapping[int, float], slots: int) -> list[int]:
    """Trials, by number, in their order; but one so long that it would end long after all others begins before it is the last: as
    soon as what is left keeps the slots busy for no more than twice its own time. `work`: of each, in any unit."""
    left = sum(work.values())
    longest = deque(sorted(work, key=lambda number: -work[number]))
    waiting, order = iter(work), dict[int, None]()
    while len(order) < len(work):
        while longest[0] in order:
            longest.popleft()
        waits_too_long = 2 * slots * work[longest[0]] >= left
        number = (
            longest[0]
            if waits_too_long
            else next(number for number in waiting if number not in order)
        )
        order[number] = None
        left -= work[number]
    return list(order)


class Turns(Searcher):
    """Trials in the order they are given; one whose worker died has the next turn.

    Left to itself Tune asks for the resources of several trials ahead, sends a trial whose worker died to the end of the queue,
    and gives up one whose worker dies while it starts: ASHA would see the trials in another order, and stop others.
    """

    def __init__(self, numbers: Iterable[int], slots: int) -> None:
        super().__init__()
        self.waiting, self.slots = deque(numbers), slots
        self.holders: set[str] = set()
        """Tune's names of the trials that hold a slot."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a string
        if len(self.holders) >= self.slots:
            return None
        if not self.waiting:
            return (
                None if self.holders else self.FINISHED
            )  # one that still runs may have to come again
        self.holders.add(trial_id)
        return {"number": self.waiting.popleft()}

    def again(self, number: int) -> None:
        self.waiting.appendleft(number)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.holders.discard(trial_id)
