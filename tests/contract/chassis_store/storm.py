"""A process that owns a store and writes until it is killed.

    python -m tests.contract.chassis_store.storm URL WRITERS

Says ``ready`` once it owns the store, then the id of each row whose write was acknowledged. Each
row takes two statements, so that half of one could be seen.
"""

from __future__ import annotations

import asyncio
import os
import sys

from services.chassis.store.port import Store, Tx
from tests.contract.chassis_store.engines import engine_of
from tests.contract.chassis_store.schema import ADD, DEPOSIT


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def writer(store: Store, name: int) -> None:
    number = 0
    while True:
        id_ = f"{name}-{number}"

        def both(tx: Tx, id_: str = id_) -> None:
            tx.run(ADD, id=id_, balance=0)
            tx.run(DEPOSIT, id=id_, amount=1)

        await store.write(both)
        say(id_)
        number += 1


async def main(url: str, writers: int) -> None:
    async with engine_of(url).open() as store:
        say("ready")
        await asyncio.gather(*(writer(store, name) for name in range(writers)))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
