"""Several senders, one table: each lane is one sender's until its lease ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import bindparam

from services.chassis import failpoints
from services.chassis.outbox.sender import RefusedError, SenderTuning
from services.chassis.outbox.statements import RowState
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.senders import REFUSE, Sender, open_sender, quiet
from tests.contract.chassis_store.schema import outbox
from tests.support.clock import START, ManualClock

_TAKE_OVER = statement(
    outbox.update()
    .where(outbox.c.lane == bindparam("of_lane"), outbox.c.due_at.is_not(None))
    .values(holder="another")
)


class Pair:
    """Two senders on one database, as two processes would be, with one receiver."""

    def __init__(self, first: Sender, second: Sender) -> None:
        self.first = first
        self.second = second
        self.receiver = first.receiver
        self.clock = first.clock

    def start(self) -> None:
        self.first.start()
        self.second.start()

    async def quiet(self) -> None:
        await quiet(self.first, self.second)

    def advance(self, seconds: float) -> None:
        self.first.advance(seconds)
        self.second.advance(seconds)

    async def after(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass in steps, so that whoever waits for an instant sees it."""
        passed_s = 0.0
        while passed_s < seconds:
            self.advance(min(step_s, seconds - passed_s))
            passed_s += step_s
            await self.quiet()

    async def crash(self, sender: Sender) -> None:
        """End a sender without a last word."""
        sender.view.away = True
        await sender.stop()
        await self.quiet()


@asynccontextmanager
async def open_pair(
    engine: Engine, *, tuning: SenderTuning | None = None, skew_s: float = 0.0
) -> AsyncIterator[Pair]:
    async with open_sender(engine, tuning=tuning) as first:
        ahead = ManualClock(START + timedelta(seconds=skew_s))
        second = first.beside(clock=ahead, receiver=first.receiver)
        try:
            yield Pair(first, second)
        finally:
            await second.stop()


@pytest_asyncio.fixture
async def pair(shared_engine: Engine) -> AsyncIterator[Pair]:
    async with open_pair(shared_engine) as opened:
        yield opened


async def test_two_senders_share_the_lanes(shared_engine: Engine) -> None:
    async with open_pair(shared_engine, tuning=SenderTuning(lanes=2)) as pair:
        # given deliveries that take long, and two places each
        pair.receiver.gates = {name: asyncio.Event() for name in "abcde"}
        await pair.first.put(*(f"{name}/{name}" for name in "abcde"))
        pair.start()
        await pair.quiet()

        # then four lanes are served, two by each
        assert sorted(pair.receiver.ids()) == ["a", "b", "c", "d"]
        holders = [row.holder for row in await pair.first.heads()]
        assert [holders.count(each) for each in {*holders}] != [4, 1]
        assert sorted(map(holders.count, {*holders})) == [1, 2, 2]

        # and each row arrives once
        for gate in pair.receiver.gates.values():
            gate.set()
        await pair.quiet()
        assert sorted(pair.receiver.ids()) == ["a", "b", "c", "d", "e"]


async def test_many_rows_arrive_once_each_and_in_order(shared_engine: Engine) -> None:
    async with open_pair(shared_engine, tuning=SenderTuning(lanes=3, rows_per_turn=4)) as pair:
        pair.start()
        for number in range(20):
            await pair.first.put(*(f"{lane}/{lane}{number:02}" for lane in "abcdef"))
        await pair.quiet()

        for lane in "abcdef":
            assert pair.receiver.ids(lane) == [f"{lane}{number:02}" for number in range(20)]
        assert pair.receiver.most_in_a_lane == 1
        assert len(await pair.first.answers()) == 120


async def test_a_row_put_while_the_one_before_it_ends_is_not_forgotten(pair: Pair) -> None:
    """The end of a row looks for the next one, a put for the one before: neither may miss it."""
    pair.start()

    async def puts(part: int) -> None:
        for number in range(25):
            await pair.first.put(f"lane/{part}-{number}")

    await asyncio.gather(*(puts(part) for part in range(4)))
    await pair.quiet()

    assert pair.clock.now() == START
    arrived = pair.receiver.ids("lane")
    assert len(arrived) == len(set(arrived)) == 100
    for part in range(4):
        own = [id_ for id_ in arrived if id_.startswith(f"{part}-")]
        assert own == [f"{part}-{number}" for number in range(25)]


@pytest.mark.parametrize("shared_engine", ["postgresql"], indirect=True)
async def test_a_locked_row_is_not_waited_for_when_leases_are_renewed(
    shared_engine: Engine, pair: Pair
) -> None:
    # given two lanes under way
    pair.receiver.gates = {name: asyncio.Event() for name in "ab"}
    await pair.first.send("locked/a", "other/b")

    # when somebody keeps the row of the first until after the lease would have ended
    with psycopg.connect(shared_engine.url) as shell:
        shell.execute("SELECT * FROM outbox WHERE lane = 'locked' FOR UPDATE")
        await pair.after(24.0)
        due = {row.lane: row.due_at for row in await pair.first.heads()}
        shell.rollback()

    # then the other lease was renewed all the same
    assert due["locked"] == START + timedelta(seconds=30)
    assert due["other"] > START + timedelta(seconds=30)


async def test_the_lane_of_a_crashed_sender_is_taken_over_when_its_lease_ends(
    pair: Pair,
) -> None:
    # given a sender that ends while its receiver works
    pair.receiver.gates["a"] = asyncio.Event()
    await pair.first.send("lane/a", "lane/b")
    await pair.crash(pair.first)
    pair.receiver.gates.clear()
    pair.second.start()

    # when its lease of thirty seconds and the longest random wait have passed
    await pair.after(29.9)
    assert pair.receiver.ids() == ["a"]
    await pair.after(1.1)

    # then
    assert pair.receiver.ids() == ["a", "a", "b"]
    assert await pair.second.answers() == ["a: answer to a", "b: answer to b"]


async def test_a_lease_is_kept_as_long_as_a_delivery_takes(pair: Pair) -> None:
    pair.receiver.gates["a"] = asyncio.Event()
    await pair.first.put("lane/a")
    pair.start()
    await pair.after(100)
    assert pair.receiver.ids() == ["a"]

    pair.receiver.gates["a"].set()
    await pair.quiet()
    assert await pair.first.answers() == ["a: answer to a"]


async def test_a_sender_that_cannot_renew_lets_go_before_another_may_begin(
    shared_engine: Engine,
) -> None:
    # given another one whose clock is almost five seconds ahead
    async with open_pair(shared_engine, skew_s=4.9) as pair:
        pair.receiver.gates["a"] = asyncio.Event()
        await pair.first.send("lane/a")
        pair.second.start()

        # when the store is away from the first alone
        pair.first.view.away = True
        await pair.after(19)
        assert (pair.receiver.ids(), pair.receiver.under_way) == (["a"], 1)
        await pair.after(6)
        assert (pair.receiver.ids(), pair.receiver.under_way) == (["a"], 0)
        await pair.after(2)

        # then they were never at it together
        assert pair.receiver.ids() == ["a", "a"]
        assert pair.receiver.most_in_a_lane == 1


async def test_a_stop_gives_the_lanes_back(pair: Pair) -> None:
    pair.receiver.gates["a"] = asyncio.Event()
    await pair.first.send("lane/a", "lane/b")
    pair.second.start()
    await pair.quiet()
    assert pair.receiver.ids() == ["a"]

    # when
    pair.receiver.gates.clear()
    await pair.first.stop()
    await pair.quiet()

    # then no lease had to end
    assert pair.clock.now() == START
    assert pair.receiver.ids() == ["a", "a", "b"]


async def test_who_lost_a_lane_changes_nothing_by_its_answer(pair: Pair) -> None:
    for outcome in (None, REFUSE, OSError()):
        # given a sender that believes it holds what another one has taken
        pair.receiver.scripts["a"] = [outcome]
        pair.receiver.gates["a"] = asyncio.Event()
        await pair.first.send("lane/a")
        await pair.first.store.write(lambda tx: tx.run(_TAKE_OVER, of_lane="lane"))
        before = await pair.first.heads()

        # when its delivery ends
        pair.receiver.gates["a"].set()
        await pair.quiet()

        # then neither row nor settlement says so
        assert await pair.first.heads() == before
        assert [row.attempts for row in await pair.first.rows()] == [0]
        assert await pair.first.answers() == []
        await pair.first.stop()
        pair.advance(30)


async def test_a_lost_lane_is_noticed_by_the_renewal(pair: Pair) -> None:
    pair.receiver.gates["a"] = asyncio.Event()
    await pair.first.send("lane/a")
    await pair.first.store.write(lambda tx: tx.run(_TAKE_OVER, of_lane="lane"))

    await pair.after(15)

    assert pair.receiver.under_way == 0


async def test_a_row_behind_gets_a_whole_lease(pair: Pair) -> None:
    pair.receiver.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    await pair.first.send("lane/a", "lane/b")
    (first,) = await pair.first.heads()
    assert (first.id, first.due_at) == ("a", START + timedelta(seconds=30))

    pair.advance(4)
    pair.receiver.gates["a"].set()
    await pair.quiet()

    (second,) = await pair.first.heads()
    assert (second.id, second.due_at) == ("b", START + timedelta(seconds=34))
    assert second.holder == first.holder


async def test_a_lane_that_is_left_by_mistake_is_given_back(pair: Pair) -> None:
    """An answer of the store that got lost must not hold up a lane for a lease."""
    await pair.first.put("lane/a", "lane/b")
    with failpoints.armed("outbox.closed=error@1"):
        await pair.first.run()

    assert pair.receiver.ids() == ["a", "b"]
    assert pair.clock.now() == START


async def test_a_retry_is_anybodys(pair: Pair) -> None:
    """A failure gives the lane back: it is due after its pause, not after a lease."""
    pair.receiver.scripts["a"] = [OSError()]
    await pair.first.send("lane/a")
    await pair.crash(pair.first)

    pair.second.start()
    await pair.after(0.25)
    assert pair.receiver.ids() == ["a", "a"]


async def test_a_row_that_always_fails_holds_up_its_lane_alone(shared_engine: Engine) -> None:
    async with open_pair(shared_engine, tuning=SenderTuning(lanes=1)) as pair:
        pair.receiver.scripts["poison"] = [OSError("\0 unreachable \ud800")] * 100
        await pair.first.put("a/poison", "a/behind", "b/b1", "b/b2")
        pair.start()
        await pair.after(120)

        assert set(pair.receiver.ids("a")) == {"poison"}
        assert 8 < len(pair.receiver.ids("a")) < 12
        assert pair.receiver.ids("b") == ["b1", "b2"]


async def test_an_unstorable_text_does_not_keep_a_row_from_being_set_aside(pair: Pair) -> None:
    pair.receiver.scripts["a"] = [RefusedError("BAD\0", "half a \ud83d" + "x" * 10_000)]
    await pair.first.send("lane/a", "lane/b")
    (dead, _) = await pair.first.rows()
    assert (dead.state, dead.reason) == (RowState.DEAD, "BAD")
    assert pair.receiver.ids() == ["a", "b"]
