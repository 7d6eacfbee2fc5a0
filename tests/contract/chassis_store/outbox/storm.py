"""A process that puts rows into five lanes and delivers them until it is killed.

    python -m tests.contract.chassis_store.outbox.storm URL

Says ``put lane/number`` after a commit and ``arrived lane/number`` when its receiver has it.
"""

from __future__ import annotations

import asyncio
import sys

from services.chassis.clock import SystemClock
from services.chassis.outbox import OutboxRow
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.desk import Desk, desk
from tests.contract.chassis_store.storm import say


async def putter(at: Desk, lane: str) -> None:
    number = 0
    while True:
        await at.put(f"{lane}/{number}")
        say(f"put {lane}/{number}")
        number += 1


async def main(url: str) -> None:
    async with desk(Engine("sqlite", url), clock=SystemClock()) as at:

        async def deliver(row: OutboxRow) -> bytes:
            say(f"arrived {row.lane}/{row.id}")
            await asyncio.sleep(0)
            return b""

        at.receiver.deliver = deliver  # type: ignore[method-assign]  # tells its parent
        at.settle = lambda tx, row, answer: None  # type: ignore[method-assign]
        at.start()
        await asyncio.gather(*(putter(at, lane) for lane in "abcde"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
