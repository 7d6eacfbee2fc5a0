"""Notifications: hints that new items may be there to read; they carry no data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from services.chassis.clock import Clock, SystemClock


class Signal(Protocol):
    def notify(self) -> None:
        """Wake the current or else the next wait. Call it on the event loop."""

    async def wait(self, timeout_s: float) -> bool:
        """Return True once the channel is notified, or False after ``timeout_s``.

        A notification between two waits ends the second one at once. A cancelled wait consumes no
        notification. Only one task may wait at a time.
        """


class Notifier(Protocol):
    def notify(self, channel: str) -> None:
        """Notify every signal of ``channel``. Call it on the event loop."""

    def notify_all(self) -> None:
        """Notify every signal, for when notifications may have been lost."""

    def channels(self) -> list[str]:
        """Return the channels that have a signal."""

    def signal(self, channel: str) -> AbstractContextManager[Signal]:
        """Open a signal that receives the notifications of ``channel`` during the context."""


class LocalSignal:
    __slots__ = ("_clock", "_notified", "_waiter")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._notified = False
        self._waiter: asyncio.Future[None] | None = None

    def notify(self) -> None:
        self._notified = True
        if self._waiter is not None:
            _release(self._waiter)

    async def wait(self, timeout_s: float) -> bool:
        if not self._notified and timeout_s > 0:
            await self._wait_once(timeout_s)
        # Cleared only here, so that a cancelled wait leaves the notification to the next one.
        notified, self._notified = self._notified, False
        return notified

    async def _wait_once(self, timeout_s: float) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        timer = asyncio.ensure_future(self._clock.sleep(timeout_s))
        timer.add_done_callback(lambda _: _release(waiter))
        try:
            await waiter
        finally:
            if self._waiter is waiter:  # a cancelled wait may end after the next has begun
                self._waiter = None
            timer.cancel()


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class LocalNotifier:
    """The notifier within one process. Not thread-safe: call it on the event loop only."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._signals: dict[str, set[LocalSignal]] = {}

    def notify(self, channel: str) -> None:
        for signal in self._signals.get(channel, ()):
            signal.notify()

    def notify_all(self) -> None:
        for channel in self.channels():
            self.notify(channel)

    def channels(self) -> list[str]:
        return list(self._signals)

    @contextmanager
    def signal(self, channel: str) -> Iterator[Signal]:
        signal = LocalSignal(self._clock)
        self._signals.setdefault(channel, set()).add(signal)
        try:
            yield signal
        finally:
            self._signals[channel].discard(signal)
            if not self._signals[channel]:
                del self._signals[channel]
