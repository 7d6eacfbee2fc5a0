"""The newest events of the routing state, numbered in memory from 1."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from services.router.core.watching import RoutingEvent

CAPACITY = 10_000


class EventLog:
    """Bounded; a reader that falls behind has to begin anew.

    Attributes:
        number: Of the last event.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.number = 0
        self._events: deque[RoutingEvent] = deque(maxlen=capacity)

    def add(self, event: RoutingEvent) -> None:
        self.number += 1
        self._events.append(event)

    def clear(self) -> None:
        """Forget the events; the numbers go on."""
        self._events.clear()

    def after(self, number: int, most: int) -> Sequence[RoutingEvent] | None:
        """The events after the one with that number; None when some of them are no longer there."""
        start = number - (self.number - len(self._events))
        if start < 0:
            return None
        return list(islice(self._events, start, start + most))
