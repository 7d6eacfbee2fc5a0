"""Writes that overtake those that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from services.chassis.store.port import Tx
from tests.contract.chassis_store.engines import Engine, add, ids


async def test_a_write_that_goes_first_overtakes_those_that_wait(engine: Engine) -> None:
    # given as many writes as there may be at a time, which are held, and 300 that wait for them
    begun: list[str] = []
    held, going = threading.Event(), threading.Semaphore(0)

    def hold(_tx: Tx) -> None:
        going.release()
        held.wait(60)

    def adding(name: str) -> Callable[[Tx], None]:
        def closure(tx: Tx) -> None:
            begun.append(name)
            add(name)(tx)

        return closure

    async with engine.open() as store:
        holding = [asyncio.ensure_future(store.write(hold)) for _ in range(64)]
        assert await asyncio.to_thread(going.acquire, timeout=60)
        queued = [asyncio.ensure_future(store.write(adding(f"w{n}"))) for n in range(300)]
        await asyncio.sleep(0)

        # when another is to go first
        overtaking = asyncio.ensure_future(store.write_first(adding("first")))
        await asyncio.sleep(0)
        held.set()
        await asyncio.gather(*holding, *queued, overtaking)

        # then it begins before them, but for one per thread, and none is lost
        assert begun.index("first") < 16
        assert len(await ids(store)) == 301
