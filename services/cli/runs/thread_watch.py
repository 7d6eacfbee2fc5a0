"""``runyard watch thread``: the events of every run of a thread."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from runyard.runcontrol.v1 import runcontrol_service_pb2 as rpc
from runyard.runcontrol.v1.runcontrol_pb2 import Event
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock, SystemClock
from services.cli.base.terminal import Terminal
from services.cli.runs.long_streams import through_outages
from services.cli.runs.quiet import Quiet
from services.cli.runs.showing import shown
from services.cli.runs.view import RunView
from services.cli.talk.clients import Clients
from services.cli.talk.outage import Outage


@dataclass
class ThreadWatch:
    """One thread, from a cursor on, across reconnects and restarts of run control.

    Attributes:
        cursor: Behind the newest event given.
        on_outage: Called once per outage of the server.
    """

    stubs: Clients
    thread_id: str
    cursor: bytes = b""
    clock: Clock = field(default_factory=SystemClock)
    on_outage: Callable[[], None] = lambda: None

    async def events(self) -> AsyncGenerator[Event]:
        """Every event once and in order; has no end of its own.

        Raises:
            CliError: The server refuses, or was not there when this began.
        """
        stream = through_outages(self.stubs, self._once, self.clock, self.on_outage)
        async with aclosing(stream) as events:
            async for event in events:
                yield event

    async def _once(self, away: Outage) -> AsyncGenerator[Event]:
        """The events of one stream, which a stopping server ends with OK."""
        request = rpc.SubscribeThreadRequest(thread_id=self.thread_id, after=self.cursor)
        async with streaming(self.stubs.runcontrol.SubscribeThread(request)) as call:
            async for response in call:
                away.over()
                for item in response.items:
                    self.cursor = item.cursor
                    if item.HasField("event"):
                        yield item.event


@dataclass
class ThreadView:
    """Shows the runs of a thread; a line names each before its first event."""

    terminal: Terminal
    verbose: bool
    _views: dict[str, RunView] = field(default_factory=dict)

    def show(self, event: Event) -> None:
        if event.run_id not in self._views:
            self.release()
            self.terminal.line("run ", (event.run_id, "bold"))
            quiet = None if self.verbose else Quiet()
            self._views[event.run_id] = RunView(self.terminal, quiet=quiet)
        self._views[event.run_id].show(event)

    @property
    def holds(self) -> bool:
        return any(view.holds for view in self._views.values())

    def release(self) -> None:
        for view in self._views.values():
            view.release()


async def show_thread(watch: ThreadWatch, terminal: Terminal, *, verbose: bool = False) -> None:
    """Show the runs of a thread, one after the other, until it is interrupted.

    Args:
        verbose: Every event that has a line, not only what tells a person something.
    """
    watch.on_outage = lambda: terminal.line(
        ("run control is away, trying again until it is back", "yellow")
    )
    try:
        async with aclosing(watch.events()) as events:
            async for _ in shown(events, ThreadView(terminal, verbose), watch.clock):
                pass
    finally:
        if watch.cursor:
            cursor = base64.urlsafe_b64encode(watch.cursor).decode()
            terminal.line("the thread can be followed further with:")
            terminal.copyable(f"  runyard watch thread {watch.thread_id} --after {cursor}")
            terminal.data({"cursor": cursor})
