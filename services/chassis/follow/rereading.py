"""Reading again what the store did not answer, so that a stream outlives a short failure.

The readers of a stream share their reads, so one failed read would end all of their streams at
once, and all of them would come back together. Who asks once is told of the failure instead.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from services.chassis.clock import Clock
from services.chassis.errors import Retry, StoreUnavailableError
from services.chassis.observe.metrics import Counter
from services.chassis.observe.names import FEED_REREADS

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
# Two heartbeats: a reader that misses three of them may take the stream for dead.
PATIENCE_S = 20.0

REREADS = Counter(FEED_REREADS, "{read}", "Failed reads of streams that were repeated.")


class DrainSignal(Protocol):
    """The part of ``drain.Drain`` that the readers of a stream need."""

    @property
    def started(self) -> bool: ...

    async def wait(self) -> None: ...


async def read_again(read: Callable[[], Awaitable[T]], clock: Clock, drain: DrainSignal) -> T:
    """Return the result of ``read``, which is repeated after a pause while the store fails.

    Raises:
        StoreUnavailableError: It has failed for 20 s, the server drains, or a repeat cannot help.
    """
    pause_s = FIRST_PAUSE_S
    stop_s = clock.monotonic_s() + PATIENCE_S
    while True:
        try:
            return await read()
        except StoreUnavailableError as error:
            is_hopeless = error.retry is not Retry.RETRYABLE
            if is_hopeless or drain.started or clock.monotonic_s() >= stop_s:
                raise
        REREADS.add(1)
        # Streams that shared the failed read must not all read at the same moment.
        await _pause(random.uniform(pause_s / 2, pause_s), clock, drain)  # noqa: S311  # no secret
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def _pause(pause_s: float, clock: Clock, drain: DrainSignal) -> None:
    """Wait for ``pause_s``, or until the server drains."""
    ends: list[asyncio.Future[None]] = [
        asyncio.ensure_future(clock.sleep(pause_s)),
        asyncio.ensure_future(drain.wait()),
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
