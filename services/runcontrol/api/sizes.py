"""How large the fields of a request may be."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.protobuf.sizes import (
    CURSOR,
    ID,
    PAGE_TOKEN,
    Sizes,
    characters,
    entries,
    size_bytes,
)
from services.content.sizes import MESSAGES
from services.runcontrol.core.limits import (
    MAX_ANSWER_BYTES,
    MAX_DIGEST_BYTES,
    MAX_ENTRIES,
    MAX_MESSAGES,
    MAX_STATES,
    MAX_TEXT_CHARS,
    MAX_TOPICS,
    MAX_TRACEPARENT_BYTES,
    MAX_WAKE_MESSAGES,
)

_TEXT = characters(MAX_TEXT_CHARS)
_ANSWER = size_bytes(MAX_ANSWER_BYTES)
_TRACE = size_bytes(MAX_TRACEPARENT_BYTES)

SIZES = Sizes(
    (
        service.CancelRunRequest,
        service.DeliverWakeRequest,
        service.GetRunRequest,
        service.GetTicketRequest,
        service.ListTicketsRequest,
        service.SubmitDecisionRequest,
        service.SubmitRunRequest,
        service.SubscribeRunRequest,
    ),
    {
        **MESSAGES,
        "SubmitRunRequest.request_id": ID,
        "SubmitRunRequest.thread_id": ID,
        "SubmitRunRequest.agent_id": ID,
        "SubmitRunRequest.messages": entries(MAX_MESSAGES),
        "SubmitRunRequest.min_registry_incarnation": ID,
        "PoolMembership.pool_id": ID,
        "PoolMembership.topics": entries(MAX_TOPICS),
        "PoolMembership.topics[]": ID,
        "SubscribeRunRequest.run_id": ID,
        "SubscribeRunRequest.after": CURSOR,
        "GetRunRequest.run_id": ID,
        "CancelRunRequest.request_id": ID,
        "CancelRunRequest.run_id": ID,
        "CancelRunRequest.dispatch_id": ID,
        "CancelRunRequest.thread_id": ID,
        "CancelRunRequest.reason": _TEXT,
        "SubmitDecisionRequest.request_id": ID,
        "SubmitDecisionRequest.run_id": ID,
        "SubmitDecisionRequest.thread_id": ID,
        "SubmitDecisionRequest.ticket_id": ID,
        "SubmitDecisionRequest.tool_call_id": ID,
        "SubmitDecisionRequest.decision_id": ID,
        "SubmitDecisionRequest.expected_digest": size_bytes(MAX_DIGEST_BYTES),
        "SubmitDecisionRequest.comment": _TEXT,
        "ApproveEdited.arguments_json": _ANSWER,
        "Deny.reason": _TEXT,
        "Answer.content": _ANSWER,
        "PassToTool.payload_json": _ANSWER,
        "Happened.content": _ANSWER,
        "ListTicketsRequest.run_id": ID,
        "ListTicketsRequest.thread_id": ID,
        "ListTicketsRequest.states": entries(MAX_STATES),
        "ListTicketsRequest.page_token": PAGE_TOKEN,
        "GetTicketRequest.ticket_id": ID,
        "DeliverWakeRequest.request_id": ID,
        "DeliverWakeRequest.pool_id": ID,
        "DeliverWakeRequest.condition_id": ID,
        "DeliverWakeRequest.run_id": ID,
        "DeliverWakeRequest.events": entries(MAX_WAKE_MESSAGES),
        "DeliverWakeRequest.message_ids": entries(MAX_WAKE_MESSAGES),
        "DeliverWakeRequest.message_ids[]": ID,
        "DeliverWakeRequest.summary": _TEXT,
        "DeliverWakeRequest.cause_traceparent": _TRACE,
        "DeliverWakeRequest.suspension_traceparent": _TRACE,
        "DeliverWakeRequest.cursor": CURSOR,
        "WakeEvent.event_id": ID,
        "WakeEvent.kind": ID,
        "WakeEvent.message_id": ID,
        "WakeEvent.from_run_id": ID,
        "WakeEvent.traceparent": _TRACE,
    },
    most_entries=MAX_ENTRIES,
)
