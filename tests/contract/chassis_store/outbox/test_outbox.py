"""The outbox: every row delivered, in the order of its lane, its answer applied once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from services.chassis.errors import StoreUnavailableError
from services.chassis.observe.telemetry import current_traceparent, span
from services.chassis.outbox.rows import (
    DeadPlace,
    DeadRow,
    OutboxRow,
    dead_rows,
    put,
    statements_of,
)
from services.chassis.outbox.sender import Answer, SenderTuning
from services.chassis.outbox.statements import RowState
from services.chassis.store.port import Tx
from services.chassis.store.statement import Statement, statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.senders import REFUSE, Sender, open_sender
from tests.contract.chassis_store.schema import ADD_CARD, outbox
from tests.support.clock import START
from tests.support.spans import recording
from tests.support.waiting import until


async def test_a_row_is_delivered_and_its_answer_settled(sender: Sender) -> None:
    # given a row that was there before the sender
    await sender.send("lane/a")

    # then
    assert sender.receiver.rows == [OutboxRow("lane", 1, "a", "greet", b"a", "", 0, START)]
    assert await sender.answers() == ["a: answer to a"]
    # its payload is not kept
    (row,) = await sender.rows()
    assert tuple(row) == ("a", RowState.DELIVERED, 0, b"", "")


async def test_a_put_wakes_the_sender(sender: Sender) -> None:
    await sender.run()
    await sender.put("lane/a")
    await sender.quiet()
    assert sender.receiver.ids() == ["a"]
    assert sender.clock.now() == START


async def test_a_put_of_a_transaction_that_failed_is_never_delivered(sender: Sender) -> None:
    sender.start()

    def fails(tx: Tx) -> None:
        row = {"id": "a", "lane": "lane", "kind": "greet", "traceparent": ""}
        put(tx, outbox, **row, payload=b"", now=START)
        raise LookupError

    with pytest.raises(LookupError):
        await sender.store.write(fails)
    await sender.put("lane/b")
    await sender.quiet()
    assert sender.receiver.ids() == ["b"]


async def test_rows_of_a_lane_are_delivered_one_after_the_other_in_their_order(
    sender: Sender,
) -> None:
    names = [f"{n:03}" for n in range(100)]
    await sender.put(*(f"lane/{name}" for name in names[:50]))
    sender.start()
    await sender.put(*(f"lane/{name}" for name in names[50:]))
    await sender.quiet()

    assert sender.receiver.ids() == names
    assert sender.receiver.most_under_way == 1
    assert len(await sender.answers()) == 100


async def test_lanes_do_not_wait_for_each_other(sender: Sender) -> None:
    # given a delivery that does not end
    sender.receiver.gates["slow"] = asyncio.Event()
    await sender.send("a/slow", "a/behind", "b/quick")
    assert sender.receiver.ids() == ["slow", "quick"]
    await sender.put("b/later")
    await until(lambda: sender.receiver.ids() == ["slow", "quick", "later"])

    # when it ends
    sender.receiver.gates["slow"].set()
    await sender.quiet()

    # then
    assert sender.receiver.ids("a") == ["slow", "behind"]


async def test_no_more_lanes_are_served_at_once_than_allowed(engine: Engine) -> None:
    async with open_sender(engine, tuning=SenderTuning(lanes=2)) as sender:
        sender.receiver.gates = {name: asyncio.Event() for name in "abcde"}
        await sender.send(*(f"{name}/{name}" for name in "abcde"))
        assert sender.receiver.ids() == ["a", "b"]

        for gate in sender.receiver.gates.values():
            gate.set()
        await sender.quiet()

        assert sender.receiver.ids() == ["a", "b", "c", "d", "e"]
        assert sender.receiver.most_under_way == 2


async def test_a_long_lane_gives_its_place_back(engine: Engine) -> None:
    """With every place taken by a flood, the other lanes would starve."""
    async with open_sender(engine, tuning=SenderTuning(lanes=1, rows_per_turn=2)) as sender:
        # what is behind a head falls due when the head is closed: later than the others
        sender.receiver.on_arrival = lambda _row: sender.advance(0.001)
        await sender.send("a/1", "a/2", "a/3", "b/x")
        assert sender.receiver.ids() == ["1", "2", "x", "3"]


async def test_a_failing_head_holds_up_its_own_lane_alone(sender: Sender) -> None:
    sender.receiver.scripts["a1"] = [OSError("unreachable")]
    await sender.send("a/a1", "a/a2", "b/b1")
    assert sender.receiver.ids() == ["a1", "b1"]

    # when the pause of a quarter of a second is over
    await sender.after(0.25)

    # then the lane goes on in its order
    assert sender.receiver.ids() == ["a1", "b1", "a1", "a2"]
    assert [row.attempts for row in sender.receiver.rows if row.id == "a1"] == [0, 1]
    assert await sender.answers() == ["a1: answer to a1", "a2: answer to a2", "b1: answer to b1"]


async def test_pauses_double_up_to_a_minute(sender: Sender) -> None:
    sender.receiver.scripts["a"] = [OSError()] * 11
    await sender.send("lane/a")
    pauses = []
    for attempt in range(1, 12):
        due = (await sender.store.fetch(statement(select(outbox.c.due_at))))[0].due_at
        pauses.append((due - sender.clock.now()).total_seconds())
        await sender.after(pauses[-1])
        assert len(sender.receiver.rows) == attempt + 1

    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert await sender.states() == {"a": RowState.DELIVERED}


async def test_a_retry_waits_as_long_as_the_receiver_asks(sender: Sender) -> None:
    sender.receiver.scripts["a"] = [StoreUnavailableError("busy", retry_after_s=90.0)]
    await sender.send("lane/a")

    await sender.after(89.9)
    assert sender.receiver.ids() == ["a"]
    (row,) = await sender.rows()
    assert (row.attempts, row.reason) == (1, "STORE_UNAVAILABLE")

    await sender.after(0.1)
    assert sender.receiver.ids() == ["a", "a"]


async def test_a_refusal_is_settled_and_the_lane_goes_on(sender: Sender) -> None:
    # given
    sender.receiver.scripts["a"] = [REFUSE]
    await sender.send("lane/a", "lane/b")

    # then
    assert sender.receiver.ids() == ["a", "b"]
    assert await sender.answers() == ["a: UNKNOWN_RUN", "b: answer to b"]
    (dead,) = await sender.store.read(lambda tx: dead_rows(tx, outbox, limit=10))
    assert (dead.row.id, dead.row.payload) == ("a", b"a")
    assert (dead.reason, dead.message) == ("UNKNOWN_RUN", "no such run")
    assert dead.settled_at == START


async def test_no_operation_changes_a_closed_row(sender: Sender) -> None:
    """A refusal was settled as an answer: an effect that came later would contradict it."""
    # given a row that was delivered and one that was refused, both of which nobody holds
    sender.receiver.scripts["refused"] = [REFUSE]
    await sender.send("a/delivered", "b/refused")
    every = statement(select(outbox).order_by(outbox.c.lane))
    before = await sender.store.fetch(every)

    # when every statement but the one that deletes is aimed at them, by the holder they had
    statements = asdict(statements_of(outbox))
    del statements["prune"]
    week = sender.clock.now() + timedelta(days=6)
    for row in before:
        given = {
            **row._asdict(), "now": week, "limit": 10, "holder": "", "to_holder": "x",
            "to_due_at": week, "of_lane": row.lane, "of_seq": row.seq, "of_holder": "",
            "to_state": RowState.PENDING, "to_payload": b"", "to_reason": "", "to_message": "",
            "after_at": START, "after_lane": "", "after_seq": 0,
        }  # fmt: skip
        for each in statements.values():
            await sender.store.write(partial(_run, each, given))
    await sender.after(61)

    # then they are as they were, and were sent once
    assert len(statements) > 10
    assert await sender.store.fetch(every) == before
    assert sender.receiver.ids() == ["delivered", "refused"]


def _run(each: Statement, given: dict[str, Any], tx: Tx) -> None:
    binds = each._clause.compile(dialect=sqlite.dialect()).binds
    tx.all(each, **{name: given[name] for name, bind in binds.items() if bind.required})


async def test_dead_letters_are_listed_by_page(sender: Sender) -> None:
    # given three of one instant and two lanes, and a later one
    sender.settle = lambda tx, row, answer: None  # two of one id
    names = ["a/1", "a/2", "b/1", "a/3"]
    sender.receiver.scripts.update({id_: [REFUSE, REFUSE] for id_ in "123"})
    await sender.send(*names[:3])
    sender.advance(1)
    await sender.put(names[3])
    await sender.quiet()

    # when they are read by pages of two
    async def page(after: DeadPlace | None) -> list[DeadRow]:
        return await sender.store.read(lambda tx: dead_rows(tx, outbox, limit=2, after=after))

    first = await page(None)
    second = await page(first[-1].place)
    third = await page(second[-1].place)

    # then the oldest come first, and none twice
    assert [f"{dead.row.lane}/{dead.row.id}" for dead in first] == ["a/1", "a/2"]
    assert [f"{dead.row.lane}/{dead.row.id}" for dead in second] == ["b/1", "a/3"]
    assert third == []


@pytest.mark.parametrize(("script", "deliveries"), [([], 1), ([OSError()], 2), ([REFUSE], 1)])
async def test_a_second_put_of_an_id_is_ignored_in_every_state(
    sender: Sender, script: list[Exception | None], deliveries: int
) -> None:
    # given a row that is delivered, held up or dead
    sender.settle = lambda tx, row, answer: None  # two of one id
    sender.receiver.scripts["a"] = list(script)
    await sender.send("lane/a")

    # when
    await sender.put("lane/a", "other/a")
    await sender.after(1)

    # then the lane has seen it; another lane has not
    assert sender.receiver.ids("lane") == ["a"] * deliveries
    assert sender.receiver.ids("other") == ["a"]


async def test_a_settle_that_fails_is_undone_and_tried_again(sender: Sender) -> None:
    """The answer and the end of the row are one transaction."""
    # given a settle that fails once, half way; the second failure is the commit's
    settle = sender.settle
    failures: list[Callable[[Tx], object]] = [
        lambda _tx: 1 // 0,
        lambda tx: tx.run(ADD_CARD, id="c", account_id="nobody"),
    ]

    def unlucky(tx: Tx, row: OutboxRow, answer: Answer) -> None:
        settle(tx, row, answer)
        if failures:
            failures.pop(0)(tx)

    sender.settle = unlucky
    await sender.send("lane/a", "lane/b")
    assert await sender.answers() == []
    assert await sender.states() == {"a": RowState.PENDING, "b": RowState.PENDING}

    # when the pause is over, and then the one that the store asks for
    await sender.after(0.25)
    await sender.after(1)

    # then it was delivered three times and settled once
    assert sender.receiver.ids() == ["a", "a", "a", "b"]
    assert await sender.answers() == ["a: answer to a", "b: answer to b"]


async def test_a_kind_without_a_receiver_waits_for_a_release_that_has_one(sender: Sender) -> None:
    await sender.put("a/strange", kind="unheard-of")
    await sender.send("b/known")
    assert sender.receiver.ids() == ["known"]
    assert await sender.states() == {"strange": RowState.PENDING, "known": RowState.DELIVERED}


async def test_a_delivery_that_hangs_has_failed(engine: Engine) -> None:
    async with open_sender(engine, tuning=SenderTuning(deliver_limit_s=0.01)) as sender:
        sender.receiver.gates["a"] = asyncio.Event()
        await sender.send("lane/a", "other/b")
        await until(lambda: sender.receiver.under_way == 0)
        await sender.quiet()
        assert sender.receiver.ids() == ["a", "b"]
        (row, _) = await sender.rows()
        assert (row.id, row.attempts, row.reason) == ("a", 1, "INTERNAL")


async def test_a_delivery_is_a_client_span_of_what_caused_it(sender: Sender) -> None:
    seen: list[str] = []
    sender.receiver.on_arrival = lambda _row: seen.append(current_traceparent())
    sender.receiver.scripts["b"] = [REFUSE]
    with recording() as spans:
        with span("cause"):
            await sender.put("lane/a", traceparent=current_traceparent())
        await sender.send("lane/b")
        await sender.stop()
        cause, first, second = spans.spans

    # the row restores the context; one without begins its own trace
    assert spans.names == ["cause", "outbox greet", "outbox greet"]
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
