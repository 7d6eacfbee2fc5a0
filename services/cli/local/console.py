"""What a command that runs servers shows of them, and the signals that stop it."""

from __future__ import annotations

import asyncio
import signal

from services.chassis.drain import insists, stop_signals
from services.cli.base.terminal import Terminal
from services.cli.local.supervisor import ChildEvent, Supervisor

COLOURS = {
    "registry": "green",
    "router": "magenta",
    "runcontrol": "cyan",
    "pool": "yellow",
    "worker": "blue",
}


class EventPrinter:
    """Prints what happens to children: their logs prefixed, their restarts in bold."""

    def __init__(self, terminal: Terminal, *, logs: bool = True) -> None:
        self._terminal = terminal
        self._logs = logs

    def __call__(self, event: ChildEvent, service: str, text: str) -> None:
        if event is ChildEvent.LOG and not self._logs:
            return
        gutter = (f"{service:<10} │ ", COLOURS[service])
        shown = text if event is ChildEvent.LOG else (text, "bold yellow")
        self._terminal.line(shown, lead=[gutter])
        self._terminal.data({"event": event.value, "service": service, "text": text})

    def say(self, word: str) -> None:
        self._terminal.line((f"{'runyard':<10} │ ", "bold"), (word, "bold"))
        self._terminal.data({"event": word})


class StopSignals:
    """The first signal that stops asks to stop, or ends a start; the next skips the grace."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self._supervisor: Supervisor | None = None
        self._starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            loop.add_signal_handler(number, self._signalled, number)

    def serves(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def _signalled(self, number: signal.Signals) -> None:
        again = self.requested.is_set()
        if again and not insists(number):
            return
        self.requested.set()
        if self._supervisor is None:
            if self._starting and not again:
                self._starting.cancel()
        elif again:
            self._supervisor.skip_grace()
