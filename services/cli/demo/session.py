"""The demo from four starting servers to the trace, and the commands to look at it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from services.chassis.observe import telemetry
from services.cli.base.exits import EXIT_FAILED, EXIT_USAGE, CliError
from services.cli.base.services import SERVICES
from services.cli.base.terminal import Terminal
from services.cli.demo.manifests import RealModel
from services.cli.local.console import EventPrinter, StopSignals
from services.cli.local.plan import Plan
from services.cli.local.supervisor import unless_failed
from services.cli.manifests.resources import Manifests
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import VARIABLE

# A real model on a small machine takes its time.
REAL_STEP_TIMEOUT_S = 300.0


STEP_TIMEOUT_S = 20.0


async def run_demo(
    plan: Plan, manifests: Manifests, real: RealModel | None, terminal: Terminal, *, keep: bool
) -> None:
    # Imported late: every server is a `runyard serve`, which needs no HTTP server.
    from services.cli.local.stack import running_stack  # noqa: PLC0415

    started_s = time.monotonic()
    signals = StopSignals()
    terminal.line(f"starting {', '.join(SERVICES)} on SQLite in {plan.data}")
    try:
        async with running_stack(plan, EventPrinter(terminal, logs=False)) as stack:
            terminal.line(("all four serve", "bold green"), _since(started_s))
            if real is not None:
                _say_real(real, terminal)
            runs = await unless_failed(
                stack.supervisor, _run_steps(plan, manifests, real, terminal)
            )
            terminal.line(("everything worked", "bold green"), _since(started_s))
            _say_commands(plan, runs, terminal, keep=keep)
            if keep:
                signals.serves(stack.supervisor)
                await unless_failed(stack.supervisor, signals.requested.wait())
    except CliError as error:
        error.exit_code = EXIT_USAGE if error.exit_code == EXIT_USAGE else EXIT_FAILED
        error.hint = f"{error.hint}; the logs are in {plan.data}/logs".removeprefix("; ")
        raise


async def _run_steps(
    plan: Plan, manifests: Manifests, real: RealModel | None, terminal: Terminal
) -> dict[str, str]:
    """Run every step; answers the ids of the runs by agent."""
    from services.cli.demo.steps import DemoSteps  # noqa: PLC0415  # as above

    exporting = telemetry.setup("cli", plan.otlp_endpoint)
    try:
        async with connected({service: plan.target(service) for service in SERVICES}) as stubs:
            timeout_s = REAL_STEP_TIMEOUT_S if real else STEP_TIMEOUT_S
            steps = DemoSteps(terminal, stubs, manifests, plan.data, exporting.flush, timeout_s)
            await steps.run()
            return {agent: followed.run_id for agent, followed in steps.runs.items()}
    finally:
        await asyncio.to_thread(exporting.shutdown)


def _say_real(real: RealModel, terminal: Terminal) -> None:
    terminal.line(
        "the narrator's story comes from ",
        (real.model, "bold"),
        f" at {real.base_url}: it is the member of its pool that takes over.",
    )
    terminal.line(
        "scout and analyst stay on scripted models: a small model does not choose tools reliably."
    )


def _say_commands(plan: Plan, runs: Mapping[str, str], terminal: Terminal, *, keep: bool) -> None:
    first = (
        (f"export {VARIABLE}={plan.endpoints}", "in another terminal; Ctrl-C here stops all")
        if keep
        else (f"runyard up --data {plan.data}", "in a terminal of its own")
    )
    commands = [
        first,
        (f"runyard watch run {runs['narrator']}", "the first run again, from its log"),
        (f"runyard trace {runs['scout']} --data {plan.data}", "its trace again"),
        ('runyard infer narration "Once more."', "the failover, explained"),
        ('runyard run analyst "Help." --pool harbour --no-follow', "sleeps until somebody asks"),
        ('runyard run scout "Who leaves tonight?" --pool harbour', "asks for a decision"),
        ("runyard tickets", "what waits for one, from another terminal"),
        ("runyard decide TICKET approve", "or deny, and see what the scout makes of it"),
    ]
    terminal.line()
    terminal.line(("Look at each piece:", "bold"))
    for command, what in commands:
        terminal.copyable("  ", (command, "cyan"))
        terminal.line(("      ", ""), (what, "dim"))
    terminal.line((f"logs: {plan.data}/logs", "dim"))
    terminal.data({"data": str(plan.data), "endpoints": plan.endpoints, "runs": dict(runs)})


def _since(started_s: float) -> str:
    return f" after {time.monotonic() - started_s:.1f} s"
