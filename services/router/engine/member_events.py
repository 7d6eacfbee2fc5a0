"""Tells the state of a member when it changes, by what happens or by the passing of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from heapq import heappop, heappush
from typing import TypeAlias

from services.chassis.clock import Clock
from services.chassis.slices import give_way, in_slices
from services.router.core.member_state import MemberState, member_state, turns_at
from services.router.core.model import Member, Snapshot, Target
from services.router.core.ports import Snapshots
from services.router.core.shared_entry import Key
from services.router.engine.routing_state import RoutingState

# Windows change with nearly each answer; they are told no sooner after they were told last.
WINDOWS_PAUSE_S = 1.0

# Target and member.
_Place: TypeAlias = tuple[str, str]
_Places: TypeAlias = Mapping[Key, Iterable[_Place]]


class MemberEvents:
    """Synchronous but for ``advance``, which the loop of the watches calls.

    Args:
        tell: Called with the state of a member that has changed.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        routing: RoutingState,
        clock: Clock,
        tell: Callable[[MemberState], None],
    ) -> None:
        self._snapshots = snapshots
        self._routing = routing
        self._clock = clock
        self._tell = tell
        # When time alone will change a member, the soonest first, and the same as a set.
        self._turns: list[tuple[datetime, _Place]] = []
        self._awaited: set[tuple[datetime, _Place]] = set()
        self._models: set[Key] = set()
        # Models whose windows have changed, and when they may be told.
        self._windows: set[Key] = set()
        self._windows_due_s = 0.0
        self._indexed: tuple[Snapshot | None, _Places] = None, {}

    def changed(self, target_id: str, member_id: str) -> None:
        """Tell the state of a member of the registry, and await its next turn."""
        found = self._find((target_id, member_id))
        if found is not None:
            record, now = self._routing.records().record(*found), self._clock.now()
            self._tell(member_state(*found, record, now))
            self.await_turns([(target_id, member_id)])

    def model_changed(self, quota_key: Key) -> None:
        """Let ``advance`` tell the state of all members with the model."""
        self._models.add(quota_key)

    def windows_changed(self, quota_key: Key) -> None:
        """Let ``advance`` tell the same, at most every ``WINDOWS_PAUSE_S``."""
        self._windows.add(quota_key)

    def await_turns(self, places: Iterable[_Place]) -> None:
        """Tell the state of these members also when time changes it."""
        now = self._clock.now()
        for place in places:
            for at in self._turns_of(place, now):
                if now < at and (at, place) not in self._awaited:
                    self._awaited.add((at, place))
                    heappush(self._turns, (at, place))

    @property
    def pause_s(self) -> float | None:
        """Seconds until ``advance`` has something to tell; None for never."""
        if self._models:
            return 0.0
        pauses_s = []
        if self._windows:
            pauses_s.append(self._windows_due_s - self._clock.monotonic_s())
        if self._turns:
            pauses_s.append((self._turns[0][0] - self._clock.now()).total_seconds())
        return min(pauses_s, default=None)

    async def advance(self) -> None:
        """Tell what has become due."""
        while self._turns and self._turns[0][0] <= self._clock.now():
            turn = at, place = heappop(self._turns)
            self._awaited.discard(turn)
            if at in self._turns_of(place, at):
                self.changed(*place)
        now_s = self._clock.monotonic_s()
        if self._windows and self._windows_due_s <= now_s:
            self._windows_due_s = now_s + WINDOWS_PAUSE_S
            self._models |= self._windows
            self._windows = set()
        if self._models:
            places = await self._places()
            changed, self._models = self._models, set()
            for key in changed:
                for place in places.get(key, ()):
                    self.changed(*place)

    def clear(self) -> None:
        """Tell nothing until ``await_turns`` or a change."""
        self._turns, self._awaited, self._models, self._windows = [], set(), set(), set()
        self._indexed = None, {}

    def _turns_of(self, place: _Place, now: datetime) -> list[datetime]:
        found = self._find(place)
        if found is None:
            return []
        return turns_at(found[0], self._routing.records().record(*found), now)

    def _find(self, place: _Place) -> tuple[Target, Member] | None:
        snapshot, (target_id, member_id) = self._snapshots.current, place
        target = None if snapshot is None else snapshot.targets.get(target_id)
        if target is None:
            return None
        members = (member for member in target.members if member.id == member_id)
        return next(((target, member) for member in members), None)

    async def _places(self) -> _Places:
        """Where each model is a member."""
        snapshot = self._snapshots.current
        if self._indexed[0] is not snapshot and snapshot is not None:
            self._indexed = snapshot, await in_slices(lambda: _places_in(snapshot))
        return self._indexed[1]


def _places_in(snapshot: Snapshot) -> _Places:
    places: dict[Key, list[_Place]] = defaultdict(list)
    for target in snapshot.targets.values():
        give_way()
        for member in target.members:
            places[member.quota_key].append((target.pool.id, member.id))
    return dict(places)
