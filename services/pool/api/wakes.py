"""Wakes as protobuf messages."""

from __future__ import annotations

from runyard.pool.v1 import pool_pb2 as pb
from services.pool.api import enums
from services.pool.api.fields import correlation_to_pb, duration_to_pb, policies_to_pb, time_to_pb
from services.pool.core.cursors import cursor_of
from services.pool.core.digests import filter_fingerprint
from services.pool.core.events import (
    Event,
    EventFilter,
    ResumePolicy,
    Start,
    Wake,
    WakeCondition,
)


def wake_to_pb(pool_id: str, wake: Wake) -> pb.Wake:
    tells = wake.condition.resume_with is ResumePolicy.MATCHING_EVENT_REFS
    return pb.Wake(
        pool_id=pool_id,
        condition=condition_to_pb(pool_id, wake.condition),
        state=enums.WAKE_STATE_TO_PB[wake.state],
        matched_events=[event_ref_to_pb(event) for event in wake.matched] if tells else [],
        registered_sequence=wake.registered_sequence,
        ended_sequence=wake.ended_sequence,
        cursor=cursor_of(pool_id, wake.seen_sequence),
        deadline_time=time_to_pb(wake.deadline),
        end_reason=wake.end_reason,
        suspend_traceparent=wake.suspend_traceparent,
        cause_traceparent=wake.cause_traceparent,
        filter_fingerprint=filter_fingerprint(wake.condition.filters),
        register_time=time_to_pb(wake.register_time),
        end_time=time_to_pb(wake.end_time),
        delivery=enums.WAKE_DELIVERY_TO_PB[wake.delivery],
    )


def condition_to_pb(pool_id: str, condition: WakeCondition) -> pb.WakeCondition:
    start = condition.match_from
    return pb.WakeCondition(
        condition_id=condition.condition_id,
        run_id=condition.run_id,
        filters=[_filter_to_pb(each) for each in condition.filters],
        after_matches=condition.after_matches,
        timeout=duration_to_pb(condition.timeout),
        start=enums.START_TO_PB[start] if isinstance(start, Start) else None,
        cursor=None if isinstance(start, Start) else cursor_of(pool_id, start),
        resume_with=enums.RESUME_POLICY_TO_PB[condition.resume_with],
        idempotency_key=condition.idempotency_key,
        policy_refs=policies_to_pb(condition.policy_refs),
    )


def event_ref_to_pb(event: Event) -> pb.EventRef:
    return pb.EventRef(
        event_id=event.event_id,
        sequence=event.sequence,
        kind=event.kind.value,
        message_id=event.message_id,
        reply_to=event.reply_to,
        sender_run_id=event.sender_run_id,
        content_ref=event.content_ref,
        traceparent=event.traceparent,
    )


def _filter_to_pb(each: EventFilter) -> pb.EventFilter:
    return pb.EventFilter(
        kinds=each.kinds,
        recipient_run_ids=each.recipient_run_ids,
        message_ids=each.message_ids,
        reply_to=each.reply_to,
        topics=each.topics,
        sender_run_ids=each.sender_run_ids,
        sender_agent_ids=each.sender_agent_ids,
        correlation=correlation_to_pb(each.correlation),
        correlation_keys=each.correlation_keys,
        terminal_only=each.terminal_only,
    )
