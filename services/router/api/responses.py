"""Items and decisions to messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.rpc_status import status_message
from services.chassis.protobuf.decoder import duration_to_pb, instant_to_pb
from services.chassis.protobuf.pages import page_token
from services.chassis.protobuf.sizes import ANSWER_BYTES
from services.content.convert import FINISH_REASONS, message_to_pb, usage_to_pb
from services.router.api.enums import BREAKERS, FAILURES, KINDS, OUTCOMES, SKIPS, STICKIES
from services.router.core.collecting import Collected
from services.router.core.decision import Attempt, RouteDecision, Skipped, SkipReason
from services.router.core.errors import AnswerTooLargeError
from services.router.core.explanation import Candidate, Explanation
from services.router.core.failures import FailureClass
from services.router.core.items import (
    Finished,
    Interrupted,
    Item,
    ReasoningDelta,
    Started,
    StreamReset,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UsageReport,
)
from services.router.core.limits import page_size
from services.router.core.member_state import MemberState
from services.router.core.model import Feature
from services.router.core.pins import Pin, Pinned, Unpinned
from services.router.core.ports import StatePage, WatchFrame
from services.router.core.quota_windows import QuotaWindow
from services.router.core.routing_change import MemberReset, Switched
from services.router.core.watching import (
    Heartbeat,
    Reconnect,
    RoutingEvent,
    StateBegin,
    StateComplete,
)

# Clients refuse trailers above 8 KiB in all; the other details of an error need room too.
MAX_DETAIL_BYTES = 2_800
# Of the errors of this service, as in every status.
_DOMAIN = "router.runyard.dev"


def frame_to_pb(items: Iterable[Item]) -> rpc.InferResponse:
    frame = rpc.InferResponse()
    for item in items:
        if isinstance(item, TextDelta):
            # Nearly all items: filled in place, at half the cost of a copy.
            frame.items.add().text_delta.text = item.text
        else:
            frame.items.append(_item_to_pb(item))
    return frame


def collected_to_pb(collected: Collected) -> rpc.GenerateResponse:
    """Raises:
    AnswerTooLargeError: It is larger than what every client accepts.
    """
    if collected.finish_reason is None or collected.decision is None:
        raise ValueError("the stream ended without its last item")
    response = rpc.GenerateResponse(
        message=message_to_pb(collected.content.message()),
        finish_reason=FINISH_REASONS.to_pb[collected.finish_reason],
        usage=None if collected.usage is None else usage_to_pb(collected.usage),
        decision=decision_to_pb(collected.decision),
    )
    _check_size(response, "call Infer, which streams it")
    return response


def state_to_pb(
    request: rpc.GetRoutingStateRequest, page: StatePage
) -> rpc.GetRoutingStateResponse:
    """A page of the state; ``page`` has one pin more than that when a next one follows.

    Raises:
        AnswerTooLargeError: It is larger than what every client accepts.
    """
    size = page_size(request.page_size)
    response = rpc.GetRoutingStateResponse(
        members=[member_to_pb(each) for each in page.members],
        pins=[pin_to_pb(each) for each in page.pins[:size]],
        instance_id=page.instance_id,
    )
    if len(page.pins) > size:
        last = page.pins[size - 1]
        response.next_page_token = page_token(request, (last.pool_id, last.session))
    _check_size(response, "ask for one target, or for a smaller page")
    return response


def explanation_to_pb(explanation: Explanation) -> rpc.ExplainResponse:
    needs, pin, error = explanation.needs, explanation.pin, explanation.error
    return rpc.ExplainResponse(
        decision=decision_to_pb(explanation.decision),
        candidates=[_candidate_to_pb(each) for each in explanation.candidates],
        needs=pb.Needs(
            features=[each.value for each in Feature if each in needs.features],
            input_tokens=needs.input_tokens,
        ),
        switches_left=explanation.switches_left,
        pin=None if pin is None else pin_to_pb(pin),
        error=None if error is None else status_message(error, _DOMAIN),
    )


def _candidate_to_pb(candidate: Candidate) -> pb.Candidate:
    member, skip = candidate.member, candidate.skip
    return pb.Candidate(
        member_id=member.id,
        rank=candidate.rank,
        weight=member.weight,
        failover_only=member.failover_only,
        state=member_to_pb(candidate.state),
        skipped=None if skip is None else _skipped_to_pb(skip),
    )


def _check_size(response: Message, instead: str) -> None:
    size_bytes = response.ByteSize()
    if size_bytes > ANSWER_BYTES:
        raise AnswerTooLargeError.of(size_bytes, ANSWER_BYTES, instead)


def member_to_pb(state: MemberState) -> pb.MemberState:
    failure = state.last_failure
    return pb.MemberState(
        target_id=state.target_id,
        member_id=state.member_id,
        breaker=BREAKERS.to_pb[state.breaker],
        consecutive_failures=state.consecutive_failures,
        probe_time=instant_to_pb(state.probe_at),
        quarantine=None if state.quarantine is None else FAILURES.to_pb[state.quarantine],
        quarantine_end_time=instant_to_pb(state.quarantine_until),
        quarantine_round=state.quarantine_round,
        quota_end_time=instant_to_pb(state.quota_until),
        generation=state.generation,
        open_time=instant_to_pb(state.opened_at),
        probes_in_flight=state.probes_in_flight,
        probes_allowed=state.probes_allowed,
        last_failure=None if failure is None else FAILURES.to_pb[failure.kind],
        last_failure_time=None if failure is None else instant_to_pb(failure.at),
        cordoned=state.cordoned_at is not None,
        cordon_time=instant_to_pb(state.cordoned_at),
        windows=map(_window_to_pb, state.windows),
    )


def _window_to_pb(window: QuotaWindow) -> pb.QuotaWindow:
    return pb.QuotaWindow(
        kind=window.kind,
        limit=window.limit,
        remaining=window.remaining,
        reset_time=instant_to_pb(window.reset_at),
        source=window.source,
    )


def pin_to_pb(pin: Pin) -> pb.Pin:
    reason = pin.reason
    return pb.Pin(
        pool_id=pin.pool_id,
        session=pin.session,
        member_id=pin.member_id,
        home_member_id=pin.home_member_id,
        reason=FAILURES.to_pb[reason] if isinstance(reason, FailureClass) else None,
        move_time=instant_to_pb(pin.moved_at),
        expire_time=instant_to_pb(pin.expires_at),
        skip_reason=SKIPS.to_pb[reason] if isinstance(reason, SkipReason) else None,
    )


def watch_frame_to_pb(frame: WatchFrame) -> rpc.WatchRoutingStateResponse:
    events = map(_event_to_pb, frame.events)
    return rpc.WatchRoutingStateResponse(events=events, instance_id=frame.instance_id)


def decision_to_pb(decision: RouteDecision) -> pb.RouteDecision:
    reason = decision.move_reason
    return pb.RouteDecision(
        target_id=decision.target_id,
        pool=decision.pool,
        pool_revision=decision.pool_revision,
        registry_version=decision.registry_version,
        member_id=decision.member_id,
        provider_id=decision.provider_id,
        upstream_model=decision.upstream_model,
        home_member_id=decision.home_member_id,
        sticky=STICKIES.to_pb[decision.sticky],
        attempts=[_attempt_to_pb(attempt) for attempt in decision.attempts],
        skipped=[_skipped_to_pb(skip) for skip in decision.skipped],
        session=decision.session,
        move_time=instant_to_pb(decision.moved_at),
        move_reason=FAILURES.to_pb[reason] if isinstance(reason, FailureClass) else None,
        move_skip_reason=SKIPS.to_pb[reason] if isinstance(reason, SkipReason) else None,
    )


def decision_to_detail(decision: RouteDecision) -> pb.RouteDecision:
    """The decision within ``MAX_DETAIL_BYTES``, in the details of an error.

    What is longest goes first: the session and what skipped members lack, then of all attempts but
    the last the names beside the member's and the tokens, then attempts from the middle.
    """
    message = decision_to_pb(decision)
    texts = [(message, "session"), *((skip, "detail") for skip in message.skipped)]
    for holder, name in sorted(texts, key=lambda text: len(getattr(*text)), reverse=True):
        if message.ByteSize() > MAX_DETAIL_BYTES:
            holder.ClearField(name)
    for attempt in message.attempts[:-1]:
        if message.ByteSize() > MAX_DETAIL_BYTES:
            for name in ("attempt_id", "provider_id", "upstream_model", "usage"):
                attempt.ClearField(name)
    while message.ByteSize() > MAX_DETAIL_BYTES and message.attempts:
        del message.attempts[len(message.attempts) // 2]
    return message


def _event_to_pb(event: RoutingEvent) -> pb.RoutingEvent:
    message = pb.RoutingEvent(event_time=instant_to_pb(event.at))
    match event.what:
        case MemberState() as state:
            message.member.CopyFrom(member_to_pb(state))
        case Pinned(pin):
            message.pinned.CopyFrom(pin_to_pb(pin))
        case Unpinned(pin):
            message.unpinned.CopyFrom(pin_to_pb(pin))
        case Switched() as switched:
            message.switched.CopyFrom(_switched_to_pb(switched))
        case MemberReset(by, target_id, member_id):
            reset = pb.MemberReset(by=by, target_id=target_id, member_id=member_id)
            message.reset.CopyFrom(reset)
        case StateBegin():
            message.state_begin.SetInParent()
        case StateComplete():
            message.state_complete.SetInParent()
        case Heartbeat():
            message.heartbeat.server_time.CopyFrom(message.event_time)
        case Reconnect():
            message.reconnect.SetInParent()
        case _:
            assert_never(event.what)
    return message


def _switched_to_pb(switched: Switched) -> pb.Switched:
    reason = switched.reason
    return pb.Switched(
        target_id=switched.target_id,
        from_member_id=switched.from_member_id,
        to_member_id=switched.to_member_id,
        reason=FAILURES.to_pb[reason] if isinstance(reason, FailureClass) else None,
        skip_reason=SKIPS.to_pb[reason] if isinstance(reason, SkipReason) else None,
        session=switched.session,
    )


def _item_to_pb(
    item: Started
    | ReasoningDelta
    | ToolCallDelta
    | ToolCallReady
    | UsageReport
    | StreamReset
    | Finished
    | Interrupted,
) -> pb.InferItem:
    match item:
        case ReasoningDelta() | ToolCallDelta() | ToolCallReady():
            return _delta_to_pb(item)
        case UsageReport(usage):
            return pb.InferItem(usage=usage_to_pb(usage))
        case Started() | StreamReset() | Finished() | Interrupted():
            return _boundary_to_pb(item)
        case _:
            assert_never(item)


def _delta_to_pb(item: ReasoningDelta | ToolCallDelta | ToolCallReady) -> pb.InferItem:
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


def _boundary_to_pb(item: Started | StreamReset | Finished | Interrupted) -> pb.InferItem:
    match item:
        case Started(decision, response_id):
            started = pb.Started(decision=decision_to_pb(decision), response_id=response_id)
            return pb.InferItem(started=started)
        case StreamReset(failure, decision, response_id):
            reset = pb.StreamReset(
                reason=FAILURES.to_pb[failure],
                decision=decision_to_pb(decision),
                response_id=response_id,
            )
            return pb.InferItem(stream_reset=reset)
        case Finished(reason, decision):
            finished = pb.Finished(
                reason=FINISH_REASONS.to_pb[reason],
                decision=None if decision is None else decision_to_pb(decision),
            )
            return pb.InferItem(finished=finished)
        case Interrupted():
            return pb.InferItem(interrupted=_interrupted_to_pb(item))


def _interrupted_to_pb(item: Interrupted) -> pb.Interrupted:
    return pb.Interrupted(
        reason=FAILURES.to_pb[item.reason],
        partial_usage=None if item.partial_usage is None else usage_to_pb(item.partial_usage),
        committed_length=item.committed_bytes,
        resumable=item.resumable,
        decision=decision_to_pb(item.decision),
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
        kind=KINDS.to_pb[attempt.kind],
        outcome=OUTCOMES.to_pb[attempt.outcome],
        failure=None if failure is None else FAILURES.to_pb[failure.kind],
        http_status=0 if failure is None else failure.http_status,
        retry_after=None if hint_s is None else _seconds_to_pb(hint_s),
        elapsed=_seconds_to_pb(attempt.elapsed_s),
        usage=None if attempt.usage is None else usage_to_pb(attempt.usage),
        probe=attempt.probe,
    )


def _skipped_to_pb(skip: Skipped) -> pb.SkippedMember:
    return pb.SkippedMember(
        member_id=skip.member_id,
        reason=SKIPS.to_pb[skip.reason],
        until=instant_to_pb(skip.until),
        detail=skip.detail,
    )


def _seconds_to_pb(seconds: float) -> Duration | None:
    return duration_to_pb(timedelta(seconds=seconds))
