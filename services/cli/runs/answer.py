"""One answer of a model or pool, streamed or whole, and the decision that led to it."""

from __future__ import annotations

import grpc

from runyard.router.v1 import router_pb2, router_service_pb2
from runyard.types.v1 import content_pb2
from services.chassis.calls.rpc_status import detail_of
from services.chassis.calls.streaming import streaming
from services.cli.base.messages import as_json
from services.cli.base.terminal import Terminal
from services.cli.runs.decision import describe, starts_over
from services.cli.talk.clients import Clients
from services.wire.session_header import session_header

# Longer than any pool's clocks let a call take.
_TIMEOUT_S = 3_600.0


async def stream(
    stubs: Clients, request: router_service_pb2.InferRequest, terminal: Terminal
) -> None:
    """Show the answer as it comes, then the decision, also when it failed.

    Raises:
        CliError: No complete answer.
    """
    header = session_header(session_key=request.session.session_key)
    async with (
        stubs.talking_to("router"),
        streaming(stubs.router.Infer(request, timeout=_TIMEOUT_S, metadata=header)) as call,
    ):
        decision: router_pb2.RouteDecision | None = None
        try:
            async for response in call:
                for item in response.items:
                    _show(item, terminal)
                    decision = _decision_of(item) or decision
        except grpc.aio.AioRpcError as error:
            decision = detail_of(error, router_pb2.RouteDecision) or decision
            raise
        finally:
            terminal.end_stream()
            if decision is not None and call.done():
                _show_decision(decision, terminal)


async def whole(
    stubs: Clients, request: router_service_pb2.InferRequest, terminal: Terminal
) -> None:
    """Show the answer once it is complete, then the decision, also when it failed.

    Raises:
        CliError: No complete answer.
    """
    asked = router_service_pb2.GenerateRequest(request=request)
    header = session_header(session_key=request.session.session_key)
    async with stubs.talking_to("router"):
        try:
            answer = await stubs.router.Generate(asked, timeout=_TIMEOUT_S, metadata=header)
        except grpc.aio.AioRpcError as error:
            decision = detail_of(error, router_pb2.RouteDecision)
            if decision is not None:
                _show_decision(decision, terminal)
            raise
    terminal.data(as_json(answer))
    for part in answer.message.parts:
        _show_part(part, terminal)
    terminal.end_stream()
    _describe(answer.decision, terminal)


def _show_part(part: content_pb2.Part, terminal: Terminal) -> None:
    match part.WhichOneof("part"):
        case "text":
            terminal.stream_text(part.text.text)
        case "reasoning":
            terminal.stream_text(part.reasoning.text, style="dim")
        case "tool_call":
            call = part.tool_call
            terminal.line((f"calls {call.tool_id} {call.arguments_json}", "cyan"))


def _decision_of(item: router_pb2.InferItem) -> router_pb2.RouteDecision | None:
    """The decision as of the end of the answer."""
    match item.WhichOneof("item"):
        case "finished":
            return item.finished.decision
        case "interrupted":
            return item.interrupted.decision
    return None


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
            terminal.line(*starts_over(item.stream_reset))
        case "interrupted":
            terminal.line(("broke off", "bold red"))


def _show_decision(decision: router_pb2.RouteDecision, terminal: Terminal) -> None:
    terminal.data({"decision": as_json(decision)})
    _describe(decision, terminal)


def _describe(decision: router_pb2.RouteDecision, terminal: Terminal) -> None:
    for parts in describe(decision):
        terminal.line(*parts, lead=[("│ ", "dim")])
