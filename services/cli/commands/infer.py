"""``runyard infer``: one answer of a model or pool, streamed, and where it came from."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.router.v1 import router_pb2, router_service_pb2
from services.cli.base.terminal import Output, Terminal, read_input
from services.cli.runs.answer import stream
from services.cli.runs.submit import messages
from services.cli.talk.command import clients, run
from services.cli.talk.options import EndpointOption, MinVersionOption, OutputOption


def infer(
    target: Annotated[str, typer.Argument(metavar="MODEL-OR-POOL", help="Its id in the registry.")],
    text: Annotated[str, typer.Argument(help="What to say; - reads standard input.")],
    system: Annotated[str, typer.Option("--system", help="Instructions before it.")] = "",
    session: Annotated[
        str,
        typer.Option("--session", help="Key that keeps several calls on one member of a pool."),
    ] = "",
    min_version: MinVersionOption = 0,
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Stream one answer, then say who gave it, who was passed over, and why.

    Example: runyard infer narration "Tell me about the harbour." --session demo
    """

    async def work(terminal: Terminal) -> None:
        said = read_input() if text == "-" else text
        request = router_service_pb2.InferRequest(
            target_id=target,
            messages=messages(said, system),
            session=router_pb2.Session(session_key=session),
            min_registry_version=min_version,
        )
        async with clients("infer", endpoint) as stubs:
            await stream(stubs, request, terminal)

    run(output, work)
