"""When the garbage collector looks at everything, for which it stops every thread.

By itself it does so again and again while a large request makes objects, and each time takes as
long as there are objects: half a second of a million. Here it does so less often, and leaves out
what the process has made at its start. Young objects are looked at less often too: what a call
makes is freed when it ends, and a tenth of its CPU went into looking for more.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.chassis.clock import Clock
from services.chassis.slices import busy

# New objects before the young ones are looked at, and how many times before those that stayed are.
YOUNG = 10_000
MIDDLE = 20

CHECK_S = 1.0
# While a large request is judged.
LONGEST_WAIT_S = 60.0
# A collection takes one part of so many of the time.
REST = 200
# Looks at those that stayed since the last look at everything; as the collector itself has it.
_LEAST_DUE = 10
_NEVER = 1 << 30


def due(young: int, since_s: float, took_s: float, judging: bool) -> bool:
    """Whether to look at everything.

    Args:
        young: Collections of the middle generation since the last time.
        since_s: The time since then.
        took_s: How long it took then.
        judging: A large request is judged.
    """
    rest_s = max(took_s * REST, LONGEST_WAIT_S if judging else 0.0)
    return young >= _LEAST_DUE and since_s >= rest_s


async def collect(clock: Clock, judging: Callable[[], bool] = busy) -> None:
    """Look at everything whenever that is due."""
    last_s, took_s = clock.monotonic_s(), 0.0
    while True:
        await clock.sleep(CHECK_S)
        since_s = clock.monotonic_s() - last_s
        if due(gc.get_count()[2], since_s, took_s, judging()):
            began_s = time.perf_counter()
            gc.collect()
            took_s = time.perf_counter() - began_s
            last_s = clock.monotonic_s()


def leave_out_what_there_is() -> None:
    """What a process has made at its start stays as long as the process."""
    gc.freeze()


@asynccontextmanager
async def collecting(clock: Clock) -> AsyncIterator[None]:
    """For the length of the block. What is left after it ends with the process."""
    gc.set_threshold(YOUNG, MIDDLE, _NEVER)
    task = asyncio.create_task(collect(clock))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        gc.freeze()
