"""Where the routing state reports its changes: what is to be stored, and what is to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from services.router.core.routing_change import RoutingChange
from services.router.core.shared_entry import Entry, Key, Kind


def _nobody(change: RoutingChange) -> None:
    """Nobody watches."""


class RoutingChanges:
    """Implements ``Changes``; one per process.

    Attributes:
        watch: Called with every change, in the midst of the call that causes it.
    """

    def __init__(self) -> None:
        self.watch: Callable[[RoutingChange], None] = _nobody
        self._unsaved: dict[tuple[Kind, Key], Entry[Any]] = {}

    def store(self, entry: Entry[Any]) -> None:
        self._unsaved[entry.kind, entry.key] = entry

    def tell(self, change: RoutingChange) -> None:
        self.watch(change)

    def take_unsaved(self) -> list[Entry[Any]]:
        """Take what was reported since the last call, the last entry of each key."""
        entries, self._unsaved = list(self._unsaved.values()), {}
        return entries

    def put_back(self, entries: Iterable[Entry[Any]]) -> None:
        """Return what was not stored; a newer entry of the same key wins."""
        for entry in entries:
            self._unsaved.setdefault((entry.kind, entry.key), entry)
