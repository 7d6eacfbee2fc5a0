"""Watches of the routing state, with a manual clock: every change, also those that time brings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from services.chassis.caller import LOCAL_PRINCIPAL, Caller
from services.chassis.drain import Drain
from services.chassis.follow.notifier import LocalNotifier
from services.router.clients.credentials import digest_of
from services.router.core.breaker import BreakerState
from services.router.core.decision import SkipReason
from services.router.core.failures import Failure, FailureClass
from services.router.core.member_state import MemberState
from services.router.core.model import BreakerPolicy, HomeStrategy, Snapshot, Target
from services.router.core.pins import Pinned, Pins, Unpinned
from services.router.core.ports import WatchFrame
from services.router.core.quota_windows import QuotaWindow
from services.router.core.routing_change import MemberReset, Switched
from services.router.core.session import SessionKey
from services.router.core.watching import (
    Heartbeat,
    Reconnect,
    RoutingEvent,
    StateBegin,
    StateComplete,
)
from services.router.engine.changes import RoutingChanges
from services.router.engine.event_log import CAPACITY, EventLog
from services.router.engine.routing_state import RouteRequest, RoutingState
from services.router.engine.state_watches import StateWatches
from tests.support import background
from tests.support.clock import ManualClock
from tests.support.waiting import until
from tests.unit.router.builders import a_pin, at, member, target
from tests.unit.router.in_memory_router import Snapshots

POOL = target(
    member("a"),
    member("b"),
    home=HomeStrategy.FIRST_HEALTHY,
    breaker=BreakerPolicy(failure_threshold=1, cooldown_s=30.0),
)
A, B = POOL.members
# A model that is called directly, and that is a member of the pool too.
ALONE = replace(POOL, pool=replace(POOL.pool, id="a", members=POOL.pool.members[:1]), members=(A,))
LIMITED = Failure(FailureClass.RATE_LIMIT, 429, 20.0)
CALLER = Caller(LOCAL_PRINCIPAL, "/method")
ASKED = RouteRequest(POOL, SessionKey("default", "thread:t"), "run-1")


@dataclass
class Watched:
    """The routing state of one process, and its watches."""

    targets: tuple[Target, ...] = (POOL,)
    clock: ManualClock = field(default_factory=ManualClock)
    drain: Drain = field(default_factory=Drain)
    changes: RoutingChanges = field(default_factory=RoutingChanges)
    snapshots: Snapshots = field(init=False)
    pins: Pins = field(init=False)
    routing: RoutingState = field(init=False)
    watches: StateWatches = field(init=False)

    def __post_init__(self) -> None:
        self.pins = Pins(changes=self.changes)
        self.routing = RoutingState(self.pins, digest_of, self.changes)
        targets = {each.pool.id: each for each in self.targets}
        self.snapshots = Snapshots(Snapshot(1, "i", targets))
        notifier = LocalNotifier(self.clock)
        self.watches = StateWatches(
            self.snapshots, self.routing, notifier, self.clock, self.drain, "instance"
        )
        self.changes.watch = self.watches.changed

    def fail(self) -> None:
        """Open the circuit of the first member."""
        now = self.clock.now()
        admission = self.routing.admit(POOL, A, now, 60.0)
        self.routing.record_result(POOL, A, admission, FailureClass.SERVER_ERROR, now)

    def move(self) -> None:
        """Let the session choose its start and be answered."""
        chosen = self.routing.choose_start(ASKED, self.clock.now())
        assert chosen.start is not None
        self.routing.record_commit(ASKED, chosen, chosen.start, None, self.clock.now(), "")

    async def pass_time(self, seconds: float) -> None:
        """Once all that waits for time does so."""
        await settle()
        self.clock.advance(seconds)
        await settle()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@dataclass
class Told:
    """An open watch; ``events`` are read as they come unless it is slow."""

    frames: AsyncGenerator[WatchFrame, None]
    events: list[Any] = field(default_factory=list)

    async def read(self) -> None:
        async for frame in self.frames:
            assert frame.instance_id == "instance"
            self.events += [event.what for event in frame.events]

    def taken(self) -> list[Any]:
        events, self.events = self.events, []
        return events

    async def members(self, count: int) -> list[MemberState]:
        """Wait for that many states of members, and take what was told."""

        def told() -> list[MemberState]:
            return [each for each in self.events if isinstance(each, MemberState)]

        await until(lambda: len(told()) >= count)
        found = told()
        self.taken()
        return found


@asynccontextmanager
async def watching(*targets: Target, target_id: str = "") -> AsyncIterator[tuple[Watched, Told]]:
    """A watch that was told the state, in which there is nothing to tell."""
    watched = Watched(targets or (POOL,))
    async with aclosing(watched.watches.watch(CALLER, target_id)) as frames:
        told = Told(frames)
        async with background.running(watched.watches.run()), background.running(told.read()):
            await until(lambda: StateComplete() in told.events)
            assert told.taken() == [StateBegin(), StateComplete()]
            yield watched, told


def circuits(told: list[MemberState]) -> list[tuple[BreakerState, int]]:
    return [(each.breaker, each.generation) for each in told]


async def test_a_probe_without_a_result_is_told_to_have_opened_the_circuit_again() -> None:
    """With no call after it: when its lease has expired."""
    async with watching() as (watched, told):
        # given a circuit that has opened and is probed by a call that never ends
        watched.fail()
        before = await told.members(1)
        await watched.pass_time(30)
        before += await told.members(1)
        watched.routing.admit(POOL, A, watched.clock.now(), 65.0)
        before += await told.members(1)

        # when
        await watched.pass_time(64)
        leased = [each for each in told.taken() if each != Heartbeat()]
        await watched.pass_time(1)
        expired = await told.members(1)
        await watched.pass_time(30)
        due = await told.members(1)

    # then it is told open, half open, open again, and when the next probe is due
    assert circuits(before) == [
        (BreakerState.OPEN, 1),
        (BreakerState.OPEN, 1),
        (BreakerState.HALF_OPEN, 2),
    ]
    assert leased == []
    assert circuits(expired) == [(BreakerState.OPEN, 3)]
    assert circuits(due) == [(BreakerState.OPEN, 3)]


async def test_a_probe_that_was_answered_in_time_is_told_of_once() -> None:
    async with watching() as (watched, told):
        # given a probe
        watched.fail()
        await watched.pass_time(30)
        permit = watched.routing.admit(POOL, A, watched.clock.now(), 65.0)
        await told.members(3)

        # when it succeeds before its lease expires, and the other member is limited for longer
        watched.routing.record_result(POOL, A, permit, None, watched.clock.now())
        limited = Failure(FailureClass.RATE_LIMIT, 429, 100.0)
        watched.routing.record_failure(B, limited, watched.clock.now())
        closed, _ = await told.members(2)
        await watched.pass_time(100)

        # then
        assert (closed.member_id, closed.breaker) == ("a", BreakerState.CLOSED)
        assert [each.member_id for each in await told.members(1)] == ["b"]


async def test_the_end_of_a_quota_deadline_is_told_of_every_member_that_has_the_model() -> None:
    async with watching(POOL, ALONE) as (watched, told):
        # given
        watched.routing.record_failure(A, LIMITED, watched.clock.now())
        began = await told.members(2)

        # when
        await watched.pass_time(20)
        ended = await told.members(2)

    # then
    places = [("a", "a"), ("pool", "a")]
    assert sorted((e.target_id, e.member_id) for e in began) == places
    assert {e.quota_until for e in began} == {at(20)}
    assert sorted((e.target_id, e.member_id) for e in ended) == places
    assert {e.quota_until for e in ended} == {None}


def remaining(count: int) -> QuotaWindow:
    return QuotaWindow("requests", 5_000, count, at(3600), "x-ratelimit")


def counts(told: list[MemberState]) -> list[list[int | None]]:
    return [[window.remaining for window in each.windows] for each in told]


async def test_windows_that_change_with_each_answer_are_told_at_most_once_a_second() -> None:
    async with watching() as (watched, told):
        # given 1,000 answers, one a millisecond, each of which tells of a limit
        found: list[MemberState] = []
        for number in range(1_000):
            watched.routing.record_windows(A, [remaining(2_000 - number)], watched.clock.now())
            await settle()
            watched.clock.advance(0.001)
        found += await told.members(1)
        in_the_first_second = [each for each in told.taken() if each != Heartbeat()]

        # when the second is over
        await watched.pass_time(0.001)
        found += await told.members(1)
        # and the same is told again, for a while
        for _ in range(3):
            watched.routing.record_windows(A, [remaining(1_001)], watched.clock.now())
            await watched.pass_time(1)

    # then the first one is told at once, the last one at the end of the second, and nothing else
    assert counts(found) == [[2_000], [1_001]]
    assert in_the_first_second == []
    assert [each for each in told.taken() if each != Heartbeat()] == []


async def test_a_window_that_is_exhausted_is_told_without_delay() -> None:
    async with watching() as (watched, told):
        # given a limit that was just told of
        watched.routing.record_windows(A, [remaining(1)], watched.clock.now())
        await told.members(1)

        # when nothing remains of it
        watched.routing.record_windows(A, [remaining(0)], watched.clock.now())
        exhausted, *_ = await told.members(1)

    # then
    assert exhausted.quota_until == at(3600)
    assert counts([exhausted]) == [[0]]


async def test_nothing_is_told_of_what_the_registry_no_longer_has() -> None:
    async with watching(POOL, ALONE) as (watched, told):
        # given an open circuit
        watched.fail()
        await told.members(1)

        # when the pool is removed before its cool-down is over, and the model is limited then
        watched.snapshots.current = Snapshot(2, "i", {"a": ALONE})
        await watched.pass_time(30)
        watched.routing.record_failure(A, LIMITED, watched.clock.now())
        watched.routing.record_failure(B, LIMITED, watched.clock.now())
        limited = await told.members(1)

    # then
    assert [(each.target_id, each.member_id) for each in limited] == [("a", "a")]


async def test_moves_pins_and_orders_are_told_in_the_order_in_which_they_happen() -> None:
    async with watching() as (watched, told):
        # when a session moves from a failed member, and operators intervene
        watched.fail()
        watched.move()
        watched.routing.unpin(ASKED.key, POOL, watched.clock.now())
        watched.routing.shared.set_cordon(POOL, B, watched.clock.now(), cordoned=True)
        watched.routing.shared.reset(POOL, A, "ann", watched.clock.now())
        await settle()
        happened = told.taken()

    # then
    opened, switched, pinned, unpinned, cordoned, closed, reset = happened[:7]
    assert opened.breaker is BreakerState.OPEN
    assert switched == Switched("default", "thread:t", "pool", "a", "b", SkipReason.CIRCUIT_OPEN)
    assert isinstance(pinned, Pinned)
    assert unpinned == Unpinned(pinned.pin)
    assert (cordoned.member_id, cordoned.cordoned_at) == ("b", at(0))
    assert closed.breaker is BreakerState.CLOSED
    assert reset == MemberReset("ann", "pool", "a")


async def test_a_pin_that_expires_is_told_to_have_ended_unless_it_is_used() -> None:
    async with watching() as (watched, told):
        # given two pinned sessions, one of which goes on
        idle, used = a_pin("thread:idle", ttl_s=60.0), a_pin("thread:used", ttl_s=60.0)
        watched.pins.put(idle)
        watched.pins.put(used)
        await watched.pass_time(50)
        watched.pins.touch(used, watched.clock.now(), "")
        told.taken()

        # when
        await watched.pass_time(10)
        await until(lambda: Unpinned(idle) in told.events)
        await settle()

        # then
        assert [e for e in told.taken() if e != Heartbeat()] == [Unpinned(idle)]


async def test_silence_is_told_every_ten_seconds_and_the_drain_at_last() -> None:
    # given a watch that was told the state
    watched = Watched()
    async with aclosing(watched.watches.watch(CALLER, "")) as frames:
        await anext(frames)
        beat = asyncio.ensure_future(anext(frames))
        await settle()

        # when
        await watched.pass_time(9.9)
        before = beat.done()
        await watched.pass_time(0.1)
        silence = await beat
        watched.drain.start()
        last = await anext(frames)

        # then
        assert not before
        assert [e.what for e in silence.events] == [Heartbeat()]
        assert [e.what for e in last.events] == [Reconnect()]
        assert await anext(frames, None) is None


async def test_a_watcher_that_falls_behind_is_told_the_whole_state_anew() -> None:
    # given a watcher that has read the state and no more
    watched = Watched()
    async with aclosing(watched.watches.watch(CALLER, "")) as frames:
        first = await anext(frames)

        # when a session moves more often than is kept
        for number in range(CAPACITY + 1):
            watched.pins.put(a_pin(moved_at=at(number)))
        second = await anext(frames)

        # and once more when the watcher has read that
        watched.pins.put(a_pin(moved_at=at(-1)))
        third = await anext(frames)

    # then
    assert [e.what for e in first.events] == [StateBegin(), StateComplete()]
    assert [e.what for e in second.events] == [
        StateBegin(),
        Pinned(a_pin(moved_at=at(CAPACITY))),
        StateComplete(),
    ]
    assert [e.what for e in third.events] == [Pinned(a_pin(moved_at=at(-1)))]


def test_the_log_keeps_the_newest_events_and_says_when_one_is_missing() -> None:
    # given room for two, and three events
    log = EventLog(capacity=2)
    events = [RoutingEvent(at(number), Heartbeat()) for number in range(3)]
    for each in events:
        log.add(each)

    # when, then
    assert log.number == 3
    assert log.after(0, 10) is None
    assert log.after(1, 10) == events[1:]
    assert log.after(1, 1) == events[1:2]
    assert log.after(3, 10) == []
    log.clear()
    assert (log.after(2, 10), log.after(3, 10)) == (None, [])


async def test_a_large_state_comes_in_frames_of_64_and_without_the_pins_of_others() -> None:
    # given a hundred sessions of the tenant, one that has expired, and one of another tenant
    watched = Watched()
    for number in range(100):
        watched.pins.put(a_pin(f"thread:{number}"))
    watched.pins.put(a_pin("thread:old", used_at=at(-3600)))
    watched.pins.put(a_pin("thread:other", tenant="other"))

    # when
    sizes: list[int] = []
    async with aclosing(watched.watches.watch(CALLER, "pool")) as frames:
        async for frame in frames:
            sizes.append(len(frame.events))
            if frame.events[-1].what == StateComplete():
                break

    # then
    assert sizes == [64, 38]


async def test_while_nobody_watches_nothing_is_kept() -> None:
    # given a watch that has ended, and changes after it
    watched = Watched()
    async with aclosing(watched.watches.watch(CALLER, "")) as frames:
        await anext(frames)
    watched.fail()
    watched.move()

    # when somebody watches
    async with aclosing(watched.watches.watch(CALLER, "")) as frames:
        frame = await anext(frames)

    # then it is told the state, and no change
    kinds: list[Callable[..., object]] = [type(e.what) for e in frame.events]
    assert kinds == [StateBegin, MemberState, Pinned, StateComplete]
