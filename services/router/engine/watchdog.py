"""The clocks of all calls: one loop looks after every read that is waiting for a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from services.chassis.clock import Clock

# How late a clock may go off. Cheap at any number of calls: nothing is scheduled per read.
TICK_S = 0.1

T = TypeVar("T")


class Watchdog:
    """Interrupts what takes too long, by the injected clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[asyncio.Timeout, float] = {}
        self._some = asyncio.Event()

    async def run(self) -> None:
        """Look after the waits, for ever; costs nothing while there are none."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            await self._clock.sleep(TICK_S)
            now_s = self._clock.monotonic_s()
            for timer in [t for t, due_s in self._waiting.items() if due_s <= now_s]:
                del self._waiting[timer]
                timer.reschedule(loop.time())
            if not self._waiting:
                self._some.clear()

    async def within(self, due_s: float, work: Awaitable[T]) -> T:
        """Await ``work``, but not beyond ``due_s`` of the clock's ``monotonic_s``.

        Raises:
            TimeoutError: It took too long; it was cancelled and has ended.
        """
        async with asyncio.timeout(None) as timer:
            self._waiting[timer] = due_s
            self._some.set()
            try:
                return await work
            finally:
                self._waiting.pop(timer, None)
