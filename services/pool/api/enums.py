"""The enums of the contract and of the core."""

from __future__ import annotations

from runyard.pool.v1 import pool_pb2 as pb
from services.chassis.protobuf.enums import EnumTable
from services.pool.core.events import ResumePolicy, Start, WakeDelivery, WakeState
from services.pool.core.model import (
    Cardinality,
    DeliveryState,
    LeaverPolicy,
    MessageState,
    PoolState,
    Undelivered,
)

CARDINALITIES = EnumTable(
    pb.Address.Cardinality,
    "CARDINALITY",
    Cardinality,
    without=("ANY_ONE",),  # reserved: a request that has it is answered UNIMPLEMENTED
)
DELIVERY_STATES = EnumTable(
    pb.Delivery.State, "STATE", DeliveryState, without=("DEAD", "CANCELLED")
)
LEAVER_POLICIES = EnumTable(pb.LeaverPolicy, "LEAVER_POLICY", LeaverPolicy)
MESSAGE_STATES = EnumTable(pb.MessageState, "MESSAGE_STATE", MessageState, without=("CANCELLED",))
POOL_STATES = EnumTable(pb.Pool.State, "STATE", PoolState, without=("CLOSED",))
RESUME_POLICIES = EnumTable(pb.ResumePolicy, "RESUME_POLICY", ResumePolicy)
STARTS = EnumTable(pb.WakeCondition.Start, "START", Start)
UNDELIVERED = EnumTable(
    pb.UndeliveredReason, "UNDELIVERED_REASON", Undelivered, without=("TARGET_TERMINAL",)
)
WAKE_DELIVERIES = EnumTable(
    pb.DeliveryOutcome, "DELIVERY_OUTCOME", WakeDelivery, unset=WakeDelivery.NONE
)
WAKE_STATES = EnumTable(pb.Wake.State, "STATE", WakeState)
