"""In whatever order puts, failures, refusals, crashes and time come, lanes keep their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from services.chassis.notifier import LocalNotifier
from services.chassis.outbox import LeaseTuning, RowState, SenderTuning, dead_rows, redrive
from services.chassis.store.port import Store
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.desk import (
    HEADS,
    REFUSE,
    Desk,
    Receiver,
    count_settle,
    counts,
    quiet,
)
from tests.contract.chassis_store.schema import account, outbox
from tests.support.clock import START, ManualClock

T = TypeVar("T")

# More than the longest pause, so that every lane that is held up tries again.
_PATIENCE_S = 61.0
_OUTCOMES = {"deliver": None, "fail": OSError("unreachable"), "refuse": REFUSE}
_EMPTY = [statement(outbox.delete()), statement(account.delete())]
_HEADS = statement(
    select(outbox.c.lane, outbox.c.seq).where(outbox.c.due_at.is_not(None)).order_by(outbox.c.lane)
)
_FRONTS = statement(
    select(outbox.c.lane, func.min(outbox.c.seq).label("seq"))
    .where(outbox.c.state == RowState.PENDING)
    .group_by(outbox.c.lane)
    .order_by(outbox.c.lane)
)


class World:
    """One database for all examples of a test, and the loop on which they run."""

    def __init__(self, engine: Engine) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.notifier = LocalNotifier(self.clock)
        self._stack = AsyncExitStack()
        opening = engine.open(notifier=self.notifier, clock=self.clock)
        self.store: Store = self.do(self._stack.enter_async_context(opening))

    def do(self, coroutine: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await coroutine

        return self.loop.run_until_complete(awaited())

    def empty(self) -> None:
        self.do(self.store.write(lambda tx: [tx.run(each) for each in _EMPTY]))

    def close(self) -> None:
        self.do(self._stack.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


class ModelLane:
    """What one lane should do: rows in order, each with the outcomes still to come."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, list[str]]] = []
        self.seen: set[str] = set()
        self.held_up = False
        self.attempts: list[str] = []
        self.answers: list[str] = []

    def put(self, id_: str, script: list[str]) -> None:
        if id_ not in self.seen:
            self.seen.add(id_)
            self.rows.append((id_, list(script)))

    def run(self) -> None:
        """Deliver until the lane is empty or its head has failed."""
        while self.rows and not self.held_up:
            id_, script = self.rows[0]
            self.attempts.append(id_)
            outcome = script.pop(0) if script else "deliver"
            if outcome == "fail":
                self.held_up = True
                return
            word = "UNKNOWN_RUN" if outcome == "refuse" else f"answer to {id_}"
            self.answers.append(f"{id_}: {word}")
            self.rows.pop(0)


class OneSender(RuleBasedStateMachine):
    """Three lanes of one outbox against a model of each."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.empty()
        tuning = SenderTuning(lanes=2, rows_per_turn=2)
        self.at = Desk(self.world.store, self.world.notifier, self.world.clock, tuning)
        self.model = {lane: ModelLane() for lane in "abc"}
        self.world.do(self._restart())

    async def _restart(self) -> None:
        await self.at.stop()
        self.at.start()
        await self.at.quiet()

    async def _put_and_wait(self, rows: list[str]) -> None:
        await self.at.put(*rows)
        await self.at.quiet()

    def _check(self) -> None:
        for lane, model in self.model.items():
            assert self.at.receiver.ids(lane) == model.attempts
        expected = sorted(answer for model in self.model.values() for answer in model.answers)
        assert self.world.do(self.at.answers()) == expected

    @rule(
        lanes=st.lists(st.sampled_from("abc"), min_size=1, max_size=5),
        scripts=st.lists(
            st.lists(st.sampled_from(["fail", "deliver", "refuse"]), max_size=3),
            min_size=5,
            max_size=5,
        ),
        number=st.integers(0, 30),
    )
    def put(self, lanes: list[str], scripts: list[list[str]], number: int) -> None:
        """One transaction with rows of several lanes; some ids were put before."""
        rows = []
        for offset, (lane, script) in enumerate(zip(lanes, scripts, strict=False)):
            id_ = f"{lane}{number + offset}"
            if id_ not in self.model[lane].seen:
                self.at.receiver.scripts[id_] = [_OUTCOMES[each] for each in script]
            self.model[lane].put(id_, script)
            rows.append(f"{lane}/{id_}")
        self.world.do(self._put_and_wait(rows))
        for model in self.model.values():
            model.run()
        self._check()

    @rule()
    def wait(self) -> None:
        for model in self.model.values():
            model.held_up = False
            model.run()
        self.world.do(self.at.after(_PATIENCE_S))
        self._check()

    @rule()
    def restart(self) -> None:
        """Pauses survive: a new process does not storm a receiver that is down."""
        self.world.do(self._restart())
        self._check()

    def teardown(self) -> None:
        while any(model.rows for model in self.model.values()):
            self.wait()
        self.world.do(self.at.stop())


class TwoSenders(RuleBasedStateMachine):
    """Two processes, clocks that differ, and whatever may happen to them.

    Rows of a lane arrive for the first time in the order of their puts; every answer is settled
    once; a lane with work has one head. As long as the clocks run, no two deliveries of one lane
    are under way at once.
    """

    world: World
    _TUNING = SenderTuning(
        lanes=2,
        rows_per_turn=2,
        longest_pause_s=2.0,
        poll_s=2.0,
        lease=LeaseTuning(lease_s=6.0, skew_s=2.0, jitter_s=0.5),
    )

    def __init__(self) -> None:
        super().__init__()
        self.world.empty()
        self.receiver = Receiver()
        self.clocks = [ManualClock(START + timedelta(seconds=skew_s)) for skew_s in (0.0, 1.9)]
        self.desks = [self._desk(clock) for clock in self.clocks]
        self.frozen: set[int] = set()
        # By lane and in order: the ids put, and how often each must have been settled at the end.
        self.put_in: dict[str, list[str]] = {lane: [] for lane in "abc"}
        self.settles: dict[str, int] = {}
        for desk in self.desks:
            self._run(desk)

    def _desk(self, clock: ManualClock) -> Desk:
        desk = Desk(self.world.store, self.world.notifier, clock, self._TUNING, self.receiver)
        desk.settle = count_settle  # type: ignore[method-assign]  # counts
        return desk

    def _run(self, desk: Desk) -> None:
        async def start() -> None:
            desk.start()
            await quiet(*self.desks)

        desk.view.away = False
        self.world.do(start())

    async def _pass(self, seconds: int) -> None:
        for _ in range(seconds):
            await quiet(*self.desks)
            self.world.clock.advance(1)
            for number, clock in enumerate(self.clocks):
                if number not in self.frozen:
                    clock.advance(1)
            await quiet(*self.desks)

    @rule(
        lane=st.sampled_from("abc"),
        scripts=st.lists(
            st.lists(st.sampled_from(["fail", "refuse"]), max_size=2), min_size=1, max_size=4
        ),
        slow=st.sampled_from([True, True, False]),
    )
    def put(self, lane: str, scripts: list[list[str]], slow: bool) -> None:
        rows = []
        for script in scripts:
            id_ = f"{lane}{len(self.put_in[lane])}"
            self.put_in[lane].append(id_)
            self.settles[id_] = 1
            self.receiver.scripts[id_] = [_OUTCOMES[each] for each in script]
            rows.append(id_)
        if slow:
            self.receiver.gates[rows[0]] = asyncio.Event()

        async def put() -> None:
            putter = Desk(self.world.store, self.world.notifier, self.clocks[0], self._TUNING)
            await putter.put(*(f"{lane}/{id_}" for id_ in rows))
            await quiet(*self.desks)

        self.world.do(put())

    @rule(seconds=st.integers(1, 9))
    def wait(self, seconds: int) -> None:
        self.world.do(self._pass(seconds))

    @rule()
    def finish_slow_deliveries(self) -> None:
        for gate in self.receiver.gates.values():
            gate.set()
        self.world.do(quiet(*self.desks))

    @rule(which=st.integers(0, 1), end=st.sampled_from(["crash", "stop"]), back=st.booleans())
    def end(self, which: int, end: str, back: bool) -> None:
        """A sender ends, with or without a last word; its successor may come at once."""
        desk = self.desks[which]
        desk.view.away = end == "crash"
        self.world.do(desk.stop())
        if end == "stop":
            holders = {row.holder for row in self.world.do(self.world.store.fetch(HEADS))}
            assert desk.sender._claims.holder not in holders
        if back:
            self._run(desk)

    @rule()
    def start(self) -> None:
        for desk in self.desks:
            if not desk.running:
                self._run(desk)

    @rule(which=st.integers(0, 1), seconds=st.sampled_from([2, 9]))
    def lose_the_store_meanwhile(self, which: int, seconds: int) -> None:
        for desk in self._at_work(which):
            desk.view.away = True
            self.world.do(self._pass(seconds))
            desk.view.away = False

    @rule(which=st.integers(0, 1), seconds=st.integers(5, 9))
    def be_frozen_meanwhile(self, which: int, seconds: int) -> None:
        """Its timers stand still, as those of a machine that is moved; deliveries may end."""
        for desk in self._at_work(which):
            frozen = self.desks.index(desk)
            most = self.receiver.most_in_a_lane
            self.frozen.add(frozen)
            self.world.do(self._pass(seconds))
            self.finish_slow_deliveries()
            self.frozen.discard(frozen)
            self.clocks[frozen].advance(seconds)
            self.world.do(quiet(*self.desks))
            self.receiver.most_in_a_lane = most

    def _at_work(self, which: int) -> list[Desk]:
        """One sender that waits for a receiver, if any does; which one depends on races."""
        busy = [desk for desk in self.desks if desk.running and desk.sender._lanes]
        return [busy[which % len(busy)]] if busy else []

    @rule(which=st.integers(0, 5))
    def redrive(self, which: int) -> None:
        store, now = self.world.store, self.clocks[0].now()
        dead = self.world.do(store.read(lambda tx: dead_rows(tx, outbox, limit=6)))
        if which < len(dead):
            row = dead[which].row
            moved = self.world.do(
                store.write(lambda tx: redrive(tx, outbox, lane=row.lane, id=row.id, now=now))
            )
            assert moved
            self.settles[row.id] += 1
            self.world.do(quiet(*self.desks))

    @invariant()
    def one_at_a_time(self) -> None:
        assert self.receiver.most_in_a_lane <= 1

    @invariant()
    def in_order(self) -> None:
        for lane, ids in self.put_in.items():
            arrived = self.receiver.first_arrivals(lane)
            assert arrived == ids[: len(arrived)]

    @invariant()
    def a_lane_with_work_has_one_head(self) -> None:
        fronts = [tuple(row) for row in self.world.do(self.world.store.fetch(_FRONTS))]
        assert [tuple(row) for row in self.world.do(self.world.store.fetch(_HEADS))] == fronts

    @invariant()
    def nothing_is_settled_twice(self) -> None:
        for id_, settled in self._settled().items():
            assert settled <= self.settles[id_]

    def _settled(self) -> dict[str, int]:
        settled = dict.fromkeys(self.settles, 0)
        for answer, count in self.world.do(counts(self.world.store)).items():
            settled[answer.partition(":")[0]] += count
        return settled

    def teardown(self) -> None:
        try:
            for gate in self.receiver.gates.values():
                gate.set()
            for desk in self.desks:
                desk.view.away = False
                if not desk.running:
                    self._run(desk)
            for _ in range(40):
                self.world.do(self._pass(2))
                if self._settled() == self.settles:
                    return
            raise AssertionError(f"{self._settled()} instead of {self.settles}")
        finally:
            for desk in self.desks:
                self.world.do(desk.stop())


def _check(machine: type[Any], engine: Engine, share: int, steps: int) -> None:
    """Run a share of the examples that the profile asks for: each takes as long as many others."""
    machine.world = World(engine)
    most = max(5, settings().max_examples // share)
    # Threads decide who claims first: an example does not repeat itself well enough to shrink.
    chosen = settings(max_examples=most, stateful_step_count=steps, phases=[Phase.generate])
    try:
        run_state_machine_as_test(machine, settings=chosen)
    finally:
        machine.world.close()


def test_one_sender_does_what_the_model_says(engine: Engine) -> None:
    _check(OneSender, engine, share=3 if engine.name == "sqlite" else 6, steps=20)


def test_two_senders_share_whatever_happens(shared_engine: Engine) -> None:
    _check(TwoSenders, shared_engine, share=2 if shared_engine.name == "sqlite" else 6, steps=25)
