"""In whatever order puts, failures, refusals, crashes and time come, lanes keep their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, settings, stateful
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import func, select

from services.chassis.outbox.sender import SenderTuning
from services.chassis.outbox.statements import RowState
from services.chassis.store.port import Store
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox import scenario
from tests.contract.chassis_store.outbox.senders import (
    REFUSE,
    Receiver,
    Sender,
    count_answer,
    open_sender,
    quiet,
)
from tests.contract.chassis_store.schema import outbox
from tests.support.clock import START, ManualClock
from tests.support.profiles import scaled

T = TypeVar("T")

# More than the longest pause, so that every lane that is held up tries again.
_PATIENCE_S = 61.0
_OUTCOMES = {"deliver": None, "fail": OSError("unreachable"), "refuse": REFUSE}
_FRONTS = statement(
    select(outbox.c.lane, func.min(outbox.c.seq).label("seq"))
    .where(outbox.c.state == RowState.PENDING)
    .group_by(outbox.c.lane)
    .order_by(outbox.c.lane)
)


class Database:
    """One database for all examples of a test, and the loop on which they run."""

    def __init__(self, engine: Engine, tuning: SenderTuning) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self._stack = AsyncExitStack()
        opening = open_sender(engine, clock=self.clock, tuning=tuning)
        # Never starts: it puts rows.
        self.putter = self.do(self._stack.enter_async_context(opening))
        self.store: Store = self.putter.store

    def do(self, *coroutines: Awaitable[T]) -> T:
        """One after the other; the answer of the last."""

        async def awaited() -> T:
            *_, last = [await each for each in coroutines]
            return last

        return self.loop.run_until_complete(awaited())

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

    database: Database
    TUNING = SenderTuning(lanes=2, rows_per_turn=2)

    def __init__(self) -> None:
        super().__init__()
        self.database.do(self.database.putter.empty())
        self.sender = self.database.putter.beside()
        self.model = {lane: ModelLane() for lane in "abc"}
        self.database.do(self.sender.stop(), self.sender.run())

    def _check(self) -> None:
        for lane, model in self.model.items():
            assert self.sender.receiver.ids(lane) == model.attempts
        expected = sorted(answer for model in self.model.values() for answer in model.answers)
        assert self.database.do(self.sender.answers()) == expected

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
                self.sender.receiver.scripts[id_] = [_OUTCOMES[each] for each in script]
            self.model[lane].put(id_, script)
            rows.append(f"{lane}/{id_}")
        self.database.do(self.sender.put(*rows), self.sender.quiet())
        for model in self.model.values():
            model.run()
        self._check()

    @rule()
    def wait(self) -> None:
        for model in self.model.values():
            model.held_up = False
            model.run()
        self.database.do(self.sender.after(_PATIENCE_S))
        self._check()

    @rule()
    def restart(self) -> None:
        """Pauses survive: a new process does not flood a receiver that is down."""
        self.database.do(self.sender.stop(), self.sender.run())
        self._check()

    def teardown(self) -> None:
        while any(model.rows for model in self.model.values()):
            self.wait()
        self.database.do(self.sender.stop())


class TwoSenders(RuleBasedStateMachine):
    """Two processes, clocks that differ, and whatever may happen to them.

    Rows of a lane arrive for the first time in the order of their puts; every answer is settled
    once; a lane with work has one head. As long as the clocks run, no two deliveries of one lane
    are under way at once.
    """

    database: Database
    TUNING = replace(scenario.TUNING, lanes=2, poll_s=2.0)

    def __init__(self) -> None:
        super().__init__()
        self.database.do(self.database.putter.empty())
        self.receiver = Receiver()
        self.clocks = [ManualClock(START + timedelta(seconds=skew_s)) for skew_s in (0.0, 1.9)]
        self.senders = [self._sender(clock) for clock in self.clocks]
        self.frozen: set[int] = set()
        # By lane and in order: the ids put.
        self.put_in: dict[str, list[str]] = {lane: [] for lane in "abc"}
        for sender in self.senders:
            self._run(sender)

    def _sender(self, clock: ManualClock) -> Sender:
        sender = self.database.putter.beside(clock=clock, receiver=self.receiver)
        sender.settle = count_answer
        return sender

    def _run(self, sender: Sender) -> None:
        sender.view.away = False
        self.database.do(sender.run(), quiet(*self.senders))

    async def _pass(self, seconds: int) -> None:
        for _ in range(seconds):
            await quiet(*self.senders)
            self.database.clock.advance(1)
            for number, clock in enumerate(self.clocks):
                if number not in self.frozen:
                    clock.advance(1)
            await quiet(*self.senders)

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
            self.receiver.scripts[id_] = [_OUTCOMES[each] for each in script]
            rows.append(id_)
        if slow:
            self.receiver.gates[rows[0]] = asyncio.Event()

        putter = self.database.putter.beside(clock=self.clocks[0])
        put = putter.put(*(f"{lane}/{id_}" for id_ in rows))
        self.database.do(put, quiet(*self.senders))

    @rule(seconds=st.integers(1, 9))
    def wait(self, seconds: int) -> None:
        self.database.do(self._pass(seconds))

    @rule()
    def finish_slow_deliveries(self) -> None:
        for gate in self.receiver.gates.values():
            gate.set()
        self.database.do(quiet(*self.senders))

    @rule(which=st.integers(0, 1), end=st.sampled_from(["crash", "stop"]), back=st.booleans())
    def end(self, which: int, end: str, back: bool) -> None:
        """A sender ends, with or without a last word; its successor may come at once."""
        sender = self.senders[which]
        sender.view.away = end == "crash"
        self.database.do(sender.stop())
        if end == "stop":
            holders = {row.holder for row in self.database.do(self.database.putter.heads())}
            assert sender.outbox_sender._claims.holder not in holders
        if back:
            self._run(sender)

    @rule()
    def start(self) -> None:
        for sender in self.senders:
            if not sender.running:
                self._run(sender)

    @rule(which=st.integers(0, 1), seconds=st.sampled_from([2, 9]))
    def lose_the_store_meanwhile(self, which: int, seconds: int) -> None:
        for sender in self._at_work(which):
            sender.view.away = True
            self.database.do(self._pass(seconds))
            sender.view.away = False

    @rule(which=st.integers(0, 1), seconds=st.integers(5, 9))
    def be_frozen_meanwhile(self, which: int, seconds: int) -> None:
        """Its timers stand still, as those of a machine that is moved; deliveries may end."""
        for sender in self._at_work(which):
            frozen = self.senders.index(sender)
            most = self.receiver.most_in_a_lane
            self.frozen.add(frozen)
            self.database.do(self._pass(seconds))
            self.finish_slow_deliveries()
            self.frozen.discard(frozen)
            self.clocks[frozen].advance(seconds)
            self.database.do(quiet(*self.senders))
            self.receiver.most_in_a_lane = most

    def _at_work(self, which: int) -> list[Sender]:
        """One sender that waits for a receiver, if any does; which one depends on races."""
        busy = [sender for sender in self.senders if sender.running and sender.outbox_sender._lanes]
        return [busy[which % len(busy)]] if busy else []

    @rule(lane=st.sampled_from("abc"), which=st.integers(0, 5))
    def put_again(self, lane: str, which: int) -> None:
        """In any state, a dead one included: the lane has the row, and it is settled once."""
        putter = self.database.putter.beside(clock=self.clocks[0])
        for id_ in self.put_in[lane][which : which + 1]:
            self.database.do(putter.put(f"{lane}/{id_}"), quiet(*self.senders))

    @invariant()
    def one_at_a_time(self) -> None:
        assert self.receiver.most_in_a_lane <= 1

    @invariant()
    def in_order(self) -> None:
        for lane, ids in self.put_in.items():
            arrived = list(dict.fromkeys(self.receiver.ids(lane)))
            assert arrived == ids[: len(arrived)]

    @invariant()
    def a_lane_with_work_has_one_head(self) -> None:
        heads = self.database.do(self.database.putter.heads())
        fronts = self.database.do(self.database.store.fetch(_FRONTS))
        assert [(row.lane, row.seq) for row in heads] == [(row.lane, row.seq) for row in fronts]

    @invariant()
    def nothing_is_settled_twice(self) -> None:
        assert max(self._settled().values(), default=0) <= 1

    def _settled(self) -> dict[str, int]:
        settled = {id_: 0 for ids in self.put_in.values() for id_ in ids}
        for answer, count in self.database.do(self.database.putter.counts()).items():
            settled[answer.partition(":")[0]] += count
        return settled

    def teardown(self) -> None:
        try:
            for gate in self.receiver.gates.values():
                gate.set()
            for sender in self.senders:
                sender.view.away = False
                if not sender.running:
                    self._run(sender)
            for _ in range(40):
                self.database.do(self._pass(2))
                if all(self._settled().values()):
                    return
            raise AssertionError(f"not settled at the end: {self._settled()}")
        finally:
            for sender in self.senders:
                self.database.do(sender.stop())


def _run_examples(machine: type[Any], engine: Engine, share: int, steps: int) -> None:
    """Run a share of the examples that the profile asks for: each takes as long as many others."""
    machine.database = Database(engine, machine.TUNING)
    most = max(5, settings().max_examples // share)
    # Threads decide who claims first: an example does not repeat itself well enough to shrink.
    chosen = settings(max_examples=most, stateful_step_count=steps, phases=[Phase.generate])
    try:
        stateful.run_state_machine_as_test(machine, settings=chosen)
    finally:
        machine.database.close()


@scaled
@pytest.mark.slow
@pytest.mark.parametrize(
    "engine",
    ["sqlite", pytest.param("sqlite-shared", marks=pytest.mark.chaos), "postgresql"],
    indirect=True,
)
def test_one_sender_does_what_the_model_says(engine: Engine) -> None:
    _run_examples(OneSender, engine, share=6 if engine.name == "sqlite" else 12, steps=20)


@scaled
@pytest.mark.slow
def test_two_senders_share_whatever_happens(shared_engine: Engine) -> None:
    _run_examples(
        TwoSenders, shared_engine, share=4 if shared_engine.name == "sqlite" else 10, steps=25
    )
