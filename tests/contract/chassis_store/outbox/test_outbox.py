"""The outbox: every row delivered, in the order of its lane, its answer applied once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from opentelemetry.trace import SpanKind
from sqlalchemy import select

from services.chassis.errors import StoreUnavailableError
from services.chassis.outbox import (
    Answer,
    DeadPlace,
    DeadRow,
    OutboxRow,
    RowState,
    SenderTuning,
    dead_rows,
    put,
    redrive,
)
from services.chassis.store.port import Tx
from services.chassis.store.statement import statement
from services.chassis.telemetry import current_traceparent, span
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.desk import REFUSE, STATES, desk, states
from tests.contract.chassis_store.schema import ADD_CARD, outbox
from tests.support.clock import START, ManualClock
from tests.support.spans import recording
from tests.support.turns import until


async def test_a_row_is_delivered_and_its_answer_settled(engine: Engine) -> None:
    async with desk(engine) as at:
        # given a row that was there before the sender
        await at.put("lane/a", traceparent="")
        # when
        at.start()
        await at.quiet()

        # then
        assert at.receiver.rows == [
            OutboxRow("lane", 1, "a", "greet", b"a", "", 0, START),
        ]
        assert await at.answers() == ["a: answer to a"]
        # its payload is not kept
        (row,) = await at.store.fetch(STATES)
        assert tuple(row) == ("a", RowState.DELIVERED, 0, b"", "")


async def test_a_put_wakes_the_sender(engine: Engine) -> None:
    async with desk(engine) as at:
        at.start()
        await at.quiet()
        await at.put("lane/a")
        await at.quiet()
        assert at.receiver.ids() == ["a"]
    assert at.clock.now() == START


async def test_a_put_of_a_transaction_that_failed_is_never_delivered(engine: Engine) -> None:
    async with desk(engine) as at:
        at.start()

        def fails(tx: Tx) -> None:
            put(
                tx, outbox, id="a", lane="lane", kind="greet", payload=b"", traceparent="",
                now=START,
            )  # fmt: skip
            raise LookupError

        with pytest.raises(LookupError):
            await at.store.write(fails)
        await at.put("lane/b")
        await at.quiet()
        assert at.receiver.ids() == ["b"]


async def test_rows_of_a_lane_are_delivered_one_after_the_other_in_their_order(
    engine: Engine,
) -> None:
    async with desk(engine) as at:
        names = [f"{n:03}" for n in range(100)]
        await at.put(*(f"lane/{name}" for name in names[:50]))
        at.start()
        await at.put(*(f"lane/{name}" for name in names[50:]))
        await at.quiet()

        assert at.receiver.ids() == names
        assert at.receiver.most_under_way == 1
        assert len(await at.answers()) == 100


async def test_lanes_do_not_wait_for_each_other(engine: Engine) -> None:
    async with desk(engine) as at:
        # given a delivery that does not end
        at.receiver.gates["slow"] = asyncio.Event()
        await at.put("a/slow", "a/behind", "b/quick")
        at.start()
        await until(lambda: at.receiver.ids() == ["slow", "quick"])
        await at.put("b/later")
        await until(lambda: at.receiver.ids() == ["slow", "quick", "later"])

        # when it ends
        at.receiver.gates["slow"].set()
        await at.quiet()

        # then
        assert at.receiver.ids("a") == ["slow", "behind"]


async def test_no_more_lanes_are_served_at_once_than_allowed(engine: Engine) -> None:
    async with desk(engine, tuning=SenderTuning(lanes=2)) as at:
        gates = {name: asyncio.Event() for name in "abcde"}
        at.receiver.gates = gates
        await at.put(*(f"{name}/{name}" for name in "abcde"))
        at.start()
        await until(lambda: at.receiver.ids() == ["a", "b"])

        for name in "abcde":
            gates[name].set()
        await at.quiet()

        assert at.receiver.ids() == ["a", "b", "c", "d", "e"]
        assert at.receiver.most_under_way == 2


async def test_a_long_lane_gives_its_place_back(engine: Engine) -> None:
    """With every place taken by a flood, the other lanes would starve."""
    async with desk(engine, tuning=SenderTuning(lanes=1, rows_per_turn=2)) as at:
        await at.put("a/1", "a/2", "a/3", "b/x")
        # what is behind a head falls due when the head is closed: later than the others
        deliver = at.receiver.deliver

        async def takes_time(row: OutboxRow) -> bytes:
            assert isinstance(at.clock, ManualClock)
            at.clock.advance(0.001)
            return await deliver(row)

        at.receiver.deliver = takes_time  # type: ignore[method-assign]  # a slower receiver
        at.start()
        await at.quiet()
        assert at.receiver.ids() == ["1", "2", "x", "3"]


async def test_a_failing_head_holds_up_its_own_lane_alone(engine: Engine) -> None:
    async with desk(engine) as at:
        at.receiver.scripts["a1"] = [OSError("unreachable")]
        await at.put("a/a1", "a/a2", "b/b1")
        at.start()
        await at.quiet()
        assert at.receiver.ids() == ["a1", "b1"]

        # when the pause of a quarter of a second is over
        await at.after(0.25)

        # then the lane goes on in its order
        assert at.receiver.ids() == ["a1", "b1", "a1", "a2"]
        assert [row.attempts for row in at.receiver.rows if row.id == "a1"] == [0, 1]
        assert await at.answers() == ["a1: answer to a1", "a2: answer to a2", "b1: answer to b1"]


async def test_pauses_double_up_to_a_minute(engine: Engine) -> None:
    async with desk(engine) as at:
        at.receiver.scripts["a"] = [OSError()] * 11
        await at.put("lane/a")
        at.start()
        await at.quiet()
        pauses = []
        for attempt in range(1, 12):
            due = (await at.store.fetch(statement(select(outbox.c.due_at))))[0].due_at
            pauses.append((due - at.clock.now()).total_seconds())
            await at.after(pauses[-1])
            assert len(at.receiver.rows) == attempt + 1

        assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert await states(at) == {"a": RowState.DELIVERED}


async def test_a_retry_waits_as_long_as_the_receiver_asks(engine: Engine) -> None:
    async with desk(engine) as at:
        at.receiver.scripts["a"] = [StoreUnavailableError("busy", retry_after_s=90.0)]
        await at.put("lane/a")
        at.start()
        await at.quiet()

        await at.after(89.9)
        assert at.receiver.ids() == ["a"]
        (row,) = await at.store.fetch(STATES)
        assert (row.attempts, row.reason) == (1, "STORE_UNAVAILABLE")

        await at.after(0.1)
        assert at.receiver.ids() == ["a", "a"]


async def test_a_refusal_is_settled_and_the_lane_goes_on(engine: Engine) -> None:
    async with desk(engine) as at:
        # given
        at.receiver.scripts["a"] = [REFUSE]
        await at.put("lane/a", "lane/b")
        # when
        at.start()
        await at.quiet()

        # then
        assert at.receiver.ids() == ["a", "b"]
        assert await at.answers() == ["a: UNKNOWN_RUN", "b: answer to b"]
        (dead,) = await at.store.read(lambda tx: dead_rows(tx, outbox, limit=10))
        assert (dead.row.id, dead.row.payload) == ("a", b"a")
        assert (dead.reason, dead.message) == ("UNKNOWN_RUN", "no such run")
        assert dead.settled_at == START


async def test_a_dead_letter_is_redriven_at_the_end_of_its_lane(engine: Engine) -> None:
    async with desk(engine) as at:
        # given a dead letter, and a lane that is held up behind it
        at.receiver.scripts.update({"a": [REFUSE], "b": [OSError()]})
        await at.put("lane/a", "lane/b")
        at.start()
        await at.quiet()

        # when
        now = at.clock.now()
        moved = await at.store.write(lambda tx: redrive(tx, outbox, lane="lane", id="a", now=now))
        again = await at.store.write(lambda tx: redrive(tx, outbox, lane="lane", id="a", now=now))
        await at.after(0.25)

        # then it comes after what was there; that its answer was settled before is for settle
        assert (moved, again) == (True, False)
        assert at.receiver.ids()[:4] == ["a", "b", "b", "a"]
        assert at.receiver.rows[3].attempts == 0


async def test_a_dead_letter_of_an_empty_lane_is_due_at_once(engine: Engine) -> None:
    async with desk(engine) as at:
        at.settle = lambda tx, row, answer: None  # type: ignore[method-assign]  # settled twice
        at.receiver.scripts["a"] = [REFUSE]
        await at.put("lane/a")
        at.start()
        await at.quiet()
        now = at.clock.now()
        await at.store.write(lambda tx: redrive(tx, outbox, lane="lane", id="a", now=now))
        await at.quiet()
        assert at.receiver.ids() == ["a", "a"]
        assert await states(at) == {"a": RowState.DELIVERED}


async def test_dead_letters_are_listed_by_page(engine: Engine) -> None:
    async with desk(engine) as at:
        # given three of one instant and two lanes, and a later one
        at.settle = lambda tx, row, answer: None  # type: ignore[method-assign]  # two of one id
        names = ["a/1", "a/2", "b/1", "a/3"]
        at.receiver.scripts.update({id_: [REFUSE, REFUSE] for id_ in "123"})
        await at.put(*names[:3])
        at.start()
        await at.quiet()
        at.clock.advance(1)  # type: ignore[attr-defined]  # manual
        await at.put(names[3])
        await at.quiet()

        # when they are read by pages of two
        async def page(after: DeadPlace | None) -> list[DeadRow]:
            return await at.store.read(lambda tx: dead_rows(tx, outbox, limit=2, after=after))

        first = await page(None)
        second = await page(first[-1].place)
        third = await page(second[-1].place)

        # then the oldest come first, and none twice
        assert [f"{dead.row.lane}/{dead.row.id}" for dead in first] == ["a/1", "a/2"]
        assert [f"{dead.row.lane}/{dead.row.id}" for dead in second] == ["b/1", "a/3"]
        assert third == []


@pytest.mark.parametrize(("script", "deliveries"), [([], 1), ([OSError()], 2), ([REFUSE], 1)])
async def test_a_second_put_of_an_id_is_ignored_in_every_state(
    engine: Engine, script: list[Exception | None], deliveries: int
) -> None:
    async with desk(engine) as at:
        # given a row that is delivered, held up or dead
        at.settle = lambda tx, row, answer: None  # type: ignore[method-assign]  # two of one id
        at.receiver.scripts["a"] = list(script)
        await at.put("lane/a")
        at.start()
        await at.quiet()

        # when
        await at.put("lane/a", "other/a")
        await at.after(1)

        # then the lane has seen it; another lane has not
        assert at.receiver.ids("lane") == ["a"] * deliveries
        assert at.receiver.ids("other") == ["a"]


async def test_a_settle_that_fails_is_undone_and_tried_again(engine: Engine) -> None:
    """The answer and the end of the row are one transaction."""
    async with desk(engine) as at:
        # given a settle that fails once, half way; the second failure is the commit's
        settle = at.settle
        failures: list[Callable[[Tx], object]] = [
            lambda _tx: 1 // 0,
            lambda tx: tx.run(ADD_CARD, id="c", account_id="nobody"),
        ]

        def unlucky(tx: Tx, row: OutboxRow, answer: Answer) -> None:
            settle(tx, row, answer)
            if failures:
                failures.pop(0)(tx)

        at.settle = unlucky  # type: ignore[method-assign]  # fails before it works
        await at.put("lane/a", "lane/b")
        at.start()
        await at.quiet()
        assert await at.answers() == []
        assert await states(at) == {"a": RowState.PENDING, "b": RowState.PENDING}

        # when the pause is over, and then the one that the store asks for
        await at.after(0.25)
        await at.after(1)

        # then it was delivered three times and settled once
        assert at.receiver.ids() == ["a", "a", "a", "b"]
        assert await at.answers() == ["a: answer to a", "b: answer to b"]


async def test_a_kind_without_a_receiver_waits_for_a_release_that_has_one(
    engine: Engine,
) -> None:
    async with desk(engine) as at:
        await at.put("a/strange", kind="unheard-of")
        await at.put("b/known")
        at.start()
        await at.quiet()
        assert at.receiver.ids() == ["known"]
        assert await states(at) == {"strange": RowState.PENDING, "known": RowState.DELIVERED}


async def test_a_delivery_that_hangs_has_failed(engine: Engine) -> None:
    async with desk(engine, tuning=SenderTuning(deliver_limit_s=0.01)) as at:
        at.receiver.gates["a"] = asyncio.Event()
        await at.put("lane/a", "other/b")
        at.start()
        await until(lambda: at.receiver.ids() == ["a", "b"])
        await until(lambda: at.receiver.under_way == 0)
        await at.quiet()
        (row, _) = await at.store.fetch(STATES)
        assert (row.id, row.attempts, row.reason) == ("a", 1, "INTERNAL")


async def test_a_delivery_is_a_client_span_of_what_caused_it(engine: Engine) -> None:
    seen: list[str] = []
    with recording() as spans:
        async with desk(engine) as at:
            deliver = at.receiver.deliver

            async def looks(row: OutboxRow) -> bytes:
                seen.append(current_traceparent())
                return await deliver(row)

            at.receiver.deliver = looks  # type: ignore[method-assign]  # looks around first
            at.receiver.scripts["b"] = [REFUSE]
            with span("cause"):
                await at.put("lane/a", traceparent=current_traceparent())
            await at.put("lane/b")
            at.start()
            await at.quiet()
        cause, first, second = spans.spans

    # the row restores the context; one without begins its own trace
    names = [each.name for each in (cause, first, second)]
    assert names == ["cause", "outbox greet", "outbox greet"]
    assert first.kind is SpanKind.CLIENT
    assert first.parent is not None
    assert first.parent.span_id == cause.context.span_id
    assert second.parent is None
    assert seen[0].split("-")[1:3] == [
        f"{first.context.trace_id:032x}",
        f"{first.context.span_id:016x}",
    ]
    assert dict(first.attributes or {}) == {
        "runyard.outbox.id": "a",
        "runyard.outbox.kind": "greet",
        "runyard.outbox.attempt": 1,
    }
    assert (second.attributes or {})["error.type"] == "UNKNOWN_RUN"
