"""Waiting for something that the loop is about to do, without waiting for time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], each_turn: Callable[[], object] = int) -> None:
    """Turn the loop until ``condition`` holds; a test that waits in vain hits its time limit."""
    while not condition():
        each_turn()
        await asyncio.sleep(0)
