import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from runyard.types.v1 import content_pb2 as _content_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResourceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOURCE_KIND_UNSPECIFIED: _ClassVar[ResourceKind]
    RESOURCE_KIND_PROVIDER: _ClassVar[ResourceKind]
    RESOURCE_KIND_MODEL: _ClassVar[ResourceKind]
    RESOURCE_KIND_MODEL_POOL: _ClassVar[ResourceKind]
    RESOURCE_KIND_AGENT: _ClassVar[ResourceKind]
    RESOURCE_KIND_TOOL: _ClassVar[ResourceKind]

class BuiltinFaultKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUILTIN_FAULT_KIND_UNSPECIFIED: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_RATE_LIMITED: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_OVERLOADED: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_SERVER_ERROR: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_UNAUTHORIZED: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_INVALID_REQUEST: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_CUT: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_STALL: _ClassVar[BuiltinFaultKind]
    BUILTIN_FAULT_KIND_GARBAGE: _ClassVar[BuiltinFaultKind]

class OpenAiTokenLimitField(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPEN_AI_TOKEN_LIMIT_FIELD_UNSPECIFIED: _ClassVar[OpenAiTokenLimitField]
    OPEN_AI_TOKEN_LIMIT_FIELD_MAX_TOKENS: _ClassVar[OpenAiTokenLimitField]
    OPEN_AI_TOKEN_LIMIT_FIELD_MAX_COMPLETION_TOKENS: _ClassVar[OpenAiTokenLimitField]

class GrpcTransport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRPC_TRANSPORT_UNSPECIFIED: _ClassVar[GrpcTransport]
    GRPC_TRANSPORT_TLS: _ClassVar[GrpcTransport]
    GRPC_TRANSPORT_PLAINTEXT: _ClassVar[GrpcTransport]

class Modality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODALITY_UNSPECIFIED: _ClassVar[Modality]
    MODALITY_TEXT: _ClassVar[Modality]
    MODALITY_IMAGE: _ClassVar[Modality]

class PoolMemberRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POOL_MEMBER_ROLE_UNSPECIFIED: _ClassVar[PoolMemberRole]
    POOL_MEMBER_ROLE_MEMBER: _ClassVar[PoolMemberRole]
    POOL_MEMBER_ROLE_FAILOVER_ONLY: _ClassVar[PoolMemberRole]

class HomeStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOME_STRATEGY_UNSPECIFIED: _ClassVar[HomeStrategy]
    HOME_STRATEGY_DETERMINISTIC: _ClassVar[HomeStrategy]
    HOME_STRATEGY_ROUND_ROBIN: _ClassVar[HomeStrategy]
    HOME_STRATEGY_FIRST_HEALTHY: _ClassVar[HomeStrategy]

class StickyScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STICKY_SCOPE_UNSPECIFIED: _ClassVar[StickyScope]
    STICKY_SCOPE_THREAD: _ClassVar[StickyScope]
    STICKY_SCOPE_RUN: _ClassVar[StickyScope]

class ReturnHome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_HOME_UNSPECIFIED: _ClassVar[ReturnHome]
    RETURN_HOME_NEVER: _ClassVar[ReturnHome]
    RETURN_HOME_NEXT_SESSION: _ClassVar[ReturnHome]

class MidStream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MID_STREAM_UNSPECIFIED: _ClassVar[MidStream]
    MID_STREAM_INTERRUPT: _ClassVar[MidStream]
    MID_STREAM_RESTART: _ClassVar[MidStream]

class ReasoningEffort(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASONING_EFFORT_UNSPECIFIED: _ClassVar[ReasoningEffort]
    REASONING_EFFORT_LOW: _ClassVar[ReasoningEffort]
    REASONING_EFFORT_MEDIUM: _ClassVar[ReasoningEffort]
    REASONING_EFFORT_HIGH: _ClassVar[ReasoningEffort]

class BuiltinTool(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUILTIN_TOOL_UNSPECIFIED: _ClassVar[BuiltinTool]
    BUILTIN_TOOL_POOL_JOIN: _ClassVar[BuiltinTool]
    BUILTIN_TOOL_POOL_SEND: _ClassVar[BuiltinTool]
    BUILTIN_TOOL_POOL_CHECK: _ClassVar[BuiltinTool]
    BUILTIN_TOOL_POOL_RESPOND: _ClassVar[BuiltinTool]
    BUILTIN_TOOL_POOL_WAIT: _ClassVar[BuiltinTool]
    BUILTIN_TOOL_ASK_HUMAN: _ClassVar[BuiltinTool]
    BUILTIN_TOOL_START_RUN: _ClassVar[BuiltinTool]
RESOURCE_KIND_UNSPECIFIED: ResourceKind
RESOURCE_KIND_PROVIDER: ResourceKind
RESOURCE_KIND_MODEL: ResourceKind
RESOURCE_KIND_MODEL_POOL: ResourceKind
RESOURCE_KIND_AGENT: ResourceKind
RESOURCE_KIND_TOOL: ResourceKind
BUILTIN_FAULT_KIND_UNSPECIFIED: BuiltinFaultKind
BUILTIN_FAULT_KIND_RATE_LIMITED: BuiltinFaultKind
BUILTIN_FAULT_KIND_OVERLOADED: BuiltinFaultKind
BUILTIN_FAULT_KIND_SERVER_ERROR: BuiltinFaultKind
BUILTIN_FAULT_KIND_UNAUTHORIZED: BuiltinFaultKind
BUILTIN_FAULT_KIND_INVALID_REQUEST: BuiltinFaultKind
BUILTIN_FAULT_KIND_CUT: BuiltinFaultKind
BUILTIN_FAULT_KIND_STALL: BuiltinFaultKind
BUILTIN_FAULT_KIND_GARBAGE: BuiltinFaultKind
OPEN_AI_TOKEN_LIMIT_FIELD_UNSPECIFIED: OpenAiTokenLimitField
OPEN_AI_TOKEN_LIMIT_FIELD_MAX_TOKENS: OpenAiTokenLimitField
OPEN_AI_TOKEN_LIMIT_FIELD_MAX_COMPLETION_TOKENS: OpenAiTokenLimitField
GRPC_TRANSPORT_UNSPECIFIED: GrpcTransport
GRPC_TRANSPORT_TLS: GrpcTransport
GRPC_TRANSPORT_PLAINTEXT: GrpcTransport
MODALITY_UNSPECIFIED: Modality
MODALITY_TEXT: Modality
MODALITY_IMAGE: Modality
POOL_MEMBER_ROLE_UNSPECIFIED: PoolMemberRole
POOL_MEMBER_ROLE_MEMBER: PoolMemberRole
POOL_MEMBER_ROLE_FAILOVER_ONLY: PoolMemberRole
HOME_STRATEGY_UNSPECIFIED: HomeStrategy
HOME_STRATEGY_DETERMINISTIC: HomeStrategy
HOME_STRATEGY_ROUND_ROBIN: HomeStrategy
HOME_STRATEGY_FIRST_HEALTHY: HomeStrategy
STICKY_SCOPE_UNSPECIFIED: StickyScope
STICKY_SCOPE_THREAD: StickyScope
STICKY_SCOPE_RUN: StickyScope
RETURN_HOME_UNSPECIFIED: ReturnHome
RETURN_HOME_NEVER: ReturnHome
RETURN_HOME_NEXT_SESSION: ReturnHome
MID_STREAM_UNSPECIFIED: MidStream
MID_STREAM_INTERRUPT: MidStream
MID_STREAM_RESTART: MidStream
REASONING_EFFORT_UNSPECIFIED: ReasoningEffort
REASONING_EFFORT_LOW: ReasoningEffort
REASONING_EFFORT_MEDIUM: ReasoningEffort
REASONING_EFFORT_HIGH: ReasoningEffort
BUILTIN_TOOL_UNSPECIFIED: BuiltinTool
BUILTIN_TOOL_POOL_JOIN: BuiltinTool
BUILTIN_TOOL_POOL_SEND: BuiltinTool
BUILTIN_TOOL_POOL_CHECK: BuiltinTool
BUILTIN_TOOL_POOL_RESPOND: BuiltinTool
BUILTIN_TOOL_POOL_WAIT: BuiltinTool
BUILTIN_TOOL_ASK_HUMAN: BuiltinTool
BUILTIN_TOOL_START_RUN: BuiltinTool

class ResourceRef(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: ResourceKind
    id: str
    def __init__(self, kind: _Optional[_Union[ResourceKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("provider", "model", "model_pool", "agent", "tool", "meta")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_POOL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    provider: Provider
    model: Model
    model_pool: ModelPool
    agent: Agent
    tool: Tool
    meta: ResourceMeta
    def __init__(self, provider: _Optional[_Union[Provider, _Mapping]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., model_pool: _Optional[_Union[ModelPool, _Mapping]] = ..., agent: _Optional[_Union[Agent, _Mapping]] = ..., tool: _Optional[_Union[Tool, _Mapping]] = ..., meta: _Optional[_Union[ResourceMeta, _Mapping]] = ...) -> None: ...

class ResourceMeta(_message.Message):
    __slots__ = ("content_hash", "since_version", "apply_set", "update_time", "updated_by")
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    SINCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    APPLY_SET_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BY_FIELD_NUMBER: _ClassVar[int]
    content_hash: str
    since_version: int
    apply_set: str
    update_time: _timestamp_pb2.Timestamp
    updated_by: str
    def __init__(self, content_hash: _Optional[str] = ..., since_version: _Optional[int] = ..., apply_set: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_by: _Optional[str] = ...) -> None: ...

class CredentialRef(_message.Message):
    __slots__ = ("env", "file")
    ENV_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    env: str
    file: str
    def __init__(self, env: _Optional[str] = ..., file: _Optional[str] = ...) -> None: ...

class Provider(_message.Message):
    __slots__ = ("id", "builtin", "openai", "anthropic", "grpc", "base_url", "credential_ref", "timeout")
    ID_FIELD_NUMBER: _ClassVar[int]
    BUILTIN_FIELD_NUMBER: _ClassVar[int]
    OPENAI_FIELD_NUMBER: _ClassVar[int]
    ANTHROPIC_FIELD_NUMBER: _ClassVar[int]
    GRPC_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_REF_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    id: str
    builtin: BuiltinAdapter
    openai: OpenAiAdapter
    anthropic: AnthropicAdapter
    grpc: GrpcAdapter
    base_url: str
    credential_ref: CredentialRef
    timeout: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., builtin: _Optional[_Union[BuiltinAdapter, _Mapping]] = ..., openai: _Optional[_Union[OpenAiAdapter, _Mapping]] = ..., anthropic: _Optional[_Union[AnthropicAdapter, _Mapping]] = ..., grpc: _Optional[_Union[GrpcAdapter, _Mapping]] = ..., base_url: _Optional[str] = ..., credential_ref: _Optional[_Union[CredentialRef, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class BuiltinAdapter(_message.Message):
    __slots__ = ("steps", "delta_interval")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DELTA_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[BuiltinStep]
    delta_interval: _duration_pb2.Duration
    def __init__(self, steps: _Optional[_Iterable[_Union[BuiltinStep, _Mapping]]] = ..., delta_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class BuiltinStep(_message.Message):
    __slots__ = ("matches", "tool_results", "upstream_model", "reply", "fault")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    TOOL_RESULTS_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    matches: str
    tool_results: int
    upstream_model: str
    reply: BuiltinReply
    fault: BuiltinFault
    def __init__(self, matches: _Optional[str] = ..., tool_results: _Optional[int] = ..., upstream_model: _Optional[str] = ..., reply: _Optional[_Union[BuiltinReply, _Mapping]] = ..., fault: _Optional[_Union[BuiltinFault, _Mapping]] = ...) -> None: ...

class BuiltinReply(_message.Message):
    __slots__ = ("text", "tool_calls", "reasoning")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    text: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[BuiltinToolCall]
    reasoning: str
    def __init__(self, text: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[BuiltinToolCall, _Mapping]]] = ..., reasoning: _Optional[str] = ...) -> None: ...

class BuiltinToolCall(_message.Message):
    __slots__ = ("tool_id", "arguments_json")
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    tool_id: str
    arguments_json: str
    def __init__(self, tool_id: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class BuiltinFault(_message.Message):
    __slots__ = ("kind", "retry_after", "after_deltas", "text")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_DELTAS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: BuiltinFaultKind
    retry_after: _duration_pb2.Duration
    after_deltas: int
    text: str
    def __init__(self, kind: _Optional[_Union[BuiltinFaultKind, str]] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., after_deltas: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class OpenAiAdapter(_message.Message):
    __slots__ = ("organization", "project", "token_limit_field", "stream_usage", "headers", "query")
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LIMIT_FIELD_FIELD_NUMBER: _ClassVar[int]
    STREAM_USAGE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    organization: str
    project: str
    token_limit_field: OpenAiTokenLimitField
    stream_usage: bool
    headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    query: _containers.RepeatedCompositeFieldContainer[QueryParameter]
    def __init__(self, organization: _Optional[str] = ..., project: _Optional[str] = ..., token_limit_field: _Optional[_Union[OpenAiTokenLimitField, str]] = ..., stream_usage: bool = ..., headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ..., query: _Optional[_Iterable[_Union[QueryParameter, _Mapping]]] = ...) -> None: ...

class QueryParameter(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class AnthropicAdapter(_message.Message):
    __slots__ = ("api_version", "betas", "headers")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    BETAS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    api_version: str
    betas: _containers.RepeatedScalarFieldContainer[str]
    headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    def __init__(self, api_version: _Optional[str] = ..., betas: _Optional[_Iterable[str]] = ..., headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ...) -> None: ...

class GrpcAdapter(_message.Message):
    __slots__ = ("transport", "authority")
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    transport: GrpcTransport
    authority: str
    def __init__(self, transport: _Optional[_Union[GrpcTransport, str]] = ..., authority: _Optional[str] = ...) -> None: ...

class HttpHeader(_message.Message):
    __slots__ = ("name", "value", "value_ref")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VALUE_REF_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    value_ref: CredentialRef
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., value_ref: _Optional[_Union[CredentialRef, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("id", "provider_id", "upstream_model", "context_window", "max_output_tokens", "modalities", "capabilities", "prices", "cache_ttl", "knowledge_cutoff")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MODALITIES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    CACHE_TTL_FIELD_NUMBER: _ClassVar[int]
    KNOWLEDGE_CUTOFF_FIELD_NUMBER: _ClassVar[int]
    id: str
    provider_id: str
    upstream_model: str
    context_window: int
    max_output_tokens: int
    modalities: _containers.RepeatedScalarFieldContainer[Modality]
    capabilities: ModelCapabilities
    prices: ModelPrices
    cache_ttl: _duration_pb2.Duration
    knowledge_cutoff: str
    def __init__(self, id: _Optional[str] = ..., provider_id: _Optional[str] = ..., upstream_model: _Optional[str] = ..., context_window: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., modalities: _Optional[_Iterable[_Union[Modality, str]]] = ..., capabilities: _Optional[_Union[ModelCapabilities, _Mapping]] = ..., prices: _Optional[_Union[ModelPrices, _Mapping]] = ..., cache_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., knowledge_cutoff: _Optional[str] = ...) -> None: ...

class ModelCapabilities(_message.Message):
    __slots__ = ("tools", "parallel_tool_calls", "json_object", "json_schema", "reasoning")
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    PARALLEL_TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    JSON_OBJECT_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    tools: bool
    parallel_tool_calls: bool
    json_object: bool
    json_schema: bool
    reasoning: bool
    def __init__(self, tools: bool = ..., parallel_tool_calls: bool = ..., json_object: bool = ..., json_schema: bool = ..., reasoning: bool = ...) -> None: ...

class ModelPrices(_message.Message):
    __slots__ = ("currency", "input_per_million", "output_per_million", "cache_read_per_million", "cache_write_per_million")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    INPUT_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    currency: str
    input_per_million: str
    output_per_million: str
    cache_read_per_million: str
    cache_write_per_million: str
    def __init__(self, currency: _Optional[str] = ..., input_per_million: _Optional[str] = ..., output_per_million: _Optional[str] = ..., cache_read_per_million: _Optional[str] = ..., cache_write_per_million: _Optional[str] = ...) -> None: ...

class ModelPool(_message.Message):
    __slots__ = ("id", "members", "routing", "switch", "breaker", "stickiness", "retry", "clocks", "mid_stream")
    ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    SWITCH_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    STICKINESS_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    CLOCKS_FIELD_NUMBER: _ClassVar[int]
    MID_STREAM_FIELD_NUMBER: _ClassVar[int]
    id: str
    members: _containers.RepeatedCompositeFieldContainer[PoolMember]
    routing: PoolRouting
    switch: PoolSwitch
    breaker: PoolBreaker
    stickiness: PoolStickiness
    retry: PoolRetry
    clocks: PoolClocks
    mid_stream: MidStream
    def __init__(self, id: _Optional[str] = ..., members: _Optional[_Iterable[_Union[PoolMember, _Mapping]]] = ..., routing: _Optional[_Union[PoolRouting, _Mapping]] = ..., switch: _Optional[_Union[PoolSwitch, _Mapping]] = ..., breaker: _Optional[_Union[PoolBreaker, _Mapping]] = ..., stickiness: _Optional[_Union[PoolStickiness, _Mapping]] = ..., retry: _Optional[_Union[PoolRetry, _Mapping]] = ..., clocks: _Optional[_Union[PoolClocks, _Mapping]] = ..., mid_stream: _Optional[_Union[MidStream, str]] = ...) -> None: ...

class PoolMember(_message.Message):
    __slots__ = ("model_id", "weight", "role")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    weight: int
    role: PoolMemberRole
    def __init__(self, model_id: _Optional[str] = ..., weight: _Optional[int] = ..., role: _Optional[_Union[PoolMemberRole, str]] = ...) -> None: ...

class PoolRouting(_message.Message):
    __slots__ = ("home", "sticky_scope")
    HOME_FIELD_NUMBER: _ClassVar[int]
    STICKY_SCOPE_FIELD_NUMBER: _ClassVar[int]
    home: HomeStrategy
    sticky_scope: StickyScope
    def __init__(self, home: _Optional[_Union[HomeStrategy, str]] = ..., sticky_scope: _Optional[_Union[StickyScope, str]] = ...) -> None: ...

class PoolSwitch(_message.Message):
    __slots__ = ("on_circuit_open", "on_quota", "on_permanent", "on_retry_exhausted", "quota_retry_after_threshold", "max_switches_per_session")
    ON_CIRCUIT_OPEN_FIELD_NUMBER: _ClassVar[int]
    ON_QUOTA_FIELD_NUMBER: _ClassVar[int]
    ON_PERMANENT_FIELD_NUMBER: _ClassVar[int]
    ON_RETRY_EXHAUSTED_FIELD_NUMBER: _ClassVar[int]
    QUOTA_RETRY_AFTER_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MAX_SWITCHES_PER_SESSION_FIELD_NUMBER: _ClassVar[int]
    on_circuit_open: bool
    on_quota: bool
    on_permanent: bool
    on_retry_exhausted: bool
    quota_retry_after_threshold: _duration_pb2.Duration
    max_switches_per_session: int
    def __init__(self, on_circuit_open: bool = ..., on_quota: bool = ..., on_permanent: bool = ..., on_retry_exhausted: bool = ..., quota_retry_after_threshold: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_switches_per_session: _Optional[int] = ...) -> None: ...

class PoolBreaker(_message.Message):
    __slots__ = ("failure_threshold", "cooldown", "half_open_max")
    FAILURE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    HALF_OPEN_MAX_FIELD_NUMBER: _ClassVar[int]
    failure_threshold: int
    cooldown: _duration_pb2.Duration
    half_open_max: int
    def __init__(self, failure_threshold: _Optional[int] = ..., cooldown: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., half_open_max: _Optional[int] = ...) -> None: ...

class PoolStickiness(_message.Message):
    __slots__ = ("pin_ttl", "return_home")
    PIN_TTL_FIELD_NUMBER: _ClassVar[int]
    RETURN_HOME_FIELD_NUMBER: _ClassVar[int]
    pin_ttl: _duration_pb2.Duration
    return_home: ReturnHome
    def __init__(self, pin_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., return_home: _Optional[_Union[ReturnHome, str]] = ...) -> None: ...

class PoolRetry(_message.Message):
    __slots__ = ("in_place",)
    IN_PLACE_FIELD_NUMBER: _ClassVar[int]
    in_place: int
    def __init__(self, in_place: _Optional[int] = ...) -> None: ...

class PoolClocks(_message.Message):
    __slots__ = ("first_chunk", "idle", "total")
    FIRST_CHUNK_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    first_chunk: _duration_pb2.Duration
    idle: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, first_chunk: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Agent(_message.Message):
    __slots__ = ("id", "model_id", "system_prompt", "tools", "approval_rules", "max_rounds", "max_total_tokens", "sampling", "endpoint")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_RULES_FIELD_NUMBER: _ClassVar[int]
    MAX_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    id: str
    model_id: str
    system_prompt: str
    tools: _containers.RepeatedScalarFieldContainer[str]
    approval_rules: _containers.RepeatedCompositeFieldContainer[ApprovalRule]
    max_rounds: int
    max_total_tokens: int
    sampling: Sampling
    endpoint: AgentEndpoint
    def __init__(self, id: _Optional[str] = ..., model_id: _Optional[str] = ..., system_prompt: _Optional[str] = ..., tools: _Optional[_Iterable[str]] = ..., approval_rules: _Optional[_Iterable[_Union[ApprovalRule, _Mapping]]] = ..., max_rounds: _Optional[int] = ..., max_total_tokens: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., endpoint: _Optional[_Union[AgentEndpoint, _Mapping]] = ...) -> None: ...

class ApprovalRule(_message.Message):
    __slots__ = ("tool_id", "approval", "approval_timeout")
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    tool_id: str
    approval: _content_pb2.Approval
    approval_timeout: _duration_pb2.Duration
    def __init__(self, tool_id: _Optional[str] = ..., approval: _Optional[_Union[_content_pb2.Approval, str]] = ..., approval_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("temperature", "top_p", "max_output_tokens", "stop", "seed", "reasoning_effort")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REASONING_EFFORT_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_p: float
    max_output_tokens: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    reasoning_effort: ReasoningEffort
    def __init__(self, temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., max_output_tokens: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., reasoning_effort: _Optional[_Union[ReasoningEffort, str]] = ...) -> None: ...

class AgentEndpoint(_message.Message):
    __slots__ = ("base_url", "credential_ref", "timeout")
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_REF_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    base_url: str
    credential_ref: CredentialRef
    timeout: _duration_pb2.Duration
    def __init__(self, base_url: _Optional[str] = ..., credential_ref: _Optional[_Union[CredentialRef, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("id", "description", "json_schema", "effect_class", "approval", "builtin", "worker", "timeout", "approval_timeout")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    EFFECT_CLASS_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    BUILTIN_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    json_schema: str
    effect_class: _content_pb2.EffectClass
    approval: _content_pb2.Approval
    builtin: BuiltinTool
    worker: WorkerExecutor
    timeout: _duration_pb2.Duration
    approval_timeout: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ..., json_schema: _Optional[str] = ..., effect_class: _Optional[_Union[_content_pb2.EffectClass, str]] = ..., approval: _Optional[_Union[_content_pb2.Approval, str]] = ..., builtin: _Optional[_Union[BuiltinTool, str]] = ..., worker: _Optional[_Union[WorkerExecutor, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., approval_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WorkerExecutor(_message.Message):
    __slots__ = ("label",)
    LABEL_FIELD_NUMBER: _ClassVar[int]
    label: str
    def __init__(self, label: _Optional[str] = ...) -> None: ...
