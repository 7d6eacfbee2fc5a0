"""The retries of all calls of this process, within one budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.chassis.clock import Clock
from services.chassis.observe.metrics import Attributes
from services.router.core.retry_budget import BURST, RetryBudget, take_token, tokens_at


class Retries:
    """Synchronous, so that concurrent calls never share a token.

    Attributes:
        draw: A random number from 0 to 1 per call, for the pauses.
        calls: How many calls have begun.
    """

    def __init__(self, clock: Clock, draw: Callable[[], float]) -> None:
        self.draw = draw
        self.calls = 0
        self._clock = clock
        self._budget = RetryBudget(BURST, clock.monotonic_s())

    def take(self) -> bool:
        """Take the token of one retry; False when there is none."""
        now_s = self._clock.monotonic_s()
        self._budget, granted = take_token(self._budget, self.calls, now_s)
        return granted

    def observed(self) -> Iterable[tuple[int, Attributes]]:
        """The whole tokens that are left, for the metric."""
        return [(int(tokens_at(self._budget, self.calls, self._clock.monotonic_s())), {})]
