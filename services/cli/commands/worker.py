"""``runyard worker``: a tool of a shell command."""

from __future__ import annotations

import logging
import os
import socket
from typing import Annotated

import grpc
import typer

from runyard_worker import Worker
from runyard_worker.tools import raw_tool
from services.chassis.calls.rpc_status import reason_of
from services.cli.base.exits import CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.project.shell_tool import shell_tool
from services.cli.talk.command import run
from services.cli.talk.endpoints import read_endpoints
from services.cli.talk.options import EndpointOption, OutputOption


def worker(
    tool: Annotated[str, typer.Option("--tool", metavar="ID", help="The tool's id.")],
    command: Annotated[
        str,
        typer.Option(
            "--exec",
            metavar="CMD",
            help="Shell command: arguments as JSON on its input, its output is the result; "
            "another exit code than 0 fails the call with what it wrote to standard error.",
        ),
    ],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="TEXT", help="What it can do; may be repeated."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Calls at a time.")] = 1,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve a tool of the registry by a shell command, until Ctrl-C.

    The command finds RUNYARD_CALL_ID, RUNYARD_IDEMPOTENCY_KEY, RUNYARD_RUN_ID and RUNYARD_ATTEMPT
    in its environment. A call that is cancelled gets SIGTERM, and SIGKILL after 5 s.

    Example: runyard worker --tool count --exec 'jq .text | wc -w'
    """
    target = read_endpoints(os.environ, endpoint or ())["runcontrol"]

    async def work(terminal: Terminal) -> None:
        serving = Worker(
            f"shell-{socket.gethostname()}", target=target, room=parallel, labels=tuple(label or ())
        )
        serving.add(raw_tool(tool, shell_tool(command)))
        logging.getLogger("runyard_worker").addHandler(_Told(terminal))
        try:
            await serving.serve()
        except grpc.aio.AioRpcError as error:
            facts = reason_of(error)
            raise CliError(facts.message, reason=facts.reason or facts.code.name) from error

    run(output, work)


class _Told(logging.Handler):
    """Shows what the worker says of itself."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.INFO)
        self._terminal = terminal
        logging.getLogger("runyard_worker").setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._terminal.line(text)
        self._terminal.data({"event": "said", "text": text})
