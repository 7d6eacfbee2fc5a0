"""Several senders, one table: each lane is one sender's until its lease ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import bindparam

from services.chassis import failpoints
from services.chassis.notifier import LocalNotifier
from services.chassis.outbox import RefusedError, RowState, SenderTuning, redrive
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.desk import (
    HEADS,
    REFUSE,
    STATES,
    Desk,
    Receiver,
    SkewedClock,
    quiet,
    states,
)
from tests.contract.chassis_store.schema import outbox
from tests.support.clock import START, ManualClock

_TAKE_OVER = statement(
    outbox.update()
    .where(outbox.c.lane == bindparam("of_lane"), outbox.c.due_at.is_not(None))
    .values(holder="another")
)


class Pair:
    """Two senders on one database, as two processes would be, with one receiver."""

    def __init__(self, first: Desk, second: Desk, clock: ManualClock) -> None:
        self.first = first
        self.second = second
        self.receiver = first.receiver
        self.clock = clock

    async def quiet(self) -> None:
        await quiet(self.first, self.second)

    async def after(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass in steps, so that whoever waits for an instant sees it."""
        passed_s = 0.0
        while passed_s < seconds:
            self.clock.advance(min(step_s, seconds - passed_s))
            passed_s += step_s
            await self.quiet()

    async def crash(self, desk: Desk) -> None:
        """End a sender without a last word."""
        desk.view.away = True
        await desk.stop()
        await self.quiet()


@asynccontextmanager
async def pair(
    engine: Engine, *, tuning: SenderTuning | None = None, skew_s: float = 0.0
) -> AsyncIterator[Pair]:
    clock = ManualClock()
    notifier = LocalNotifier(clock)
    receiver = Receiver()
    async with engine.open(notifier=notifier, clock=clock) as store:
        first = Desk(store, notifier, clock, tuning or SenderTuning(), receiver)
        ahead = SkewedClock(clock, skew_s)
        second = Desk(store, notifier, ahead, tuning or SenderTuning(), receiver)
        try:
            yield Pair(first, second, clock)
        finally:
            await first.stop()
            await second.stop()


async def test_two_senders_share_the_lanes(shared_engine: Engine) -> None:
    async with pair(shared_engine, tuning=SenderTuning(lanes=2)) as at:
        # given deliveries that take long, and two places each
        at.receiver.gates = {name: asyncio.Event() for name in "abcde"}
        await at.first.put(*(f"{name}/{name}" for name in "abcde"))
        at.first.start()
        at.second.start()
        await at.quiet()

        # then four lanes are served, two by each
        assert sorted(at.receiver.ids()) == ["a", "b", "c", "d"]
        holders = [row.holder for row in await at.first.store.fetch(HEADS)]
        assert [holders.count(each) for each in {*holders}] != [4, 1]
        assert sorted(map(holders.count, {*holders})) == [1, 2, 2]

        # and each row arrives once
        for gate in at.receiver.gates.values():
            gate.set()
        await at.quiet()
        assert sorted(at.receiver.ids()) == ["a", "b", "c", "d", "e"]


async def test_many_rows_arrive_once_each_and_in_order(shared_engine: Engine) -> None:
    async with pair(shared_engine, tuning=SenderTuning(lanes=3, rows_per_turn=4)) as at:
        at.first.start()
        at.second.start()
        for number in range(20):
            await at.first.put(*(f"{lane}/{lane}{number:02}" for lane in "abcdef"))
        await at.quiet()

        for lane in "abcdef":
            assert at.receiver.ids(lane) == [f"{lane}{number:02}" for number in range(20)]
        assert at.receiver.most_in_a_lane == 1
        assert len(await at.first.answers()) == 120


async def test_a_row_put_while_the_one_before_it_ends_is_not_forgotten(
    shared_engine: Engine,
) -> None:
    """The end of a row looks for the next one, a put for the one before: neither may miss it."""
    async with pair(shared_engine) as at:
        at.first.start()
        at.second.start()

        async def puts(part: int) -> None:
            for number in range(25):
                await at.first.put(f"lane/{part}-{number}")

        await asyncio.gather(*(puts(part) for part in range(4)))
        await at.quiet()

        assert at.clock.now() == START
        arrived = at.receiver.ids("lane")
        assert len(arrived) == len(set(arrived)) == 100
        for part in range(4):
            own = [id_ for id_ in arrived if id_.startswith(f"{part}-")]
            assert own == [f"{part}-{number}" for number in range(25)]


async def test_the_lane_of_a_dead_sender_is_taken_over_when_its_lease_has_ended(
    shared_engine: Engine,
) -> None:
    async with pair(shared_engine) as at:
        # given a sender that dies while its receiver works
        at.receiver.gates["a"] = asyncio.Event()
        await at.first.put("lane/a", "lane/b")
        at.first.start()
        await at.quiet()
        await at.crash(at.first)
        at.receiver.gates.clear()
        at.second.start()

        # when its lease of thirty seconds and the longest random wait have passed
        await at.after(29.9)
        assert at.receiver.ids() == ["a"]
        await at.after(1.1)

        # then
        assert at.receiver.ids() == ["a", "a", "b"]
        assert await at.second.answers() == ["a: answer to a", "b: answer to b"]


async def test_a_lease_is_kept_as_long_as_a_delivery_takes(shared_engine: Engine) -> None:
    async with pair(shared_engine) as at:
        at.receiver.gates["a"] = asyncio.Event()
        await at.first.put("lane/a")
        at.first.start()
        at.second.start()
        await at.after(100)
        assert at.receiver.ids() == ["a"]

        at.receiver.gates["a"].set()
        await at.quiet()
        assert await at.first.answers() == ["a: answer to a"]


async def test_a_sender_that_cannot_renew_lets_go_before_another_may_begin(
    shared_engine: Engine,
) -> None:
    # given another one whose clock is almost five seconds ahead
    async with pair(shared_engine, skew_s=4.9) as at:
        at.receiver.gates["a"] = asyncio.Event()
        await at.first.put("lane/a")
        at.first.start()
        await at.quiet()
        at.second.start()

        # when the store is away from the first alone
        at.first.view.away = True
        await at.after(19)
        assert (at.receiver.ids(), at.receiver.under_way) == (["a"], 1)
        await at.after(6)
        assert (at.receiver.ids(), at.receiver.under_way) == (["a"], 0)
        await at.after(2)

        # then they were never at it together
        assert at.receiver.ids() == ["a", "a"]
        assert at.receiver.most_in_a_lane == 1


async def test_a_stop_gives_the_lanes_back(shared_engine: Engine) -> None:
    async with pair(shared_engine) as at:
        at.receiver.gates["a"] = asyncio.Event()
        await at.first.put("lane/a", "lane/b")
        at.first.start()
        await at.quiet()
        at.second.start()
        await at.quiet()
        assert at.receiver.ids() == ["a"]

        # when
        at.receiver.gates.clear()
        await at.first.stop()
        await at.quiet()

        # then no lease had to end
        assert at.clock.now() == START
        assert at.receiver.ids() == ["a", "a", "b"]


async def test_who_lost_a_lane_changes_nothing_by_its_answer(shared_engine: Engine) -> None:
    async with pair(shared_engine) as at:
        for outcome in (None, REFUSE, OSError()):
            # given a sender that believes it holds what another one has taken
            at.receiver.scripts["a"] = [outcome]
            at.receiver.gates["a"] = asyncio.Event()
            await at.first.put("lane/a")
            at.first.start()
            await at.quiet()
            await at.first.store.write(lambda tx: tx.run(_TAKE_OVER, of_lane="lane"))
            before = await at.first.store.fetch(HEADS)

            # when its delivery ends
            at.receiver.gates["a"].set()
            await at.quiet()

            # then neither row nor settlement says so
            assert await at.first.store.fetch(HEADS) == before
            assert [row.attempts for row in await at.first.store.fetch(STATES)] == [0]
            assert await at.first.answers() == []
            await at.first.stop()
            at.clock.advance(30)


async def test_a_lost_lane_is_noticed_by_the_renewal(shared_engine: Engine) -> None:
    async with pair(shared_engine) as at:
        at.receiver.gates["a"] = asyncio.Event()
        await at.first.put("lane/a")
        at.first.start()
        await at.quiet()
        await at.first.store.write(lambda tx: tx.run(_TAKE_OVER, of_lane="lane"))

        await at.after(15)

        assert at.receiver.under_way == 0


async def test_a_row_behind_gets_a_whole_lease(shared_engine: Engine) -> None:
    async with pair(shared_engine) as at:
        at.receiver.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
        await at.first.put("lane/a", "lane/b")
        at.first.start()
        await at.quiet()
        (first,) = await at.first.store.fetch(HEADS)
        assert (first.id, first.due_at) == ("a", START + timedelta(seconds=30))

        at.clock.advance(4)
        at.receiver.gates["a"].set()
        await at.quiet()

        (second,) = await at.first.store.fetch(HEADS)
        assert (second.id, second.due_at) == ("b", START + timedelta(seconds=34))
        assert second.holder == first.holder


async def test_a_lane_that_is_left_by_mistake_is_given_back(shared_engine: Engine) -> None:
    """An answer of the store that got lost must not hold up a lane for a lease."""
    async with pair(shared_engine) as at:
        await at.first.put("lane/a", "lane/b")
        with failpoints.armed("outbox.closed=error@1"):
            at.first.start()
            await at.quiet()

        assert at.receiver.ids() == ["a", "b"]
        assert at.clock.now() == START


async def test_a_retry_is_anybodys(shared_engine: Engine) -> None:
    """A failure gives the lane back: it is due after its pause, not after a lease."""
    async with pair(shared_engine) as at:
        at.receiver.scripts["a"] = [OSError()]
        await at.first.put("lane/a")
        at.first.start()
        await at.quiet()
        await at.crash(at.first)

        at.second.start()
        await at.after(0.25)
        assert at.receiver.ids() == ["a", "a"]


async def test_a_row_that_always_fails_holds_up_its_lane_alone(shared_engine: Engine) -> None:
    async with pair(shared_engine, tuning=SenderTuning(lanes=1)) as at:
        at.receiver.scripts["poison"] = [OSError("\0 unreachable \ud800")] * 100
        await at.first.put("a/poison", "a/behind", "b/b1", "b/b2")
        at.first.start()
        at.second.start()
        await at.after(120)

        assert set(at.receiver.ids("a")) == {"poison"}
        assert 8 < len(at.receiver.ids("a")) < 12
        assert at.receiver.ids("b") == ["b1", "b2"]


async def test_a_dead_letter_is_redriven_once_behind_a_held_lane(shared_engine: Engine) -> None:
    async with pair(shared_engine) as at:
        # given a dead letter, and a lane that is held
        at.receiver.scripts["a"] = [REFUSE]
        at.receiver.gates["b"] = asyncio.Event()
        await at.first.put("lane/a", "lane/b")
        at.first.start()
        await at.quiet()

        # when two operators redrive it at once
        now = at.clock.now()
        moved = await asyncio.gather(
            *(
                at.first.store.write(lambda tx: redrive(tx, outbox, lane="lane", id="a", now=now))
                for _ in range(2)
            )
        )
        at.receiver.gates["b"].set()
        await at.quiet()

        # then it is sent again, under its id, after what was there
        assert sorted(moved) == [False, True]
        assert at.receiver.ids() == ["a", "b", "a"]
        assert await states(at.first) == {"b": RowState.DELIVERED, "a": RowState.DELIVERED}


async def test_an_unstorable_text_does_not_keep_a_row_from_being_set_aside(
    shared_engine: Engine,
) -> None:
    async with pair(shared_engine) as at:
        at.receiver.scripts["a"] = [RefusedError("BAD\0", "half a \ud83d" + "x" * 10_000)]
        await at.first.put("lane/a", "lane/b")
        at.first.start()
        await at.quiet()
        (dead, _) = await at.first.store.fetch(STATES)
        assert (dead.state, dead.reason) == (RowState.DEAD, "BAD")
        assert at.receiver.ids() == ["a", "b"]
