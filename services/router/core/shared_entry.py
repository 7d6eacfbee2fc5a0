"""What the replicas of a router share: entries, of which the greatest version of a key counts.

Versions of one key are totally ordered, so replicas that have seen the same entries agree, in
whatever order these came. No entry ever takes back what a greater one says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

CAPACITY = 10_000
# How long the end of something is kept. A replica that was cut off from the database for longer may
# miss it.
END_KEPT_S = 86_400.0
_TICK = timedelta(microseconds=1)

Key: TypeAlias = tuple[str, ...]


class Kind(Enum):
    """What an entry is about; the value is stored."""

    PIN = "pin"
    QUOTA_DEADLINE = "quota_deadline"
    RESET = "reset"
    CORDON = "cordon"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """What is known of one thing.

    Attributes:
        value: None when it has ended: it was unpinned, reset, uncordoned.
        changed_at: When it was last changed on purpose: moved, ended, reset, cordoned, set aside.
        extended_at: How far it reaches since: the last use of a pin, the end of a deadline.
        ends_at: Afterwards it may be forgotten; None for never.
    """

    kind: Kind
    key: Key
    value: T | None
    changed_at: datetime
    extended_at: datetime
    ends_at: datetime | None

    def supersedes(self, other: Entry[T] | None) -> bool:
        """Whether it counts where ``other`` was known."""
        return other is None or self.version > other.version

    @property
    def version(self) -> tuple[datetime, datetime]:
        return self.changed_at, self.extended_at


def ended(kind: Kind, key: Key, at: datetime) -> Entry[Any]:
    """That something has ended."""
    return Entry(kind, key, None, at, at, at + timedelta(seconds=END_KEPT_S))


def later_than(before: datetime | None, now: datetime) -> datetime:
    """``now``, or the instant after ``before``, which a clock that is ahead may have set."""
    return now if before is None or before < now else before + _TICK


class Latest(Generic[T]):
    """The newest entry of each key of one kind; beyond ``capacity`` the one that came first is
    forgotten.

    Attributes:
        entries: To be read by all; ``take`` alone changes it.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self.entries: dict[Key, Entry[T]] = {}

    def take(self, entry: Entry[T]) -> bool:
        """Keep the entry if it supersedes what is known of its key; answers whether it does."""
        if not entry.supersedes(self.entries.get(entry.key)):
            return False
        self.entries.pop(entry.key, None)
        self.entries[entry.key] = entry
        if len(self.entries) > self._capacity:
            del self.entries[next(iter(self.entries))]
        return True


class Changes(Protocol):
    """Where the routing state reports what changes in it; nothing of it waits."""

    def store(self, entry: Entry[Any]) -> None:
        """To be written to the database, and so to the other replicas."""

    def tell(self, change: Any) -> None:
        """To be shown to those who watch: a ``RoutingChange``."""


class Unheard:
    """Implements ``Changes`` for a state that nobody stores and nobody watches."""

    def store(self, entry: Entry[Any]) -> None:
        pass

    def tell(self, change: Any) -> None:
        pass
