"""Events as messages of the contract, and the codec of the bodies that the store keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as router
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.chassis.protobuf.decoder import Decoder, instant_to_pb
from services.chassis.protobuf.enums import value_of
from services.chassis.protobuf.pieces import parsed
from services.chassis.protobuf.sizes import NO_SIZES
from services.content.convert import message_to_pb, messages_from_pb, usage_to_pb
from services.content.model import Message
from services.runcontrol.api import enums
from services.runcontrol.api.responses import (
    call_to_pb,
    decision_to_pb,
    stored_message_to_pb,
    termination_to_pb,
    ticket_to_pb,
    waiting_to_pb,
)
from services.runcontrol.core import events as e
from services.runcontrol.core.excerpts import MAX_SHOWN_CHARS, left_out
from services.runcontrol.core.limits import PART_CHARS


def event_to_pb(event: e.Event) -> pb.Event:
    name, encode = _KINDS[type(event.kind)]
    return pb.Event(
        run_seq=event.run_seq,
        thread_seq=event.thread_seq,
        run_id=event.run_id,
        thread_id=event.thread_id,
        create_time=instant_to_pb(event.at),
        step=event.step,
        **{name: encode(event.kind)},
    )


class ProtobufCodec:
    """Implements ``core.ports.Codec``; events are stored as they are sent."""

    def encode_event(self, event: e.Event) -> bytes:
        return event_to_pb(event).SerializeToString()

    def encode_messages(self, messages: Sequence[Message]) -> bytes:
        return pb.Input(messages=[message_to_pb(each) for each in messages]).SerializeToString()

    def decode_messages(self, body: bytes) -> tuple[Message, ...]:
        decoder = Decoder()
        # In pieces: an input may be 16 MiB.
        stored = parsed(body, pb.Input(), NO_SIZES)
        messages = messages_from_pb(stored.messages, "messages", decoder)
        if decoder.found:
            raise ValueError(f"a stored message is not legal: {decoder.found[0].description}")
        return messages


def _finished(kind: e.RunFinished) -> pb.RunFinished:
    return pb.RunFinished(
        termination=termination_to_pb(kind.termination),
        usage=usage_to_pb(kind.usage),
        output_text=kind.output_text[:PART_CHARS],
        output_chars=left_out(kind.output_text, PART_CHARS),
        unknown_tool_call_ids=kind.unknown_call_ids,
    )


def _committed(kind: e.MessageCommitted) -> pb.MessageCommitted:
    return pb.MessageCommitted(
        message=stored_message_to_pb(kind.message),
        covers_from_run_seq=kind.covers_from_run_seq,
        covers_to_run_seq=kind.covers_to_run_seq,
    )


def _settled(kind: e.ToolCallSettled) -> pb.ToolCallSettled:
    state = enums.CALL_STATES.to_pb[kind.state]
    return pb.ToolCallSettled(
        tool_call_id=kind.call_id,
        state=state,
        result=kind.result[:MAX_SHOWN_CHARS],
        result_chars=left_out(kind.result, MAX_SHOWN_CHARS),
    )


def _attempt_failed(kind: e.AttemptFailed) -> pb.AttemptFailed:
    return pb.AttemptFailed(
        retry_class=kind.retry_class,
        reason=kind.reason,
        message=kind.message,
        will_retry=kind.will_retry,
        retry_time=instant_to_pb(kind.retry_at),
        attempt=kind.attempt,
    )


def _routed(kind: e.Routed) -> pb.Routed:
    return pb.Routed(
        target_id=kind.target_id,
        model_id=kind.model_id,
        provider_id=kind.provider_id,
        switched_from_model_id=kind.switched_from,
        attempts=kind.attempts,
        sticky=value_of(router.StickyOutcome, "STICKY_OUTCOME", kind.sticky),
        failure=value_of(provider.FailureClass, "FAILURE_CLASS", kind.failure),
        skip_reason=value_of(router.SkipReason, "SKIP_REASON", kind.skip_reason),
    )


def _woken(kind: e.RunWoken) -> pb.RunWoken:
    status = enums.WAKE_STATUSES.to_pb[kind.wake_status] if kind.wake_status else None
    return pb.RunWoken(
        cause=kind.cause,
        tool_call_id=kind.call_id,
        wake_status=status,
        cause_traceparent=kind.cause_traceparent,
    )


_Encode = Callable[[Any], Any]

_KINDS: Mapping[type, tuple[str, _Encode]] = {
    e.RunQueued: (
        "run_queued",
        lambda k: pb.RunQueued(dispatch_id=k.dispatch_id, agent_id=k.agent_id),
    ),
    e.RunStarted: ("run_started", lambda k: pb.RunStarted(attempt=k.attempt)),
    e.RunResumed: ("run_resumed", lambda k: pb.RunResumed(attempt=k.attempt, causes=k.causes)),
    e.RunCancelling: ("run_cancelling", lambda k: pb.RunCancelling(reason=k.reason)),
    e.RunFinished: ("run_finished", _finished),
    e.StepStarted: ("step_started", lambda _: pb.StepStarted()),
    e.StepEnded: ("step_ended", lambda _: pb.StepEnded()),
    e.StepReset: ("step_reset", lambda k: pb.StepReset(from_run_seq=k.from_run_seq)),
    e.TextDelta: ("text_delta", lambda k: pb.TextDelta(text=k.text)),
    e.ReasoningDelta: ("reasoning_delta", lambda k: pb.ReasoningDelta(text=k.text)),
    e.MessageCommitted: ("message_committed", _committed),
    e.ToolCallPlanned: (
        "tool_call_planned",
        lambda k: pb.ToolCallPlanned(call=call_to_pb(k.call)),
    ),
    e.ToolCallGated: (
        "tool_call_gated",
        lambda k: pb.ToolCallGated(tool_call_id=k.call_id, ticket_id=k.ticket_id),
    ),
    e.ToolCallDispatched: (
        "tool_call_dispatched",
        lambda k: pb.ToolCallDispatched(tool_call_id=k.call_id, attempt=k.attempt),
    ),
    e.ToolCallAccepted: (
        "tool_call_accepted",
        lambda k: pb.ToolCallAccepted(tool_call_id=k.call_id, worker_id=k.worker_id),
    ),
    e.ToolCallProgress: (
        "tool_call_progress",
        lambda k: pb.ToolCallProgress(
            tool_call_id=k.call_id, progress_seq=k.progress_seq, note=k.note
        ),
    ),
    e.ToolCallProbed: (
        "tool_call_probed",
        lambda k: pb.ToolCallProbed(
            tool_call_id=k.call_id, outcome=enums.PROBE_OUTCOMES.to_pb[k.outcome]
        ),
    ),
    e.ToolCallWithheld: (
        "tool_call_withheld",
        lambda k: pb.ToolCallWithheld(
            tool_call_id=k.call_id, worker_id=k.worker_id, tool_version=k.tool_version
        ),
    ),
    e.ToolCallSettled: ("tool_call_settled", _settled),
    e.TicketOpened: ("ticket_opened", lambda k: pb.TicketOpened(ticket=ticket_to_pb(k.ticket))),
    e.TicketDecided: (
        "ticket_decided",
        lambda k: pb.TicketDecided(ticket_id=k.ticket_id, decision=decision_to_pb(k.decision)),
    ),
    e.TicketExpired: (
        "ticket_expired",
        lambda k: pb.TicketExpired(ticket_id=k.ticket_id),
    ),
    e.TicketVoided: (
        "ticket_voided",
        lambda k: pb.TicketVoided(ticket_id=k.ticket_id, reason=k.reason),
    ),
    e.InputQueued: ("input_queued", lambda k: pb.InputQueued(input_id=k.input_id)),
    e.InputConsumed: ("input_consumed", lambda k: pb.InputConsumed(input_id=k.input_id)),
    e.InputEdited: (
        "input_edited",
        lambda k: pb.InputEdited(input_id=k.input_id, revision=k.revision, edited_by=k.edited_by),
    ),
    e.InputRetracted: (
        "input_retracted",
        lambda k: pb.InputRetracted(input_id=k.input_id, retracted_by=k.retracted_by),
    ),
    e.AttemptFailed: ("attempt_failed", _attempt_failed),
    e.Routed: ("routed", _routed),
    e.RunParked: (
        "run_parked",
        lambda k: pb.RunParked(reasons=[waiting_to_pb(reason) for reason in k.reasons]),
    ),
    e.RunWoken: ("run_woken", _woken),
    e.UsageReported: ("usage_reported", lambda k: pb.UsageReported(usage=usage_to_pb(k.usage))),
}
