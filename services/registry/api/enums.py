"""The enums of the contract and of the core."""

from __future__ import annotations

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.chassis.protobuf.enums import EnumTable
from services.content.model import ReasoningEffort
from services.registry.core.changes.applying import Mode
from services.registry.core.changes.publishing import Action
from services.registry.core.changes.removing_providers import RemovalPolicy
from services.registry.core.executors import BuiltinTool
from services.registry.core.model import (
    BuiltinFaultKind,
    GrpcTransport,
    HomeStrategy,
    MemberRole,
    MidStream,
    Modality,
    ReturnHome,
    StickyScope,
    TokenLimitField,
)
from services.registry.core.refs import Kind
from services.registry.core.rules.validating import Code

MODES = EnumTable(service_pb.ApplyMode, "APPLY_MODE", Mode)
ACTIONS = EnumTable(service_pb.ChangeAction, "CHANGE_ACTION", Action)
CODES = EnumTable(service_pb.DiagnosticCode, "DIAGNOSTIC_CODE", Code)
POLICIES = EnumTable(service_pb.ProviderRemovalPolicy, "PROVIDER_REMOVAL_POLICY", RemovalPolicy)
KINDS = EnumTable(pb.ResourceKind, "RESOURCE_KIND", Kind)
FAULTS = EnumTable(pb.BuiltinFaultKind, "BUILTIN_FAULT_KIND", BuiltinFaultKind)
LIMIT_FIELDS = EnumTable(pb.OpenAiTokenLimitField, "OPEN_AI_TOKEN_LIMIT_FIELD", TokenLimitField)
TRANSPORTS = EnumTable(pb.GrpcTransport, "GRPC_TRANSPORT", GrpcTransport)
MODALITIES = EnumTable(pb.Modality, "MODALITY", Modality)
ROLES = EnumTable(pb.PoolMemberRole, "POOL_MEMBER_ROLE", MemberRole)
HOMES = EnumTable(pb.HomeStrategy, "HOME_STRATEGY", HomeStrategy)
SCOPES = EnumTable(pb.StickyScope, "STICKY_SCOPE", StickyScope)
RETURNS = EnumTable(pb.ReturnHome, "RETURN_HOME", ReturnHome)
MID_STREAMS = EnumTable(pb.MidStream, "MID_STREAM", MidStream)
EFFORTS = EnumTable(pb.ReasoningEffort, "REASONING_EFFORT", ReasoningEffort)
BUILTINS = EnumTable(pb.BuiltinTool, "BUILTIN_TOOL", BuiltinTool)
