"""Waiting for a condition or an event; the time limit is that of a machine that is busy.

await until(lambda: consumer.version == 3)
async with within_limit():
    await entered.wait()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# What is awaited takes milliseconds, on a machine that does ten other things a few seconds.
LIMIT_S = 30.0


async def until(condition: Callable[[], bool], each_turn: Callable[[], object] = int) -> None:
    """Turn the loop until ``condition`` holds; a test that waits in vain hits its time limit."""
    while not condition():
        each_turn()
        await asyncio.sleep(0)


def within_limit() -> asyncio.Timeout:
    """``async with`` it: raise TimeoutError in the block after ``LIMIT_S``."""
    return asyncio.timeout(LIMIT_S)
