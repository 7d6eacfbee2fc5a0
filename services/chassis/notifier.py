"""Wake-ups: a hint that something may be there to read, never the thing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from services.chassis.clock import Clock, SystemClock


class Bell(Protocol):
    def ring(self) -> None:
        """Wake whoever waits for this bell, or will next; on the event loop."""

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as the channel was rung since the last wait, False after ``timeout_s``.

        A ring between two waits is answered by the second one at once; a cancelled wait takes no
        ring with it. One waiter at a time.
        """


class Notifier(Protocol):
    def ring(self, channel: str) -> None:
        """Wake every bell of ``channel``; called on the event loop."""

    def ring_all(self) -> None:
        """Wake every bell there is: rings may have been lost."""

    def heard(self) -> list[str]:
        """The channels that have a bell."""

    def bell(self, channel: str) -> AbstractContextManager[Bell]:
        """A bell that hears ``channel`` from the first moment inside the context to its end."""


class LocalBell:
    __slots__ = ("_clock", "_rung", "_waiter")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        self._rung = True
        if self._waiter is not None:
            _release(self._waiter)

    async def wait(self, timeout_s: float) -> bool:
        if not self._rung and timeout_s > 0:
            await self._rung_or_late(timeout_s)
        # Cleared only on the way out: a cancelled wait leaves the ring to the next one.
        rung, self._rung = self._rung, False
        return rung

    async def _rung_or_late(self, timeout_s: float) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        late = asyncio.ensure_future(self._clock.sleep(timeout_s))
        late.add_done_callback(lambda _: _release(waiter))
        try:
            await waiter
        finally:
            if self._waiter is waiter:  # a cancelled wait may end after the next has begun
                self._waiter = None
            late.cancel()


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class LocalNotifier:
    """The notifier of a process that owns its database; not thread-safe, it lives on the loop."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._bells: dict[str, set[LocalBell]] = {}

    def ring(self, channel: str) -> None:
        for bell in self._bells.get(channel, ()):
            bell.ring()

    def ring_all(self) -> None:
        for channel in self.heard():
            self.ring(channel)

    def heard(self) -> list[str]:
        return list(self._bells)

    @contextmanager
    def bell(self, channel: str) -> Iterator[Bell]:
        bell = LocalBell(self._clock)
        self._bells.setdefault(channel, set()).add(bell)
        try:
            yield bell
        finally:
            self._bells[channel].discard(bell)
            if not self._bells[channel]:
                del self._bells[channel]
