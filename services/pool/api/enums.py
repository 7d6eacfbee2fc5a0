"""Enums on both sides; each table names every value, and a test counts them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from runyard.pool.v1 import pool_pb2 as pb
from services.pool.core.events import (
    ResumePolicy,
    Start,
    WakeDelivery,
    WakeState,
)
from services.pool.core.model import (
    Cardinality,
    DeliveryState,
    LeaverPolicy,
    MessageState,
    PoolState,
    Undelivered,
)

E = TypeVar("E", bound=Enum)
N = TypeVar("N", bound=int)


def inverse(table: Mapping[N, E]) -> Mapping[E, N]:
    """The table that encodes what ``table`` decodes."""
    return {value: number for number, value in table.items()}


LEAVER_POLICY: Mapping[pb.LeaverPolicy, LeaverPolicy] = {
    pb.LEAVER_POLICY_DEAD_LETTER: LeaverPolicy.DEAD_LETTER,
    pb.LEAVER_POLICY_REROUTE_TO_AGENT: LeaverPolicy.REROUTE_TO_AGENT,
}
POOL_STATE: Mapping[pb.Pool.State, PoolState] = {
    pb.Pool.STATE_OPEN: PoolState.OPEN,
}
# CARDINALITY_ANY_ONE is reserved: the servicer answers UNIMPLEMENTED before it gets here.
CARDINALITY: Mapping[pb.Address.Cardinality, Cardinality] = {
    pb.Address.CARDINALITY_ALL: Cardinality.ALL,
    pb.Address.CARDINALITY_EXACTLY_ONE: Cardinality.EXACTLY_ONE,
}
MESSAGE_STATE: Mapping[pb.MessageState, MessageState] = {
    pb.MESSAGE_STATE_ACCEPTED: MessageState.ACCEPTED,
    pb.MESSAGE_STATE_DELIVERED: MessageState.DELIVERED,
    pb.MESSAGE_STATE_RESPONDED: MessageState.RESPONDED,
    pb.MESSAGE_STATE_FAILED: MessageState.FAILED,
    pb.MESSAGE_STATE_TIMED_OUT: MessageState.TIMED_OUT,
    pb.MESSAGE_STATE_EXPIRED: MessageState.EXPIRED,
}
UNDELIVERED: Mapping[pb.UndeliveredReason, Undelivered] = {
    pb.UNDELIVERED_REASON_NO_SUCH_MEMBER: Undelivered.NO_SUCH_MEMBER,
    pb.UNDELIVERED_REASON_NO_TOPIC_MEMBERS: Undelivered.NO_TOPIC_MEMBERS,
    pb.UNDELIVERED_REASON_POLICY_REQUIRED_MISSING: Undelivered.POLICY_REQUIRED_MISSING,
    pb.UNDELIVERED_REASON_RECIPIENT_POLICY_MISMATCH: Undelivered.RECIPIENT_POLICY_MISMATCH,
    pb.UNDELIVERED_REASON_FOREIGN_POOL: Undelivered.FOREIGN_POOL,
    pb.UNDELIVERED_REASON_SENDER_EXCLUDED: Undelivered.SENDER_EXCLUDED,
    pb.UNDELIVERED_REASON_AMBIGUOUS_RECIPIENT: Undelivered.AMBIGUOUS_RECIPIENT,
    pb.UNDELIVERED_REASON_EXPIRED: Undelivered.EXPIRED,
}
DELIVERY_STATE: Mapping[pb.Delivery.State, DeliveryState] = {
    pb.Delivery.STATE_PENDING: DeliveryState.PENDING,
    pb.Delivery.STATE_LEASED: DeliveryState.LEASED,
    pb.Delivery.STATE_ACKED: DeliveryState.ACKED,
    pb.Delivery.STATE_EXPIRED: DeliveryState.EXPIRED,
}
RESUME_POLICY: Mapping[pb.ResumePolicy, ResumePolicy] = {
    pb.RESUME_POLICY_MATCHING_EVENT_REFS: ResumePolicy.MATCHING_EVENT_REFS,
    pb.RESUME_POLICY_REDACTED_SUMMARY: ResumePolicy.REDACTED_SUMMARY,
    pb.RESUME_POLICY_NONE: ResumePolicy.NONE,
}
START: Mapping[pb.WakeCondition.Start, Start] = {
    pb.WakeCondition.START_EARLIEST: Start.EARLIEST,
    pb.WakeCondition.START_NOW: Start.NOW,
}
WAKE_STATE: Mapping[pb.Wake.State, WakeState] = {
    pb.Wake.STATE_REGISTERED: WakeState.REGISTERED,
    pb.Wake.STATE_TRIGGERED: WakeState.TRIGGERED,
    pb.Wake.STATE_TIMED_OUT: WakeState.TIMED_OUT,
    pb.Wake.STATE_CANCELLED: WakeState.CANCELLED,
    pb.Wake.STATE_FAILED: WakeState.FAILED,
}
WAKE_DELIVERY: Mapping[pb.DeliveryOutcome, WakeDelivery] = {
    pb.DELIVERY_OUTCOME_UNSPECIFIED: WakeDelivery.NONE,
    pb.DELIVERY_OUTCOME_QUEUED: WakeDelivery.QUEUED,
    pb.DELIVERY_OUTCOME_ACCEPTED: WakeDelivery.ACCEPTED,
    pb.DELIVERY_OUTCOME_RUN_FINISHED: WakeDelivery.RUN_FINISHED,
    pb.DELIVERY_OUTCOME_REFUSED: WakeDelivery.REFUSED,
}

LEAVER_POLICY_TO_PB = inverse(LEAVER_POLICY)
POOL_STATE_TO_PB = inverse(POOL_STATE)
CARDINALITY_TO_PB = inverse(CARDINALITY)
MESSAGE_STATE_TO_PB = inverse(MESSAGE_STATE)
UNDELIVERED_TO_PB = inverse(UNDELIVERED)
DELIVERY_STATE_TO_PB = inverse(DELIVERY_STATE)
RESUME_POLICY_TO_PB = inverse(RESUME_POLICY)
START_TO_PB = inverse(START)
WAKE_STATE_TO_PB = inverse(WAKE_STATE)
WAKE_DELIVERY_TO_PB = inverse(WAKE_DELIVERY)
