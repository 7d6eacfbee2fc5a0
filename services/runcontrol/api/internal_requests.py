"""Requests of the other services as commands of the core."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.chassis.protobuf.decoder import Decoder
from services.runcontrol.api import enums
from services.runcontrol.core.exchange import Wake, WakeEvent
from services.runcontrol.core.limits import MAX_TEXT_CHARS, MAX_WAKE_MESSAGES


def wake_from_pb(request: internal.DeliverWakeRequest) -> Wake:
    """Decode a wake, without its tenant.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    message_ids = decoder.each(request.message_ids, "message_ids", MAX_WAKE_MESSAGES, decoder.id)
    cause, suspension = request.cause_traceparent, request.suspension_traceparent
    wake = Wake(
        tenant="",
        pool_id=decoder.id(request.pool_id, "pool_id"),
        condition_id=decoder.id(request.condition_id, "condition_id"),
        run_id=decoder.id(request.run_id, "run_id"),
        status=decoder.required_enum(enums.WAKE_STATUSES, request.status, "status"),
        message_ids=tuple(message_ids),
        after=request.cursor.hex(),
        summary=decoder.text(request.summary, "summary", MAX_TEXT_CHARS),
        cause_traceparent=decoder.optional_id(cause, "cause_traceparent"),
        suspension_traceparent=decoder.optional_id(suspension, "suspension_traceparent"),
        events=tuple(
            _event_from_pb(decoder, event, f"events[{index}]")
            for index, event in enumerate(request.events)
        ),
    )
    decoder.check()
    return wake


def _event_from_pb(decoder: Decoder, event: pb.WakeEvent, at: str) -> WakeEvent:
    return WakeEvent(
        kind=decoder.id(event.kind, f"{at}.kind"),
        message_id=decoder.optional_id(event.message_id, f"{at}.message_id"),
        from_run_id=decoder.optional_id(event.from_run_id, f"{at}.from_run_id"),
        from_agent_id=decoder.optional_id(event.from_agent_id, f"{at}.from_agent_id"),
    )
