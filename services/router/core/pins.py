"""Sessions that are held on a member other than their first choice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from services.router.core.failures import FailureClass
from services.router.core.model import Member, ReturnHome, Target
from services.router.core.session import SessionKey

CAPACITY = 100_000
# A use within this share of the time to live is not worth a write.
_UNSAVED_SHARE = 1 / 16

PinKey: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Pin:
    """One held session.

    Attributes:
        revision: Of the pool the pin was made under; under another one it means nothing.
        reason: What moved the session; None when its home was set aside before the call.
        run_id: The run that was under way when the session moved.
        ttl_s: Idle seconds after which the pin is forgotten.
        traceparent: Of the span that moved the session, until the next call has linked to it.
        stored: Survives a restart; homes given in turn do not.
    """

    tenant: str
    pool_id: str
    session: str
    revision: str
    member_id: str
    home_member_id: str
    reason: FailureClass | None
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
    """Idle time after which a pin to ``member`` is forgotten: never before its cache is cold."""
    return max(target.pool.pin_ttl_s, member.model.cache_ttl_s)


def returns_home(pin: Pin, target: Target, run_id: str) -> bool:
    """Whether a new run of the session goes back home, provided that home is healthy."""
    by_policy = target.pool.return_home is ReturnHome.NEXT_SESSION
    return by_policy and bool(run_id) and run_id != pin.run_id


class Pins:
    """The pins of one process: the least recently used goes when there are too many."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._pins: OrderedDict[PinKey, Pin] = OrderedDict()
        self._unsaved: dict[PinKey, Pin | None] = {}

    def __len__(self) -> int:
        return len(self._pins)

    def load(self, pins: Iterable[Pin]) -> None:
        """Take over stored pins, oldest use first; what is pinned already is newer and stays."""
        for pin in sorted(pins, key=lambda p: p.used_at):
            if pin.key not in self._pins:
                self._put(pin)
        self._shrink()

    def find(self, key: SessionKey, target: Target, now: datetime) -> Pin | None:
        """The live pin of a session under this revision of the pool; a dead one is dropped."""
        place = (key.tenant, target.pool.id, key.name)
        pin = self._pins.get(place)
        if pin is None:
            return None
        if pin.expires_at <= now or pin.revision != target.revision:
            self.drop(pin)
            return None
        return pin

    def hold(self, pin: Pin) -> None:
        """Pin a session, or move its pin."""
        self._put(pin)
        if pin.stored:
            self._unsaved[pin.key] = pin
        self._shrink()

    def use(self, pin: Pin, now: datetime, run_id: str) -> None:
        """Note that the session was used: its time to live starts anew, its link is spent."""
        used = replace(pin, used_at=now, traceparent="", run_id=run_id or pin.run_id)
        self._put(used)
        idle_s = (now - pin.used_at).total_seconds()
        spent = bool(pin.traceparent) or used.run_id != pin.run_id
        if pin.stored and (spent or idle_s > pin.ttl_s * _UNSAVED_SHARE):
            self._unsaved[pin.key] = used

    def drop(self, pin: Pin) -> None:
        """End a pin."""
        del self._pins[pin.key]
        if pin.stored:
            self._unsaved[pin.key] = None

    def take_unsaved(self) -> tuple[list[Pin], list[PinKey]]:
        """What has changed since the last call: pins to store, and keys of those that are gone."""
        changed, self._unsaved = self._unsaved, {}
        saved = [pin for pin in changed.values() if pin is not None]
        return saved, [key for key, pin in changed.items() if pin is None]

    def put_back(self, saved: Iterable[Pin], gone: Iterable[PinKey]) -> None:
        """A write failed: try again with the next one, unless something newer replaced it."""
        for pin in saved:
            self._unsaved.setdefault(pin.key, pin)
        for key in gone:
            self._unsaved.setdefault(key, None)

    def _put(self, pin: Pin) -> None:
        self._pins[pin.key] = pin
        self._pins.move_to_end(pin.key)

    def _shrink(self) -> None:
        while len(self._pins) > self._capacity:
            self.drop(next(iter(self._pins.values())))
