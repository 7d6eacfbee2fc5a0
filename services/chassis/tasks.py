"""Loops that a process owns: each has a name, a crash is logged, none outlives the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context

from services.chassis.clock import Clock
from services.chassis.errors import DomainError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0

log = logging.getLogger(__name__)


class Tasks:
    """Owner of background loops."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()

    def start(self, name: str, fn: Callable[[], Awaitable[None]]) -> None:
        """Run ``fn`` until it returns; after a crash again, with a growing pause.

        It runs in an empty context: neither the call that happened to start it nor that call's
        deadline or span belong to it.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._supervise(name, fn), name=name, context=Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Cancel every loop and return when all have ended, those that a dying one starts too."""
        while running := [task for task in self._running if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _supervise(self, name: str, fn: Callable[[], Awaitable[None]]) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await fn()
            except Exception as error:
                if self._clock.monotonic_s() - started_s > LONGEST_PAUSE_S:
                    pause_s = FIRST_PAUSE_S
                _tell(name, error, pause_s)
            else:
                return
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _tell(name: str, error: Exception, pause_s: float) -> None:
    facts = {"loop": name, "restart_in_s": pause_s}
    if isinstance(error, DomainError):  # foreseen, as a database that is away: it is no defect
        log.warning("loop interrupted", extra={**facts, "cause": error.reason})
    else:
        log.error("loop crashed", exc_info=error, extra=facts)
