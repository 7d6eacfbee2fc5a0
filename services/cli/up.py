"""``runyard up``: the whole suite in one terminal."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.command import run
from services.cli.endpoints import VARIABLE
from services.cli.options import DEFAULT_DATA, DataOption, OutputOption
from services.cli.plan import PORT_BASE, SERVICES, Plan, make_plan
from services.cli.supervisor import ChildEvent, Supervisor, unless_failed
from services.cli.terminal import Output, Terminal

if TYPE_CHECKING:
    from services.cli.stack import Stack

COLOURS = {"registry": "green", "router": "magenta", "runcontrol": "cyan", "pool": "yellow"}

PortBaseOption = Annotated[
    int,
    typer.Option(
        "--port-base",
        min=0,
        max=65_000,
        help="Port of the span receiver; the four servers follow. 0 picks free ports.",
    ),
]


def up(
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = PORT_BASE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run all four servers on this machine, with a receiver for traces, until Ctrl-C.

    A server that dies is started again; one that refuses its settings ends the command with
    code 2. Ctrl-C or SIGTERM drains; a second one gives the drain no more time.

    Example: runyard up --data ./.runyard
    """
    run(output, lambda terminal: _up(make_plan(data, port_base), terminal))


async def _up(plan: Plan, terminal: Terminal) -> None:
    # Not with the other imports: every server is a `runyard serve`, and needs no HTTP server.
    from services.cli.stack import running_stack  # noqa: PLC0415

    telling = Telling(terminal)
    started_s = time.monotonic()
    signals = StopSignals()
    async with running_stack(plan, telling) as stack:
        signals.serves(stack.supervisor)
        tell_ready(stack, terminal, time.monotonic() - started_s)
        await unless_failed(stack.supervisor, signals.requested.wait())
        telling.say("draining")
    telling.say("stopped")


class Telling:
    """Prints what happens to children: their logs prefixed, their restarts in bold."""

    def __init__(self, terminal: Terminal, *, logs: bool = True) -> None:
        self._terminal = terminal
        self._logs = logs

    def __call__(self, event: ChildEvent, service: str, text: str) -> None:
        if event is ChildEvent.LOG and not self._logs:
            return
        prefix = (f"{service:<10} │ ", COLOURS[service])
        self._terminal.line(prefix, text if event is ChildEvent.LOG else (text, "bold yellow"))
        self._terminal.data({"event": event.value, "service": service, "text": text})

    def say(self, word: str) -> None:
        self._terminal.line((f"{'runyard':<10} │ ", "bold"), (word, "bold"))
        self._terminal.data({"event": word})


class StopSignals:
    """The first SIGINT or SIGTERM asks to stop, or ends a start; the next hurries the drain."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self._supervisor: Supervisor | None = None
        self._starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)

    def serves(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def _signalled(self) -> None:
        again = self.requested.is_set()
        self.requested.set()
        if self._supervisor is None:
            if self._starting and not again:
                self._starting.cancel()
        elif again:
            self._supervisor.hurry()


def tell_ready(stack: Stack, terminal: Terminal, took_s: float) -> None:
    plan = stack.plan
    pids = {name: child.pid for name, child in stack.supervisor.children.items()}
    ready = (f"runyard is ready after {took_s:.1f} s", "bold green")
    terminal.line(ready, f", data in {plan.data}")
    for service in SERVICES:
        name = (f"{service:<11}", COLOURS[service])
        terminal.line("  ", name, plan.target(service), (f"  pid {pids[service]}", "dim"))
    terminal.line("  traces     ", f"{plan.otlp_endpoint} (OTLP/HTTP), see: runyard trace ID")
    if plan.receiver_port != PORT_BASE:
        terminal.line("in another terminal: ", (f"export {VARIABLE}={plan.endpoints}", "bold"))
    terminal.line("Ctrl-C drains and stops")
    terminal.data(
        {
            "event": "ready",
            "endpoints": {service: plan.target(service) for service in SERVICES},
            "otlp_endpoint": plan.otlp_endpoint,
            "pids": pids,
            "data": str(plan.data),
            "took_s": round(took_s, 3),
        }
    )
