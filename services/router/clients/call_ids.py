"""Ids of the calls of an answer, unique in the conversation."""

from __future__ import annotations

from collections.abc import Iterable


class CallIds:
    """``earlier`` are the ids of the calls in the conversation so far."""

    def __init__(self, earlier: Iterable[str]) -> None:
        self._used = set(earlier)

    def unused(self, said_id: str) -> str:
        """The provider's id, unless it is empty or another call has it."""
        call_id, number = said_id, len(self._used)
        while not call_id or call_id in self._used:
            call_id, number = f"{said_id or 'call'}_{number}", number + 1
        self._used.add(call_id)
        return call_id
