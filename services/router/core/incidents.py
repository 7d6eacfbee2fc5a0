"""Incidents: the consecutive moves of a session, from the first failure to the next success."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TypeAlias

CAPACITY = 100_000

# Tenant, pool, its revision, session.
IncidentKey: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Incident:
    """The moves of one session so far.

    Attributes:
        switches: How many were counted.
        member_id: Where the session is now: where the last move led, or a later call started.
    """

    switches: int
    member_id: str


def after_move(before: Incident | None, to: str, pinned_to: str) -> Incident:
    """The incident after a move; one to where the session already is counts nothing.

    Calls of one session that fail on the same member therefore count one move together.

    Args:
        pinned_to: The member that the session is pinned to; empty for none.
    """
    switches = 0 if before is None else before.switches
    place = pinned_to if before is None else before.member_id
    return Incident(switches if to == place else switches + 1, to)


def may_move(before: Incident | None, to: str, pinned_to: str, max_switches: int | None) -> bool:
    """Whether the budget of the pool allows the move; None is unbounded."""
    return max_switches is None or after_move(before, to, pinned_to).switches <= max_switches


def switches_left(before: Incident | None, max_switches: int | None) -> int | None:
    """How many moves the budget of the pool leaves the session; None is unbounded."""
    if max_switches is None:
        return None
    return max(0, max_switches - (0 if before is None else before.switches))


class Incidents:
    """The incidents of one process; beyond ``capacity`` the one that changed longest ago is
    forgotten.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._incidents: OrderedDict[IncidentKey, Incident] = OrderedDict()

    def find(self, key: IncidentKey) -> Incident | None:
        return self._incidents.get(key)

    def move(self, key: IncidentKey, to: str, pinned_to: str) -> None:
        """Record that the session moves."""
        self._put(key, after_move(self._incidents.get(key), to, pinned_to))

    def start(self, key: IncidentKey, member_id: str) -> None:
        """Record where a call starts; it begins no incident."""
        found = self._incidents.get(key)
        if found is not None:
            self._put(key, replace(found, member_id=member_id))

    def end(self, key: IncidentKey) -> None:
        """Forget the moves of a session that was answered."""
        self._incidents.pop(key, None)

    def _put(self, key: IncidentKey, incident: Incident) -> None:
        self._incidents[key] = incident
        self._incidents.move_to_end(key)
        if len(self._incidents) > self._capacity:
            self._incidents.popitem(last=False)
