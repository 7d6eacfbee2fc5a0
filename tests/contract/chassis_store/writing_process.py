"""A process that owns a store and writes until it is killed, by a failpoint if it is told one.

    python -m tests.contract.chassis_store.writing_process URL WRITERS [FAILPOINTS]

Says ``ready`` once it owns the store, then the id of each row whose write was acknowledged. Each
row takes five statements, so that a part of one could be seen.
"""

from __future__ import annotations

import asyncio
import os
import sys

from services.chassis import failpoints
from services.chassis.store.port import Store
from tests.contract.chassis_store.engines import Engine, add_in_steps


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def writer(store: Store, name: int) -> None:
    number = 0
    while True:
        say(await store.write(add_in_steps(f"{name}-{number}")))
        number += 1


async def main(url: str, writers: str, spec: str = "") -> None:
    failpoints.arm(spec)
    async with Engine(url).open() as store:
        say("ready")
        await asyncio.gather(*(writer(store, name) for name in range(int(writers))))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
