"""``runyard demo``: the main job on this machine, from four starting servers to the trace."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.chassis import telemetry
from services.cli.clients import connected
from services.cli.command import run
from services.cli.endpoints import VARIABLE
from services.cli.exits import EXIT_FAILED, EXIT_USAGE, CliError
from services.cli.options import OutputOption
from services.cli.plan import SERVICES, Plan, make_plan
from services.cli.resources import Manifests, load, read_files
from services.cli.supervisor import unless_failed
from services.cli.terminal import Output, Terminal
from services.cli.up import StopSignals, Telling

QUICKSTART = Path(__file__).parent / "quickstart"
# A real model on a small machine takes its time.
REAL_STEP_TIMEOUT_S = 300.0
STEP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class RealModel:
    """An OpenAI-compatible endpoint that tells the narrator's story."""

    base_url: str
    model: str
    api_key_env: str


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Empty or new folder; a temporary one without it."
        ),
    ] = None,
    base_url: Annotated[
        str,
        typer.Option(
            "--base-url",
            metavar="URL",
            help="Let an OpenAI-compatible endpoint tell the story, http://127.0.0.1:8000/v1.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="Its model; needed with --base-url.")
    ] = "",
    api_key_env: Annotated[
        str,
        typer.Option(
            "--api-key-env", metavar="VAR", help="Environment variable that holds its key, if any."
        ),
    ] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the main job: failover, approval, wake and trace, in less than half a minute.

    Starts four servers on free ports with a fresh data folder, and drains them at the end. Needs
    no key and no network; with --base-url and --model a real model tells the story.

    Example: runyard demo --keep
    """

    async def work(terminal: Terminal) -> None:
        real = _real_model(base_url, model, api_key_env)
        await _demo(make_plan(_fresh(data), 0), quickstart(real), real, terminal, keep=keep)

    run(output, work)


async def _demo(
    plan: Plan, manifests: Manifests, real: RealModel | None, terminal: Terminal, *, keep: bool
) -> None:
    # Not with the other imports: every server is a `runyard serve`, and needs no HTTP server.
    from services.cli.stack import running_stack  # noqa: PLC0415

    started_s = time.monotonic()
    signals = StopSignals()
    terminal.line(f"starting {', '.join(SERVICES)} on SQLite in {plan.data}")
    try:
        async with running_stack(plan, Telling(terminal, logs=False)) as stack:
            terminal.line(("all four serve", "bold green"), _since(started_s))
            if real is not None:
                _say_real(real, terminal)
            runs = await unless_failed(stack.supervisor, _tell(plan, manifests, real, terminal))
            terminal.line(("everything worked", "bold green"), _since(started_s))
            _say_commands(plan, runs, terminal, keep=keep)
            if keep:
                signals.serves(stack.supervisor)
                await unless_failed(stack.supervisor, signals.requested.wait())
    except CliError as error:
        error.exit_code = EXIT_USAGE if error.exit_code == EXIT_USAGE else EXIT_FAILED
        error.hint = f"{error.hint}; the logs are in {plan.data}/logs".removeprefix("; ")
        raise


async def _tell(
    plan: Plan, manifests: Manifests, real: RealModel | None, terminal: Terminal
) -> dict[str, str]:
    """The story; answers the runs that it made, by agent."""
    from services.cli.story import Story  # noqa: PLC0415  # as above

    exporting = telemetry.setup("cli", plan.otlp_endpoint)
    try:
        async with connected({service: plan.target(service) for service in SERVICES}) as found:
            timeout_s = REAL_STEP_TIMEOUT_S if real else STEP_TIMEOUT_S
            story = Story(terminal, found, manifests, plan.data, exporting.flush, timeout_s)
            await story.tell()
            return {agent: followed.run_id for agent, followed in story.runs.items()}
    finally:
        await asyncio.to_thread(exporting.shutdown)


def _fresh(data: Path | None) -> Path:
    if data is None:
        return Path(tempfile.mkdtemp(prefix="runyard-demo-"))
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise CliError(
            f"{data} is not an empty folder",
            reason="DATA_FOLDER",
            hint="name a new one, or leave --data out",
            exit_code=EXIT_USAGE,
        )
    return data


def _real_model(base_url: str, model: str, api_key_env: str) -> RealModel | None:
    if not base_url and not model and not api_key_env:
        return None
    problem = ""
    if not base_url or not model:
        problem = "--base-url and --model go together"
    elif api_key_env and api_key_env not in os.environ:
        problem = f"the environment variable {api_key_env} is not set"
    if problem:
        raise CliError(
            problem,
            reason="USAGE",
            hint="for instance: runyard demo --base-url http://127.0.0.1:8000/v1 --model NAME",
            exit_code=EXIT_USAGE,
        )
    return RealModel(base_url, model, api_key_env)


def quickstart(real: RealModel | None = None) -> Manifests:
    """The manifests that come with the command; ``real`` serves the model that answers."""
    manifests = load(read_files([str(QUICKSTART)]))
    for resource in manifests.resources if real else ():
        if real and resource.provider.id == "south":
            resource.provider.ClearField("builtin")
            resource.provider.openai.SetInParent()
            resource.provider.base_url = real.base_url
            if real.api_key_env:
                resource.provider.credential_ref.env = real.api_key_env
        if real and resource.model.id == "south-small":
            resource.model.upstream_model = real.model
    return manifests


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
        terminal.line("  ", (command, "cyan"))
        terminal.line(("      ", ""), (what, "dim"))
    terminal.line((f"logs: {plan.data}/logs", "dim"))
    terminal.data({"data": str(plan.data), "endpoints": plan.endpoints, "runs": dict(runs)})


def _since(started_s: float) -> str:
    return f" after {time.monotonic() - started_s:.1f} s"
