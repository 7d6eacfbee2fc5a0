"""Watches of the routing state: the whole state first, then every change.

A watch keeps its place in the log of events, and no queue. One that is too slow for the log is told
the whole state anew.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime

from services.chassis.caller import Caller
from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.follow.feed import Draining, Idle, Items, Page, follow
from services.chassis.follow.notifier import Notifier
from services.chassis.slices import give_way, in_slices
from services.router.core.limits import MAX_FRAME_ITEMS
from services.router.core.member_state import MemberState
from services.router.core.model import Target
from services.router.core.pins import Pin, Pinned, is_live
from services.router.core.ports import Snapshots, WatchFrame
from services.router.core.routing_change import (
    MemberChanged,
    ModelChanged,
    RoutingChange,
    WindowsChanged,
)
from services.router.core.watching import (
    Happening,
    Heartbeat,
    Reconnect,
    RoutingEvent,
    StateBegin,
    StateComplete,
    Watcher,
    seen_by,
)
from services.router.engine.event_log import EventLog
from services.router.engine.inference import current_snapshot, find_target
from services.router.engine.member_events import MemberEvents
from services.router.engine.routing_state import RoutingState

HEARTBEAT_S = 10.0
# How often pins are looked through for those that have expired.
SWEEP_S = 10.0
# Notified within the process: of every event, and when the loop has to look at the clock.
_EVENTS = "routing_events"
_TURNS = "routing_turns"
# Before the first event: the whole state comes first.
_NOWHERE = -1
_PAGE = 1_000


class StateWatches:
    """Implements ``ports.StateWatches``; one per process.

    Args:
        instance_id: Names the process.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        routing: RoutingState,
        notifier: Notifier,
        clock: Clock,
        drain: Drain,
        instance_id: str,
    ) -> None:
        self._snapshots = snapshots
        self._routing = routing
        self._notifier = notifier
        self._clock = clock
        self._drain = drain
        self._instance_id = instance_id
        self._log = EventLog()
        self._members = MemberEvents(snapshots, routing, clock, self._add)
        self._watchers = 0

    def changed(self, change: RoutingChange) -> None:
        """Report a change of the routing state, which has taken effect."""
        if not self._watchers:
            return
        match change:
            case MemberChanged(target_id, member_id):
                self._members.changed(target_id, member_id)
            case ModelChanged(quota_key):
                self._members.model_changed(quota_key)
            case WindowsChanged(quota_key):
                self._members.windows_changed(quota_key)
            case _:
                self._add(change)
        self._notifier.notify(_TURNS)

    async def run(self) -> None:
        """Tell what changes by the passing of time, until cancelled."""
        with self._notifier.signal(_TURNS) as signal:
            sweep_due_s = self._clock.monotonic_s() + SWEEP_S
            while True:
                pauses_s = sweep_due_s - self._clock.monotonic_s(), self._members.pause_s
                await signal.wait(min(pause_s for pause_s in pauses_s if pause_s is not None))
                await self._members.advance()
                if self._clock.monotonic_s() >= sweep_due_s:
                    sweep_due_s = self._clock.monotonic_s() + SWEEP_S
                    if self._watchers:
                        await self._forget_expired_pins()

    async def watch(self, caller: Caller, target_id: str) -> AsyncGenerator[WatchFrame, None]:
        snapshot = current_snapshot(self._snapshots)
        if target_id:
            await find_target(snapshot, target_id)
        watcher = Watcher(caller.tenant, target_id)

        async def read(cursor: int) -> Page[RoutingEvent]:
            events = self._log.after(cursor, _PAGE) if cursor != _NOWHERE else None
            if events is None:
                return await self._whole_state(watcher)
            seen = [told for each in events if (told := seen_by(watcher, each)) is not None]
            return Page(seen, cursor + len(events), more=len(events) == _PAGE)

        with self._watching(), self._notifier.signal(_EVENTS) as signal:
            feed = follow(
                read,
                signal,
                after=_NOWHERE,
                drain=self._drain,
                clock=self._clock,
                heartbeat_s=HEARTBEAT_S,
            )
            async with aclosing(feed):
                async for each in feed:
                    for events in self._frames(each):
                        yield WatchFrame(self._instance_id, events)

    def _frames(
        self, each: Items[RoutingEvent] | Idle | Draining
    ) -> Iterator[Sequence[RoutingEvent]]:
        now = self._clock.now()
        match each:
            case Items(items):
                for start in range(0, len(items), MAX_FRAME_ITEMS):
                    yield items[start : start + MAX_FRAME_ITEMS]
            case Idle():
                yield [RoutingEvent(now, Heartbeat())]
            case Draining():
                yield [RoutingEvent(now, Reconnect())]

    async def _whole_state(self, watcher: Watcher) -> Page[RoutingEvent]:
        targets = current_snapshot(self._snapshots).targets
        if watcher.target_id:
            found = targets.get(watcher.target_id)
            targets = {} if found is None else {watcher.target_id: found}
        records, now = self._routing.records().copied(), self._clock.now()
        number = self._log.number

        def told() -> tuple[list[MemberState], list[Pinned]]:
            return records.members(targets.values(), now), list(
                _pins(records.pins, watcher.tenant, targets, now)
            )

        members, pins = await in_slices(told)
        self._members.await_turns((each.target_id, each.member_id) for each in members)
        self._notifier.notify(_TURNS)
        whole: list[Happening] = [StateBegin(), *members, *pins, StateComplete()]
        return Page([RoutingEvent(now, each) for each in whole], number)

    async def _forget_expired_pins(self) -> None:
        """Their end is told, although nobody has looked for them."""
        pins, now = list(self._routing.records().pins), self._clock.now()
        self._routing.forget(await in_slices(lambda: _expired(pins, now)))

    def _add(self, what: Happening) -> None:
        self._log.add(RoutingEvent(self._clock.now(), what))
        self._notifier.notify(_EVENTS)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """While nobody watches nothing is kept."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._log.clear()
                self._members.clear()


def _expired(pins: Iterable[Pin], now: datetime) -> list[Pin]:
    def expired(pin: Pin) -> bool:
        give_way()
        return pin.expires_at <= now

    return list(filter(expired, pins))


def _pins(
    pins: Collection[Pin], tenant: str, targets: Mapping[str, Target], now: datetime
) -> Iterator[Pinned]:
    """Those of the tenant that have not ended; gives way."""
    for pin in pins:
        give_way()
        target = targets.get(pin.pool_id)
        if pin.tenant == tenant and target is not None and is_live(pin, target, now):
            yield Pinned(pin)
