"""``runyard infer``: one answer of a model or pool, streamed, and where it came from."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict

from runyard.router.v1 import router_pb2, router_service_pb2
from runyard.types.v1 import content_pb2
from services.chassis.streaming import streaming
from services.cli.clients import Clients
from services.cli.command import clients, run
from services.cli.options import EndpointOption, MinVersionOption, OutputOption
from services.cli.routes import DECISION_KEY, describe
from services.cli.terminal import Output, Terminal

# Longer than any pool's clocks let a call take.
_TIMEOUT_S = 3_600.0


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
        said = sys.stdin.read() if text == "-" else text
        request = router_service_pb2.InferRequest(
            target_id=target,
            messages=messages(said, system),
            session=router_pb2.Session(session_key=session),
            min_registry_version=min_version,
        )
        async with clients("infer", endpoint) as found:
            await stream(found, request, terminal)

    run(output, work)


def messages(text: str, system: str = "") -> list[content_pb2.Message]:
    roles = [(content_pb2.MESSAGE_ROLE_SYSTEM, system), (content_pb2.MESSAGE_ROLE_USER, text)]
    return [
        content_pb2.Message(role=role, parts=[content_pb2.Part(text=content_pb2.Text(text=words))])
        for role, words in roles
        if words
    ]


async def stream(
    found: Clients, request: router_service_pb2.InferRequest, terminal: Terminal
) -> None:
    """Show the answer as it comes, then the decision, also when it failed.

    Raises:
        CliError: No complete answer.
    """
    with found.talking_to("router"):
        async with streaming(found.router.Infer(request, timeout=_TIMEOUT_S)) as call:
            try:
                async for response in call:
                    for item in response.items:
                        _show(item, terminal)
            finally:
                terminal.end_speech()
                if call.done():
                    _show_decision(await call.trailing_metadata(), terminal)


def _show(item: router_pb2.InferItem, terminal: Terminal) -> None:
    terminal.data(MessageToDict(item, preserving_proto_field_name=True))
    match item.WhichOneof("item"):
        case "text_delta":
            terminal.speak(item.text_delta.text)
        case "reasoning_delta":
            terminal.speak(item.reasoning_delta.text, style="dim")
        case "tool_call_ready":
            call = item.tool_call_ready.call
            terminal.line((f"calls {call.tool_id} {call.arguments_json}", "cyan"))
        case "stream_reset":
            terminal.line(("starts over elsewhere", "yellow"))
        case "interrupted":
            terminal.line(("broke off", "bold red"))


def _show_decision(trailers: Any, terminal: Terminal) -> None:
    decision = decision_in(trailers)
    if decision is None:
        return
    terminal.data({"decision": MessageToDict(decision, preserving_proto_field_name=True)})
    for parts in describe(decision):
        terminal.line(("│ ", "dim"), *parts)


def decision_in(trailers: grpc.aio.Metadata | None) -> router_pb2.RouteDecision | None:
    for key, value in trailers or ():
        if key == DECISION_KEY and isinstance(value, bytes):
            return router_pb2.RouteDecision.FromString(value)
    return None
