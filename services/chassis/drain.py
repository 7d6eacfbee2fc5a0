"""The moment from which a server only finishes what it has, and the signals that ask for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence


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


def stop_signals() -> Sequence[signal.Signals]:
    """The signals that ask this process to stop.

    SIGHUP says that the terminal is gone. Under ``nohup`` the process is to go on without one.
    """
    hung_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hung_up else []))


def insists(number: signal.Signals) -> bool:
    """Whether this signal asks for haste if it is not the first.

    When a terminal is closed, its shell and the system may both send SIGHUP.
    """
    return number != signal.SIGHUP
