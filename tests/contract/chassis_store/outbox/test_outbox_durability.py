"""The outbox over time: stops, outages, kills, and rows that nobody needs any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.chassis.clock import SystemClock
from services.chassis.outbox.sender import SenderTuning
from services.chassis.outbox.statements import RowState
from tests.contract.chassis_store.children import child, line, lines_until_killed
from tests.contract.chassis_store.engines import Engine, Gate, balance
from tests.contract.chassis_store.outbox.senders import REFUSE, Sender, open_sender
from tests.contract.chassis_store.schema import ADD, DEPOSIT
from tests.support.waiting import until


async def test_what_was_under_way_at_a_stop_is_delivered_by_the_next_run(sender: Sender) -> None:
    # given
    sender.receiver.gates["a"] = asyncio.Event()
    await sender.send("lane/a", "lane/b")
    assert sender.receiver.ids() == ["a"]

    # when
    await sender.stop()
    assert sender.receiver.under_way == 0
    sender.receiver.gates.clear()
    await sender.run()

    # then
    assert sender.receiver.ids() == ["a", "a", "b"]
    assert await sender.answers() == ["a: answer to a", "b: answer to b"]


async def test_an_answer_is_applied_once_even_when_its_row_was_sent_twice(sqlite_url: str) -> None:
    """A stopped sender's last write still commits, after its successor has looked."""
    async with open_sender(Engine(sqlite_url)) as sender:
        # given a sender that is stopped while the end of its row waits for another commit
        sender.settle = lambda tx, row, answer: tx.run(DEPOSIT, id="settled", amount=1)
        await sender.store.write(lambda tx: tx.run(ADD, id="settled", balance=0))
        sender.receiver.gates["a"] = asyncio.Event()
        await sender.send("lane/a", "lane/b")
        assert sender.receiver.ids() == ["a"]
        gate = Gate()
        held = await gate.held_by(sender.store)
        calls = sender.view.calls
        sender.receiver.gates["a"].set()
        await until(lambda: sender.view.calls > calls)
        await sender.stop()

        # when the next one sends the row again, and only then both ends are written
        sender.start()
        await until(lambda: sender.receiver.ids() == ["a", "a"])
        gate.opened.set()
        await held
        await sender.quiet()

        # then
        assert sender.receiver.ids() == ["a", "a", "b"]
        assert await balance(sender.store, "settled") == 2


async def test_a_sender_outlives_its_store(sender: Sender) -> None:
    """An outage of the database must not end a loop that nobody restarts."""
    sender.receiver.scripts["b"] = [OSError()]
    sender.receiver.gates["a"] = asyncio.Event()
    await sender.send("lane/a", "other/b")

    # when the store is away, a delivery ends, and the sender looks for more
    sender.view.away = True
    sender.receiver.gates["a"].set()
    for _ in range(3):
        await sender.after(10)
    assert sender.receiver.ids() == ["a", "b"]

    # then it goes on where it was as soon as the store is back
    sender.view.away = False
    for _ in range(6):
        await sender.after(10)
    assert await sender.answers() == ["a: answer to a", "b: answer to b"]


async def test_closed_rows_are_forgotten_after_a_week_and_open_ones_never(engine: Engine) -> None:
    async with open_sender(engine, tuning=SenderTuning(prune_rows=2)) as sender:
        # given rows of every state, more than one pass removes, and one that was refused later
        sender.receiver.scripts.update({id_: [REFUSE] for id_ in ("d1", "d2", "d3", "late")})
        sender.receiver.gates["open"] = asyncio.Event()
        await sender.send("a/1", "a/2", "b/3", "b/d1", "b/d2", "c/d3", "d/open")
        await sender.after(3_600)
        await sender.put("a/late")

        # when a week has almost passed, and then has
        await sender.after(timedelta(days=7).total_seconds() - 3_601)
        almost = await sender.states()
        for _ in range(3):
            await sender.after(601)

        # then the refused ones were evidence until then
        assert len(almost) == 8
        assert await sender.states() == {"late": RowState.DEAD, "open": RowState.PENDING}


async def test_a_kill_loses_no_row_and_no_order(sqlite_url: str) -> None:
    # given a process that puts and delivers, and says what was acknowledged and what arrived
    with child("outbox.killed_process", sqlite_url) as process:
        said = [line(process) for _ in range(400)]
        # when it is killed in the middle
        process.kill()
        said += lines_until_killed(process)
    words = [each.split() for each in said]
    put_before = [name for verb, name in words if verb == "put"]
    arrived_before = [name for verb, name in words if verb == "arrived"]

    # and another one takes over
    async with open_sender(Engine(sqlite_url), clock=SystemClock()) as sender:
        sender.settle = lambda tx, row, answer: None  # ids repeat
        await sender.run()
        arrived = arrived_before + [f"{row.lane}/{row.id}" for row in sender.receiver.rows]

    # then every acknowledged row has arrived, each lane in its order, repeats only at the seam
    assert len(put_before) > 50
    assert set(put_before) <= set(arrived)
    for lane in {name.partition("/")[0] for name in arrived}:
        numbers = [int(name.partition("/")[2]) for name in arrived if name.startswith(f"{lane}/")]
        first_arrivals = list(dict.fromkeys(numbers))
        assert first_arrivals == list(range(len(first_arrivals)))
        assert len(numbers) - len(first_arrivals) <= 1
