"""A process that is killed by a failpoint of the outbox, in the middle of a story.

    python -m tests.contract.chassis_store.outbox.dying URL FAILPOINT

Says ``arrived lane/id`` when its receiver has a row.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from services.chassis import failpoints
from services.chassis.outbox import OutboxRow
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.desk import Desk, count_settle, desk
from tests.contract.chassis_store.outbox.story import TUNING, happens, put_all
from tests.contract.chassis_store.storm import say
from tests.support.clock import ManualClock


async def main(url: str, name: str) -> None:
    engine = Engine(url.partition(":")[0], url)
    clock = ManualClock(datetime.now(UTC))
    async with desk(engine, clock=clock, tuning=TUNING) as at:
        at.settle = count_settle  # type: ignore[method-assign]  # counts
        deliver = at.receiver.deliver

        async def tells(row: OutboxRow) -> bytes:
            say(f"arrived {row.lane}/{row.id}")
            return await deliver(row)

        at.receiver.deliver = tells  # type: ignore[method-assign]  # tells its parent
        putter = Desk(at.store, at.notifier, at.clock, TUNING)
        await put_all(putter)
        failpoints.arm(f"{name}=kill")
        await happens(at, putter)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
