"""``runyard pool``: the groups in which runs find each other."""

from __future__ import annotations

from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from runyard.pool.v1.pool_service_pb2 import OpenPoolRequest, OpenPoolResponse
from services.cli.clients import CALL_TIMEOUT_S, Clients
from services.cli.command import clients, new_request_id, run
from services.cli.options import EndpointOption, OutputOption
from services.cli.terminal import Output, Terminal

pool_app = typer.Typer(no_args_is_help=True, help="Open pools, in which runs find each other.")


@pool_app.callback()
def _group() -> None:
    """Keeps `open` a command of the group while it is the only one."""


@pool_app.command("open")
def open_(
    pool: Annotated[str, typer.Argument(help="The pool's id, yours to choose.")],
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Open a pool with default policies; a pool that is open already stays as it is.

    Example: runyard pool open harbour
    """

    async def work(terminal: Terminal) -> None:
        async with clients("pool open", endpoint) as found:
            answer = await open_pool(found, pool)
        terminal.line("pool ", (pool, "bold"), " is open" if answer.opened else " was open already")
        terminal.data(MessageToDict(answer, preserving_proto_field_name=True))

    run(output, work)


async def open_pool(found: Clients, pool_id: str) -> OpenPoolResponse:
    request = OpenPoolRequest(request_id=new_request_id(), pool_id=pool_id)
    with found.talking_to("pool"):
        return await found.pool.OpenPool(request, timeout=CALL_TIMEOUT_S)
