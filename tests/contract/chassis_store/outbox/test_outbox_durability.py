"""The outbox over time: stops, outages, kills, and rows that nobody needs any more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from services.chassis.clock import SystemClock
from services.chassis.outbox import (
    RowState,
    SenderTuning,
)
from tests.contract.chassis_store.engines import Engine, Gate, balance, sqlite_engine
from tests.contract.chassis_store.outbox.desk import REFUSE, desk, states
from tests.contract.chassis_store.schema import ADD, DEPOSIT
from tests.support.turns import until

_ROOT = Path(__file__).parents[4]


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
    tmp_path: Path,
) -> None:
    """A stopped sender's last write still commits, after its successor has looked."""
    async with desk(sqlite_engine(tmp_path)) as at:
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
    async with desk(engine) as at:
        at.receiver.scripts["b"] = [OSError()]
        at.receiver.gates["a"] = asyncio.Event()
        await at.put("lane/a", "other/b")
        at.start()
        await at.quiet()

        # when the store is away, a delivery ends, and the sender looks for more
        at.view.away = True
        at.receiver.gates["a"].set()
        for _ in range(3):
            await at.after(10)
        assert at.receiver.ids() == ["a", "b"]

        # then it goes on where it was as soon as the store is back
        at.view.away = False
        for _ in range(6):
            await at.after(10)
        assert await at.answers() == ["a: answer to a", "b: answer to b"]


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


async def test_a_kill_loses_no_row_and_no_order(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    # given a process that puts and delivers, and says what was acknowledged and what arrived
    command = [sys.executable, "-m", "tests.contract.chassis_store.outbox.storm", engine.url]
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
