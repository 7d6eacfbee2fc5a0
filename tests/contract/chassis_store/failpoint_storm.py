"""A process that owns a store, writes, rings and follows until a failpoint kills it.

    python -m tests.contract.chassis_store.failpoint_storm ENGINE URL FAILPOINTS

Says the id of each row whose write was acknowledged, as ``storm`` does.
"""

from __future__ import annotations

import asyncio
import sys

from services.chassis import failpoints
from services.chassis.notifier import LocalNotifier
from services.chassis.store.port import Store, Tx
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.schema import ADD, DEPOSIT
from tests.contract.chassis_store.storm import say

WRITERS = 8


async def writer(store: Store, name: int) -> None:
    number = 0
    while True:
        id_ = f"{name}-{number}"

        def both(tx: Tx, id_: str = id_) -> None:
            tx.run(ADD, id=id_, balance=0)
            tx.run(DEPOSIT, id=id_, amount=1)
            tx.ring("storm")

        await store.write(both)
        say(id_)
        number += 1


async def main(engine: str, url: str, spec: str) -> None:
    failpoints.arm(spec)
    async with Engine(engine, url).open(notifier=LocalNotifier()) as store:
        await asyncio.gather(*(writer(store, name) for name in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
