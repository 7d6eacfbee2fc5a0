"""Pins: sessions that stay on a member other than their home."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import TypeAlias

from services.chassis.slices import give_way
from services.router.core.decision import SkipReason
from services.router.core.failures import FailureClass
from services.router.core.model import Member, ReturnHome, Target
from services.router.core.session import SessionKey
from services.router.core.shared_entry import (
    Changes,
    Entry,
    Kind,
    Latest,
    Unheard,
    ended,
    later_than,
)

CAPACITY = 100_000
# A use is written only after this share of the time to live has passed.
_UNSAVED_SHARE = 1 / 16

# Tenant, pool, session.
PinKey: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pin:
    """One pinned session.

    Attributes:
        revision: Of the pool when the pin was made; under another one the pin is invalid.
        reason: The failure in a call that moved the session, or why the member was set aside that
            it left before a call; None when it was not moved.
        run_id: The run in which the session moved.
        ttl_s: Idle seconds after which the pin is forgotten.
        traceparent: Of the span that moved the session; empty once a call has linked to it.
        stored: Kept across restarts; homes chosen by round robin are not.
    """

    tenant: str
    pool_id: str
    session: str
    revision: str
    member_id: str
    home_member_id: str
    reason: FailureClass | SkipReason | None
    run_id: str
    moved_at: datetime
    used_at: datetime
    ttl_s: float
    traceparent: str = ""
    stored: bool = True

    @property
    def key(self) -> PinKey:
        return self.tenant, self.pool_id, self.session

    @property
    def expires_at(self) -> datetime:
        return self.used_at + timedelta(seconds=self.ttl_s)


def pin_ttl_s(target: Target, member: Member) -> float:
    """Idle seconds after which a pin to ``member`` expires: at least the model's ``cache_ttl``."""
    return max(target.pool.pin_ttl_s, member.model.cache_ttl_s)


@dataclass(frozen=True, slots=True)
class PinQuery:
    """A page of pins.

    Attributes:
        target_id: Only pins of this pool; empty for all.
        after: Pool and session of the last pin of the page before; None for the first page.
        limit: Pins to answer.
    """

    target_id: str
    after: tuple[str, str] | None
    limit: int


def page_of_pins(
    pins: Iterable[Pin],
    tenant: str,
    query: PinQuery,
    targets: Mapping[str, Target],
    now: datetime,
) -> list[Pin]:
    """The pins of a page, sorted by pool and session; those that have ended are not among them.

    Args:
        targets: Whose pins are wanted.
    """

    def wanted(pin: Pin) -> bool:
        give_way()
        target = targets.get(pin.pool_id)
        return (
            pin.tenant == tenant
            and (query.after is None or query.after < _place(pin))
            and target is not None
            and is_live(pin, target, now)
        )

    return nsmallest(query.limit, filter(wanted, pins), key=_place)


def _place(pin: Pin) -> tuple[str, str]:
    return pin.pool_id, pin.session


def is_live(pin: Pin, target: Target, now: datetime) -> bool:
    """Whether the pin has not expired and belongs to this revision of its pool."""
    return now < pin.expires_at and pin.revision == target.revision


def returns_home(pin: Pin, target: Target, run_id: str) -> bool:
    """Whether the pool returns sessions home with a new run, and ``run_id`` is one."""
    by_policy = target.pool.return_home is ReturnHome.NEXT_SESSION
    return by_policy and bool(run_id) and run_id != pin.run_id


@dataclass(frozen=True, slots=True)
class Pinned:
    """A session was pinned, or moved."""

    pin: Pin


@dataclass(frozen=True, slots=True)
class Unpinned:
    """A pin has ended."""

    pin: Pin


def pin_entry(pin: Pin) -> Entry[Pin]:
    """The pin as the replicas share it: the later move wins, then the later use."""
    return Entry(Kind.PIN, pin.key, pin, pin.moved_at, pin.used_at, pin.expires_at)


class Pins:
    """The pins of one process; beyond ``capacity`` the least recently used one is forgotten.

    Args:
        changes: Told of every pin that begins, moves or ends.
    """

    def __init__(self, capacity: int = CAPACITY, changes: Changes | None = None) -> None:
        self._capacity = capacity
        self._changes = changes or Unheard()
        self._pins: OrderedDict[PinKey, Pin] = OrderedDict()
        # When each pin was used last according to the store.
        self._stored_at: dict[PinKey, datetime] = {}
        # What was ended on purpose, so that nothing older comes back.
        self._ends: Latest[Pin] = Latest()

    def __len__(self) -> int:
        return len(self._pins)

    def all(self) -> Collection[Pin]:
        """Every pin, those that have ended and were not looked for since included; changes with
        the pins.
        """
        return self._pins.values()

    def find(self, key: SessionKey, target: Target, now: datetime) -> Pin | None:
        """As ``look``; one that has ended is forgotten."""
        pin = self._pins.get((key.tenant, target.pool.id, key.name))
        if pin is not None and not is_live(pin, target, now):
            self.forget(pin)
        return self.look(key, target, now)

    def look(self, key: SessionKey, target: Target, now: datetime) -> Pin | None:
        """The live pin of a session under this revision of the pool."""
        pin = self._pins.get((key.tenant, target.pool.id, key.name))
        return pin if pin is not None and is_live(pin, target, now) else None

    def put(self, pin: Pin) -> None:
        """Add a pin, or replace the one of the same key."""
        end = self._ends.entries.get(pin.key)
        moved_at = later_than(None if end is None else end.changed_at, pin.moved_at)
        self._set(replace(pin, moved_at=moved_at))
        self._store(self._pins[pin.key])
        self._changes.tell(Pinned(self._pins[pin.key]))
        self._evict()

    def touch(self, pin: Pin, now: datetime, run_id: str) -> None:
        """Restart the time to live of a used pin and clear its ``traceparent``."""
        used = replace(pin, used_at=now, traceparent="", run_id=run_id or pin.run_id)
        self._set(used)
        stored_s = (now - self._stored_at.get(pin.key, pin.used_at)).total_seconds()
        changed = bool(pin.traceparent) or used.run_id != pin.run_id
        if changed or stored_s > pin.ttl_s * _UNSAVED_SHARE:
            self._store(used)

    def end(self, pin: Pin, now: datetime) -> None:
        """End a pin, on all replicas."""
        end: Entry[Pin] = ended(Kind.PIN, pin.key, later_than(pin.moved_at, now))
        self._ends.take(end)
        if pin.stored:
            self._changes.store(end)
        self._drop(pin)

    def forget(self, pin: Pin) -> None:
        """Remove a pin that has expired, unless the session is pinned anew or was used since."""
        if self._pins.get(pin.key) == pin:
            self._drop(pin)

    def merge(self, entry: Entry[Pin]) -> None:
        """Take in what another replica, or this process before its restart, has stored."""
        place, pin = entry.key, entry.value
        held = self._pins.get(place)
        if not entry.supersedes(self._ends.entries.get(place)):
            return
        if held is not None and not entry.supersedes(pin_entry(held)):
            return
        if pin is None:
            self._ends.take(entry)
            if held is not None:
                self._drop(held)
            return
        self._set(pin)
        self._stored_at[pin.key] = pin.used_at
        if held is None or held.moved_at != pin.moved_at:
            self._changes.tell(Pinned(pin))
        self._evict()

    def _set(self, pin: Pin) -> None:
        self._pins[pin.key] = pin
        self._pins.move_to_end(pin.key)

    def _drop(self, pin: Pin) -> None:
        del self._pins[pin.key]
        self._stored_at.pop(pin.key, None)
        self._changes.tell(Unpinned(pin))

    def _store(self, pin: Pin) -> None:
        if pin.stored:
            self._stored_at[pin.key] = pin.used_at
            self._changes.store(pin_entry(pin))

    def _evict(self) -> None:
        while len(self._pins) > self._capacity:
            self._drop(next(iter(self._pins.values())))
