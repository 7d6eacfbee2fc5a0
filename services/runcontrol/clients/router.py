"""The router as the agent loop sees it."""

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

import grpc

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1.router_service_pb2 import InferRequest, InferResponse
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.chassis.channel import streaming
from services.chassis.rpc_status import reason_of
from services.content.convert import (
    FINISH_REASON_FROM_PB,
    message_to_pb,
    tool_definition_to_pb,
    usage_from_pb,
)
from services.content.model import FinishReason, ToolCall
from services.runcontrol.core.events import Routed, TextDelta
from services.runcontrol.core.inference import (
    Finished,
    InferenceError,
    Item,
    Question,
    ReasoningPiece,
    Restarted,
    classify,
)
from services.runcontrol.core.retrying import Failure, RetryClass

# A model that says nothing for so long is the router's to give up; this is the last resort.
INFER_LIMIT_S = 3600.0

_STICKY: Mapping[int, str] = {
    pb.STICKY_OUTCOME_HOME: "home",
    pb.STICKY_OUTCOME_PINNED: "pinned",
    pb.STICKY_OUTCOME_MOVED: "moved",
    pb.STICKY_OUTCOME_RETURNED: "returned",
    pb.STICKY_OUTCOME_ANONYMOUS: "anonymous",
}


class RouterModels:
    """``Models`` over a channel to the router.

    Args:
        registry_version: The newest that run control has seen itself.
    """

    def __init__(self, channel: grpc.aio.Channel, registry_version: Callable[[], int]) -> None:
        self._stub = RouterServiceStub(channel)
        self._registry_version = registry_version

    @asynccontextmanager
    async def infer(
        self, question: Question
    ) -> AsyncIterator[AsyncGenerator[Sequence[Item], None]]:
        request = request_of(question, self._registry_version())
        call = self._stub.Infer(request, timeout=INFER_LIMIT_S)
        async with streaming(call):
            yield _items(call)


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
    """What a status of the router means for the attempt.

    Args:
        answered: Something of the answer had come.
    """
    facts = reason_of(error)
    code = facts.code.name
    if code == "UNAVAILABLE" and not facts.reason and not answered:
        # Nobody was there to refuse: a router that is restarted must not use up five attempts.
        return Failure(RetryClass.THROTTLED, "ROUTER_UNAVAILABLE", facts.message)
    kind = classify(code, facts.reason)
    reason = facts.reason or ("INFERENCE_REFUSED" if kind is RetryClass.FATAL else code)
    return Failure(kind, reason, facts.message, facts.retry_after_s)


def request_of(question: Question, registry_version: int) -> InferRequest:
    """What the router is asked.

    It need not have seen more than ``registry_version``: a registry that was wiped or put back
    counts from a lower number again, and no router will have the one of the run's start.
    """
    sampling = bytes.fromhex(question.sampling)
    return InferRequest(
        target_id=question.target_id,
        messages=[message_to_pb(message) for message in question.messages],
        tools=[tool_definition_to_pb(tool) for tool in question.tools],
        sampling=provider.Sampling.FromString(sampling) if sampling else None,
        session=pb.Session(
            thread_id=question.thread_id, run_id=question.run_id, agent_id=question.agent_id
        ),
        min_registry_version=min(question.min_registry_version, registry_version),
    )


def item_of(item: pb.InferItem) -> Item | None:
    """An item in the loop's terms; None for those it has no use for."""
    arm = item.WhichOneof("item")
    make = _ITEMS.get(arm) if arm else None
    return make(item) if make else None


def _reasoning(item: pb.InferItem) -> Item:
    piece = item.reasoning_delta
    return ReasoningPiece(piece.text, piece.provider_id, piece.opaque_state)


def _call(item: pb.InferItem) -> Item:
    call = item.tool_call_ready.call
    return ToolCall(call.call_id, call.tool_id, call.arguments_json)


def _finished(item: pb.InferItem) -> Item:
    return Finished(FINISH_REASON_FROM_PB.get(item.finished.reason, FinishReason.STOP))


def routed_of(decision: pb.RouteDecision) -> Routed:
    """Where the call went; why it was moved is the cause of the attempt that failed last."""
    moved = decision.home_member_id not in ("", decision.member_id)
    failed = [a for a in decision.attempts if a.outcome == pb.ATTEMPT_OUTCOME_FAILED]
    skipped = [s for s in decision.skipped if s.member_id == decision.home_member_id]
    reason = _STICKY.get(decision.sticky, "")
    if failed:
        reason = _short(provider.FailureClass.Name(failed[-1].failure), "FAILURE_CLASS_")
    elif moved and skipped:
        reason = _short(pb.SkipReason.Name(skipped[0].reason), "SKIP_REASON_")
    return Routed(
        target_id=decision.target_id,
        model_id=decision.member_id,
        provider_id=decision.provider_id,
        switched_from=decision.home_member_id if moved else "",
        reason=reason,
        attempts=len(decision.attempts),
    )


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


_ITEMS: Mapping[str, Callable[[pb.InferItem], Item]] = {
    "started": lambda item: routed_of(item.started.decision),
    "stream_reset": lambda _: Restarted(),
    "text_delta": lambda item: TextDelta(item.text_delta.text),
    "reasoning_delta": _reasoning,
    "tool_call_ready": _call,
    "usage": lambda item: usage_from_pb(item.usage),
    "finished": _finished,
}
