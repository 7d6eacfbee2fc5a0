"""Committing the events of a model's stream while it streams, at a bounded rate of commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from services.chassis.clock import Clock
from services.runcontrol.core.events import Kind, ReasoningDelta, StepReset, TextDelta
from services.runcontrol.core.inference import coalesce

T = TypeVar("T")

# The first event is committed at once; those that follow within this time share a commit.
WINDOW_S = 0.02


class DeltaWriter:
    """Buffers events and commits them in order.

    Attributes:
        covers: Run sequences of the first and the last delta since the last reset; (0, 0) = none.
    """

    def __init__(self, write: Callable[[tuple[Kind, ...]], Awaitable[int]], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._pending: list[Kind] = []
        self._due_s = clock.monotonic_s()
        self.covers = (0, 0)

    def add(self, kind: Kind) -> None:
        self._pending.append(kind)

    @property
    def empty(self) -> bool:
        return not self._pending

    @property
    def due_in_s(self) -> float:
        """Seconds until the next commit may begin; 0 or less when it may begin now."""
        return self._due_s - self._clock.monotonic_s()

    async def flush(self) -> None:
        """Commit the buffered events, adjacent deltas joined."""
        kinds, self._pending = coalesce(self._pending), []
        if not kinds:
            return
        newest = await self._write(kinds)
        self._due_s = self._clock.monotonic_s() + WINDOW_S
        for seq, kind in enumerate(kinds, start=newest - len(kinds) + 1):
            if isinstance(kind, StepReset):
                self.covers = (0, 0)
            elif isinstance(kind, TextDelta | ReasoningDelta):
                self.covers = (self.covers[0] or seq, seq)


async def paced(
    batches: AsyncGenerator[Sequence[T], None], writer: DeltaWriter, clock: Clock
) -> AsyncGenerator[Sequence[T], None]:
    """Yield ``batches``, and let ``writer`` commit between them and while no batch arrives.

    At most one batch is read ahead while events are committed: a slow database slows the reading
    of the model's stream down instead of filling memory.
    """
    coming = asyncio.ensure_future(anext(batches, None))
    try:
        while True:
            if not writer.empty and not await done_within(coming, clock, writer.due_in_s):
                await writer.flush()
                continue
            batch = await coming
            if batch is None:
                return
            coming = asyncio.ensure_future(anext(batches, None))
            yield batch
            if writer.due_in_s <= 0:
                await writer.flush()
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def done_within(future: asyncio.Future[T], clock: Clock, delay_s: float) -> bool:
    """Wait up to ``delay_s`` for ``future``; return whether it is done. Does not cancel it."""
    if future.done() or delay_s <= 0:
        return future.done()
    timer = asyncio.ensure_future(clock.sleep(delay_s))
    waits: set[asyncio.Future[Any]] = {future, timer}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return future.done()
    finally:
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
