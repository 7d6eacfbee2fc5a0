"""One answer of a model or pool as it is streamed, and the decision that led to it."""

from __future__ import annotations

from typing import Any

import grpc

from runyard.router.v1 import router_pb2, router_service_pb2
from services.chassis.calls.streaming import streaming
from services.cli.base.messages import as_json
from services.cli.base.terminal import Terminal
from services.cli.runs.decision import DECISION_KEY, describe
from services.cli.talk.clients import Clients

# Longer than any pool's clocks let a call take.
_TIMEOUT_S = 3_600.0


async def stream(
    stubs: Clients, request: router_service_pb2.InferRequest, terminal: Terminal
) -> None:
    """Show the answer as it comes, then the decision, also when it failed.

    Raises:
        CliError: No complete answer.
    """
    async with (
        stubs.talking_to("router"),
        streaming(stubs.router.Infer(request, timeout=_TIMEOUT_S)) as call,
    ):
        try:
            async for response in call:
                for item in response.items:
                    _show(item, terminal)
        finally:
            terminal.end_stream()
            if call.done():
                _show_decision(await call.trailing_metadata(), terminal)


def _show(item: router_pb2.InferItem, terminal: Terminal) -> None:
    terminal.data(as_json(item))
    match item.WhichOneof("item"):
        case "text_delta":
            terminal.stream_text(item.text_delta.text)
        case "reasoning_delta":
            terminal.stream_text(item.reasoning_delta.text, style="dim")
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
    terminal.data({"decision": as_json(decision)})
    for parts in describe(decision):
        terminal.line(*parts, lead=[("│ ", "dim")])


def decision_in(trailers: grpc.aio.Metadata | None) -> router_pb2.RouteDecision | None:
    for key, value in trailers or ():
        if key == DECISION_KEY and isinstance(value, bytes):
            return router_pb2.RouteDecision.FromString(value)
    return None
