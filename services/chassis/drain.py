"""The moment from which a server only finishes what it has."""

from __future__ import annotations

import asyncio


class Drain:
    """Tells long streams and claiming loops of one process that it is about to stop.

    A stream handler that sees it start sends its resume cursor and returns; a loop that claims work
    claims no more.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def started(self) -> bool:
        return self._event.is_set()

    def start(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Return once the drain has started."""
        await self._event.wait()
