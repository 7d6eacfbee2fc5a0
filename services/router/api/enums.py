"""The enums of the contract and of the core."""

from __future__ import annotations

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as pb
from services.chassis.protobuf.enums import EnumTable
from services.content.model import ReasoningEffort
from services.router.core.breaker import BreakerState
from services.router.core.decision import AttemptKind, AttemptOutcome, SkipReason, Sticky
from services.router.core.failures import FailureClass
from services.router.core.model import MidStream
from services.router.core.request import ToolChoiceMode

BREAKERS = EnumTable(pb.BreakerState, "BREAKER_STATE", BreakerState)
EFFORTS = EnumTable(provider.ReasoningEffort, "REASONING_EFFORT", ReasoningEffort)
FAILURES = EnumTable(provider.FailureClass, "FAILURE_CLASS", FailureClass)
KINDS = EnumTable(pb.AttemptKind, "ATTEMPT_KIND", AttemptKind)
MID_STREAMS = EnumTable(pb.MidStream, "MID_STREAM", MidStream)
MODES = EnumTable(provider.ToolChoiceMode, "TOOL_CHOICE_MODE", ToolChoiceMode)
OUTCOMES = EnumTable(pb.AttemptOutcome, "ATTEMPT_OUTCOME", AttemptOutcome)
SKIPS = EnumTable(pb.SkipReason, "SKIP_REASON", SkipReason)
STICKIES = EnumTable(pb.StickyOutcome, "STICKY_OUTCOME", Sticky)
