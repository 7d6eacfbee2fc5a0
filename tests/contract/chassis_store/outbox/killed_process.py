"""A process that puts rows and delivers them until it is killed.

    python -m tests.contract.chassis_store.outbox.killed_process URL [FAILPOINT]

With a failpoint, which kills it, it runs the scenario; else it fills five lanes without an end.
Says ``put lane/id`` after a commit without an end, and ``arrived lane/id`` when its receiver has a
row.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from services.chassis import failpoints
from services.chassis.clock import SystemClock
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox import scenario
from tests.contract.chassis_store.outbox.senders import Sender, count_answer, open_sender
from tests.contract.chassis_store.writing_process import say
from tests.support.clock import ManualClock


async def put_without_end(sender: Sender, lane: str) -> None:
    number = 0
    while True:
        await sender.put(f"{lane}/{number}")
        say(f"put {lane}/{number}")
        number += 1


async def main(url: str, failpoint: str = "") -> None:
    clock = ManualClock(datetime.now(UTC)) if failpoint else SystemClock()
    opened = open_sender(Engine(url), clock=clock, tuning=scenario.TUNING if failpoint else None)
    async with opened as sender:
        sender.settle = count_answer
        sender.receiver.on_arrival = lambda row: say(f"arrived {row.lane}/{row.id}")
        if failpoint:
            await scenario.put_all(sender)
            failpoints.arm(f"{failpoint}=kill")
            await scenario.run(sender, sender)
        sender.start()
        await asyncio.gather(*(put_without_end(sender, lane) for lane in "abcde"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
