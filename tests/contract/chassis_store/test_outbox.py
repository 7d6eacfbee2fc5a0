"""The outbox: every row delivered, in the order of its lane, its answer applied once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.trace import SpanKind
from sqlalchemy import select

from services.chassis.clock import SystemClock
from services.chassis.errors import StoreUnavailableError
from services.chassis.outbox import (
    Answer,
    OutboxRow,
    OutboxSender,
    RowState,
    SenderTuning,
    dead_rows,
    put,
    redrive,
)
from services.chassis.store.port import Tx
from services.chassis.store.statement import statement
from services.chassis.telemetry import current_traceparent, span
from tests.contract.chassis_store.engines import Engine, Gate, balance
from tests.contract.chassis_store.outbox_desk import REFUSE, Desk, desk
from tests.contract.chassis_store.schema import ADD, ADD_CARD, DEPOSIT, outbox
from tests.support.clock import START, ManualClock
from tests.support.spans import recording
from tests.support.turns import until

_STATES = statement(
    select(outbox.c.id, outbox.c.state, outbox.c.attempts, outbox.c.payload, outbox.c.reason)
    .order_by(outbox.c.lane, outbox.c.seq)
)  # fmt: skip
_ROOT = Path(__file__).parents[3]


async def states(desk: Desk) -> dict[str, int]:
    return {row.id: row.state for row in await desk.store.fetch(_STATES)}


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
        (row,) = await at.store.fetch(_STATES)
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
        (row,) = await at.store.fetch(_STATES)
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

        # when
        await at.after(0.25)
        await at.after(0.5)

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
        await at.quiet()
        (row, _) = await at.store.fetch(_STATES)
        assert (row.id, row.attempts, row.reason) == ("a", 1, "INTERNAL")


async def test_what_was_under_way_at_a_stop_is_delivered_by_the_next_run(
    engine: Engine,
) -> None:
    async with desk(engine) as at:
        # given
        at.receiver.gates["a"] = asyncio.Event()
        await at.put("lane/a", "lane/b")
        at.start()
        await until(lambda: at.receiver.ids() == ["a"])

        # when
        await at.stop()
        assert at.receiver.under_way == 0
        at.receiver.gates.clear()
        at.start()
        await at.quiet()

        # then
        assert at.receiver.ids() == ["a", "a", "b"]
        assert await at.answers() == ["a: answer to a", "b: answer to b"]


async def test_an_answer_is_applied_once_even_when_its_row_was_sent_twice(
    engine: Engine,
) -> None:
    """A stopped sender's last write still commits, after its successor has looked."""
    async with desk(engine) as at:
        # given a sender that is stopped while the end of its row waits for another commit
        at.settle = lambda tx, row, answer: tx.run(DEPOSIT, id="settled", amount=1)  # type: ignore[assignment, method-assign]  # counts
        await at.store.write(lambda tx: tx.run(ADD, id="settled", balance=0))
        await at.put("lane/a", "lane/b")
        gate = Gate()
        at.receiver.gates["a"] = asyncio.Event()
        at.start()
        await until(lambda: at.receiver.ids() == ["a"])
        held = asyncio.ensure_future(at.store.write(gate))
        await asyncio.to_thread(gate.entered.wait)
        at.receiver.gates["a"].set()
        await until(lambda: at.receiver.under_way == 0)
        await asyncio.sleep(0)
        await at.stop()

        # when the next one sends the row again, and only then both ends are written
        at.start()
        await until(lambda: at.receiver.ids() == ["a", "a"])
        gate.opened.set()
        await held
        await at.quiet()

        # then
        assert at.receiver.ids() == ["a", "a", "b"]
        assert await balance(at.store, "settled") == 2


async def test_a_sender_outlives_its_store(engine: Engine) -> None:
    """An outage of the database must not end a loop that nobody restarts."""
    clock = ManualClock()
    async with desk(engine, clock=clock) as at:
        at.receiver.gates["a"] = asyncio.Event()
        at.receiver.scripts["a"] = [OSError()]
        await at.put("lane/a")
        at.start()
        await until(lambda: at.receiver.ids() == ["a"])

        # when the store is gone, a delivery ends, and the sender looks for more
        await at.store._writer.drain()  # type: ignore[attr-defined]  # as closing does
        await at.store._readers.drain()  # type: ignore[attr-defined]
        at.receiver.gates["a"].set()
        await until(lambda: at.receiver.under_way == 0)
        for _ in range(3):
            clock.advance(10)
            for _ in range(20):
                await asyncio.sleep(0)

        # then
        assert at._task is not None
        assert not at._task.done()
        assert at.receiver.ids() == ["a"]


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


async def test_delivered_rows_are_forgotten_after_a_week_and_dead_ones_never(
    engine: Engine,
) -> None:
    tuning = SenderTuning(prune_rows=2)
    async with desk(engine, tuning=tuning) as at:
        at.receiver.scripts["dead"] = [REFUSE]
        await at.put("a/1", "a/2", "b/3", "b/dead")
        at.start()
        await at.quiet()

        await at.after(timedelta(days=7).total_seconds() - 1)
        assert len(await states(at)) == 4

        for _ in range(3):
            await at.after(601)
        assert await states(at) == {"dead": RowState.DEAD}


async def test_a_shared_store_is_refused() -> None:
    """Two senders would deliver the rows of one lane at once."""

    class Shared:
        sole_owner = False

    with pytest.raises(ValueError, match="claimed"):
        OutboxSender(Shared(), outbox, None, ManualClock(), {}, None)  # type: ignore[arg-type]  # refused before they matter


async def test_a_kill_loses_no_row_and_no_order(engine: Engine) -> None:
    # given a process that puts and delivers, and says what was acknowledged and what arrived
    command = [sys.executable, "-m", "tests.contract.chassis_store.outbox_storm", engine.url]
    with subprocess.Popen(  # noqa: ASYNC220  # nothing else runs on this loop meanwhile
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(400)]
        # when it is killed in the middle
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.read().splitlines(keepends=True)
    words = [each.split() for each in said if each.endswith("\n")]
    put_before = [name for verb, name in words if verb == "put"]
    arrived_before = [name for verb, name in words if verb == "arrived"]

    # and another one takes over
    async with desk(engine, clock=SystemClock()) as at:
        at.settle = lambda tx, row, answer: None  # type: ignore[method-assign]  # ids repeat
        at.start()
        await at.quiet()
        arrived = arrived_before + [f"{row.lane}/{row.id}" for row in at.receiver.rows]

    # then every acknowledged row has arrived, each lane in its order, repeats only at the seam
    assert len(put_before) > 50
    assert set(put_before) <= set(arrived)
    for lane in {name.partition("/")[0] for name in arrived}:
        numbers = [int(name.partition("/")[2]) for name in arrived if name.startswith(f"{lane}/")]
        first_arrivals = list(dict.fromkeys(numbers))
        assert first_arrivals == list(range(len(first_arrivals)))
        assert len(numbers) - len(first_arrivals) <= 1
