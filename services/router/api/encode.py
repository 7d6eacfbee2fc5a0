"""Items and decisions to messages: pure, total over every enum and item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.content.convert import usage_to_pb
from services.content.model import FinishReason
from services.router.core.decision import (
    Attempt,
    AttemptKind,
    AttemptOutcome,
    RouteDecision,
    Skipped,
    SkipReason,
    Sticky,
)
from services.router.core.failures import FailureClass
from services.router.core.items import (
    Finished,
    Interrupted,
    Item,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UsageReport,
)

DECISION_TRAILER = "runyard-route-decision-bin"
# Clients refuse trailers above 8 KiB, and the error details need their share.
MAX_TRAILER_BYTES = 2 * 1024

E = TypeVar("E", bound=Enum)


def _numbers(message_enum: Any, prefix: str, members: type[E]) -> Mapping[E, Any]:
    """The wire number of every member, found by name: a missing one fails at import."""
    return {member: message_enum.Value(f"{prefix}_{member.name}") for member in members}


FAILURE_TO_PB = _numbers(provider.FailureClass, "FAILURE_CLASS", FailureClass)
KIND_TO_PB = _numbers(pb.AttemptKind, "ATTEMPT_KIND", AttemptKind)
OUTCOME_TO_PB = _numbers(pb.AttemptOutcome, "ATTEMPT_OUTCOME", AttemptOutcome)
SKIP_TO_PB = _numbers(pb.SkipReason, "SKIP_REASON", SkipReason)
STICKY_TO_PB = _numbers(pb.StickyOutcome, "STICKY_OUTCOME", Sticky)
FINISH_TO_PB = _numbers(content.FinishReason, "FINISH_REASON", FinishReason)


def frame_to_pb(items: Iterable[Item]) -> rpc.InferResponse:
    return rpc.InferResponse(items=[_item_to_pb(item) for item in items])


def decision_to_pb(decision: RouteDecision) -> pb.RouteDecision:
    return pb.RouteDecision(
        target_id=decision.target_id,
        pool=decision.pool,
        pool_revision=decision.pool_revision,
        registry_version=decision.registry_version,
        member_id=decision.member_id,
        provider_id=decision.provider_id,
        upstream_model=decision.upstream_model,
        home_member_id=decision.home_member_id,
        sticky=STICKY_TO_PB[decision.sticky],
        attempts=[_attempt_to_pb(attempt) for attempt in decision.attempts],
        skipped=[_skipped_to_pb(skip) for skip in decision.skipped],
    )


def decision_to_trailer(decision: RouteDecision) -> bytes:
    """The decision, its lists cut until it fits: first what was skipped, then middle attempts."""
    message = decision_to_pb(decision)
    while message.ByteSize() > MAX_TRAILER_BYTES and message.skipped:
        del message.skipped[-1]
    while message.ByteSize() > MAX_TRAILER_BYTES and message.attempts:
        del message.attempts[len(message.attempts) // 2]
    return message.SerializeToString()


def _item_to_pb(item: Item) -> pb.InferItem:
    match item:
        case TextDelta(text):
            return pb.InferItem(text_delta=provider.TextDelta(text=text))
        case ReasoningDelta() | ToolCallDelta() | ToolCallReady():
            return _rare_delta_to_pb(item)
        case UsageReport(usage):
            return pb.InferItem(usage=usage_to_pb(usage))
        case Started() | Finished() | Interrupted():
            return _mark_to_pb(item)
        case _:
            assert_never(item)


def _rare_delta_to_pb(item: ReasoningDelta | ToolCallDelta | ToolCallReady) -> pb.InferItem:
    match item:
        case ReasoningDelta(text, provider_id, state):
            reasoning = provider.ReasoningDelta(
                text=text, provider_id=provider_id, opaque_state=state
            )
            return pb.InferItem(reasoning_delta=reasoning)
        case ToolCallDelta(index, arguments_json, call_id, tool_id):
            delta = provider.ToolCallDelta(
                index=index, call_id=call_id, tool_id=tool_id, arguments_json=arguments_json
            )
            return pb.InferItem(tool_call_delta=delta)
        case ToolCallReady(index, call):
            ready = provider.ToolCallReady(
                index=index,
                call=content.ToolCall(
                    call_id=call.call_id,
                    tool_id=call.tool_id,
                    arguments_json=call.arguments_json,
                ),
            )
            return pb.InferItem(tool_call_ready=ready)


def _mark_to_pb(item: Started | Finished | Interrupted) -> pb.InferItem:
    match item:
        case Started(decision, response_id):
            started = pb.Started(decision=decision_to_pb(decision), response_id=response_id)
            return pb.InferItem(started=started)
        case Finished(reason):
            return pb.InferItem(finished=provider.Finished(reason=FINISH_TO_PB[reason]))
        case Interrupted():
            return pb.InferItem(interrupted=_interrupted_to_pb(item))


def _interrupted_to_pb(item: Interrupted) -> pb.Interrupted:
    return pb.Interrupted(
        reason=FAILURE_TO_PB[item.reason],
        partial_usage=None if item.partial_usage is None else usage_to_pb(item.partial_usage),
        committed_length=item.committed_bytes,
        resumable=item.resumable,
    )


def _attempt_to_pb(attempt: Attempt) -> pb.Attempt:
    failure = attempt.failure
    hint_s = None if failure is None else failure.retry_after_s
    return pb.Attempt(
        attempt_id=attempt.id,
        number=attempt.number,
        member_id=attempt.member_id,
        provider_id=attempt.provider_id,
        upstream_model=attempt.upstream_model,
        kind=KIND_TO_PB[attempt.kind],
        outcome=OUTCOME_TO_PB[attempt.outcome],
        failure=None if failure is None else FAILURE_TO_PB[failure.kind],
        http_status=0 if failure is None else failure.http_status,
        retry_after=None if hint_s is None else _duration(hint_s),
        elapsed=_duration(attempt.elapsed_s),
    )


def _skipped_to_pb(skip: Skipped) -> pb.SkippedMember:
    return pb.SkippedMember(
        member_id=skip.member_id,
        reason=SKIP_TO_PB[skip.reason],
        until=None if skip.until is None else _timestamp(skip.until),
        detail=skip.detail,
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration


def _timestamp(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp
