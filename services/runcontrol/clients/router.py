"""The client of the router: model calls as streams of items."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any

import grpc

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1.router_service_pb2 import DESCRIPTOR, InferResponse
from services.chassis.calls.rpc_status import reason_of
from services.chassis.calls.streaming import streaming
from services.chassis.protobuf.enums import value_name
from services.content.convert import FINISH_REASONS, usage_from_pb
from services.content.model import FinishReason, Reasoning, ToolCall
from services.runcontrol.clients.encoded_prompts import EncodedPrompts
from services.runcontrol.core.events import Routed, TextDelta
from services.runcontrol.core.inference import (
    Finished,
    InferenceError,
    Item,
    ModelCall,
    Restarted,
    classify,
    too_large,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.wire.session_header import session_header

# The router has time-outs of its own; this one ends calls of a router that hangs.
INFER_LIMIT_S = 3600.0
_SERVICE = DESCRIPTOR.services_by_name["RouterService"]
_INFER = f"/{_SERVICE.full_name}/{_SERVICE.methods_by_name['Infer'].name}"


class RouterModels:
    """Implements ``Models`` over a channel to the router.

    Args:
        registry_version: Returns the newest registry version that run control has received.
    """

    def __init__(self, channel: grpc.aio.Channel, registry_version: Callable[[], int]) -> None:
        # Requests are encoded here, from messages that were encoded for earlier calls.
        self._infer: Callable[..., Any] = channel.unary_stream(
            _INFER, request_serializer=None, response_deserializer=InferResponse.FromString
        )
        self._registry_version = registry_version
        self._prompts = EncodedPrompts()

    @asynccontextmanager
    async def infer(
        self, model_call: ModelCall
    ) -> AsyncIterator[AsyncGenerator[Sequence[Item], None]]:
        request = await self._prompts.encode(model_call, self._registry_version())
        check_size(len(request), len(model_call.messages))
        header = session_header(
            thread_id=model_call.thread_id, run_id=model_call.run_id, agent_id=model_call.agent_id
        )
        call = self._infer(request, timeout=INFER_LIMIT_S, metadata=header)
        async with streaming(call):
            yield _items(call)


def check_size(size_bytes: int, messages: int) -> None:
    """Refuse a request that the router would not read.

    Raises:
        InferenceError: PROMPT_TOO_LARGE; to repeat it is of no use.
    """
    found = too_large(size_bytes, messages)
    if found is not None:
        raise InferenceError(found)


async def _items(call: AsyncIterable[InferResponse]) -> AsyncGenerator[Sequence[Item], None]:
    answered = False
    try:
        async for response in call:
            answered = True
            found = (item_of(item) for item in response.items)
            yield [item for item in found if item is not None]
    except grpc.aio.AioRpcError as error:
        raise InferenceError(failure_of(error, answered=answered)) from error


def failure_of(error: grpc.aio.AioRpcError, *, answered: bool) -> Failure:
    """The failure of the attempt for a status of the router.

    Args:
        answered: Whether a part of the answer had been received.
    """
    facts = reason_of(error)
    code = facts.code.name
    if code == "UNAVAILABLE" and not facts.reason and not answered:
        # No router was reached: its restart must not use up the run's five attempts.
        return Failure(RetryClass.THROTTLED, "ROUTER_UNAVAILABLE", facts.message)
    kind = classify(code, facts.reason, facts.metadata.get("failure", ""), answered=answered)
    reason = facts.reason or ("INFERENCE_REFUSED" if kind is RetryClass.FATAL else code)
    return Failure(kind, reason, facts.message, facts.retry_after_s)


def item_of(item: pb.InferItem) -> Item | None:
    """The item as a value of the core; None for a kind that run control does not use."""
    arm = item.WhichOneof("item")
    make = _ITEMS.get(arm) if arm else None
    return make(item) if make else None


def _reasoning(item: pb.InferItem) -> Item:
    piece = item.reasoning_delta
    return Reasoning(piece.text, piece.provider_id, piece.opaque_state)


def _call(item: pb.InferItem) -> Item:
    call = item.tool_call_ready.call
    return ToolCall(call.call_id, call.tool_id, call.arguments_json)


def _finished(item: pb.InferItem) -> Item:
    return Finished(FINISH_REASONS.from_pb.get(item.finished.reason, FinishReason.STOP))


def routed_of(decision: pb.RouteDecision) -> Routed:
    """The route of a call."""
    moved = decision.home_member_id not in ("", decision.member_id)
    failed = [a for a in decision.attempts if a.outcome in _FAILED]
    skipped = [s for s in decision.skipped if s.member_id == decision.home_member_id]
    failure = failed[-1].failure if failed else 0
    skip_reason = skipped[0].reason if moved and skipped else 0
    return Routed(
        target_id=decision.target_id,
        model_id=decision.member_id,
        provider_id=decision.provider_id,
        switched_from=decision.home_member_id if moved else "",
        attempts=len(decision.attempts),
        sticky=value_name(pb.StickyOutcome, "STICKY_OUTCOME", decision.sticky),
        failure=value_name(provider.FailureClass, "FAILURE_CLASS", failure),
        skip_reason=value_name(pb.SkipReason, "SKIP_REASON", skip_reason),
    )


_FAILED = (pb.ATTEMPT_OUTCOME_FAILED, pb.ATTEMPT_OUTCOME_INTERRUPTED)
_ITEMS: Mapping[str, Callable[[pb.InferItem], Item]] = {
    "started": lambda item: routed_of(item.started.decision),
    "stream_reset": lambda item: Restarted(routed_of(item.stream_reset.decision)),
    "text_delta": lambda item: TextDelta(item.text_delta.text),
    "reasoning_delta": _reasoning,
    "tool_call_ready": _call,
    "usage": lambda item: usage_from_pb(item.usage),
    "finished": _finished,
}
