"""Loops that run for the length of a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def running(loop: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run ``loop``; on the way out it must still run, and is cancelled."""
    task = asyncio.get_running_loop().create_task(loop)
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
