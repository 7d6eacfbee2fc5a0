"""What the SQL store tells whoever waits, and in which order."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from services.chassis.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.store.statement import statement
from services.pool.clients.runcontrol import encode_wake
from services.pool.core.events import EventFilter, Start
from services.pool.store.pool_store import SqlPoolStore
from services.pool.store.pool_tx import TIMERS
from services.pool.store.tables import MIGRATIONS, metadata, outbox
from tests.support.clock import ManualClock
from tests.support.pool_desk import PoolDesk, condition, draft, run, seconds

_OUTBOX = statement(select(outbox.c.id).order_by(outbox.c.lane, outbox.c.seq))
TO_B = EventFilter(kinds=("message.delivered",), recipient_run_ids=("run-b",))


async def test_a_timer_rings_and_wakes_leave_in_the_order_of_their_registration(
    tmp_path: Path,
) -> None:
    # given a pool, and somebody who listens for timers
    clock = ManualClock()
    notifier = LocalNotifier(clock)
    url = f"sqlite:///{tmp_path / 'pool.db'}"
    opened = open_store(
        url, metadata=metadata, migrations=MIGRATIONS, clock=clock, notifier=notifier
    )
    async with opened as store:
        desk = PoolDesk(SqlPoolStore(store, clock, encode_wake), clock)
        await desk.open()
        await desk.join("run-a")
        await desk.join("run-b")
        with notifier.bell(TIMERS) as bell:
            # when waits without a time-out, and then one with, are registered
            for number in range(9):
                await desk.suspend(condition("run-b", f"{9 - number}", TO_B, match_from=Start.NOW))
            rung_without = await bell.wait(0)
            await desk.suspend(condition("run-b", "0", TO_B, timeout=seconds(5)))
            rung = await bell.wait(0)

        # and one message ends all of them
        await desk.send(draft(run("run-b"), "1"))
        told = await store.read(lambda tx: [row.id for row in tx.all(_OUTBOX)])

    # then the timer has rung, and run control hears of them in order
    assert (rung_without, rung) == (False, True)
    assert told == [f"c-{number}" for number in range(9, -1, -1)]
