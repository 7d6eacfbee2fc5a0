"""The frame of every command: an event loop, a terminal, an exit code, never a traceback."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from uuid import uuid4

import grpc
import typer

from services.chassis.calls.rpc_status import reason_of
from services.chassis.observe import telemetry
from services.cli.base.exits import EXIT_FAILED, EXIT_INTERRUPTED, CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.talk.clients import Clients, connected
from services.cli.talk.endpoints import read_endpoints

OTLP_VARIABLE = "RUNYARD_OTLP_ENDPOINT"
DEBUG_VARIABLE = "RUNYARD_DEBUG"


def run(output: Output, work: Callable[[Terminal], Awaitable[None]]) -> None:
    """Run a command to its exit code.

    Raises:
        typer.Exit: Always with a code other than 0.
    """
    terminal = Terminal(output)
    try:
        asyncio.run(_entered(work, terminal))
    except typer.Exit:
        raise
    except CliError as error:
        terminal.fail(error)
        raise typer.Exit(error.exit_code) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        terminal.end_stream()
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of the pipe closed it. Python would report that again when it closes the file.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(EXIT_FAILED) from None
    except Exception as error:
        terminal.fail(_unexpected(error))
        raise typer.Exit(EXIT_FAILED) from None


async def _entered(work: Callable[[Terminal], Awaitable[None]], terminal: Terminal) -> None:
    await work(terminal)


def _unexpected(error: Exception) -> CliError:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, grpc.aio.AioRpcError):
        facts = reason_of(error)
        reason, said = facts.reason or facts.code.name, facts.message or facts.code.name
        return CliError(said, reason=reason, facts=facts.metadata)
    return CliError(
        f"unforeseen: {type(error).__name__}: {error}",
        reason="INTERNAL",
        hint=f"this is a defect; {DEBUG_VARIABLE}=1 shows where",
    )


@asynccontextmanager
async def clients(name: str, endpoints: Iterable[str] | None) -> AsyncIterator[Clients]:
    """Stubs for the length of the block, which is one span if RUNYARD_OTLP_ENDPOINT is set."""
    exporting = telemetry.setup("cli", os.environ.get(OTLP_VARIABLE, ""))
    try:
        with telemetry.span(f"runyard {name}"):
            async with connected(read_endpoints(os.environ, endpoints or ())) as stubs:
                yield stubs
    finally:
        await asyncio.to_thread(exporting.shutdown)


def new_request_id() -> str:
    """An idempotency key for one use of a command."""
    return f"cli-{uuid4()}"
