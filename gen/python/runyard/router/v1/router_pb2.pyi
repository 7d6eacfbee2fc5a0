import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from runyard.provider.v1 import provider_pb2 as _provider_pb2
from runyard.types.v1 import content_pb2 as _content_pb2
from runyard.types.v1 import stream_pb2 as _stream_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MidStream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MID_STREAM_UNSPECIFIED: _ClassVar[MidStream]
    MID_STREAM_INTERRUPT: _ClassVar[MidStream]
    MID_STREAM_RESTART: _ClassVar[MidStream]

class AttemptKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_KIND_UNSPECIFIED: _ClassVar[AttemptKind]
    ATTEMPT_KIND_INITIAL: _ClassVar[AttemptKind]
    ATTEMPT_KIND_RETRY: _ClassVar[AttemptKind]
    ATTEMPT_KIND_FAILOVER: _ClassVar[AttemptKind]

class AttemptOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_OUTCOME_UNSPECIFIED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_STREAMING: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_SUCCEEDED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_FAILED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_INTERRUPTED: _ClassVar[AttemptOutcome]
    ATTEMPT_OUTCOME_CANCELLED: _ClassVar[AttemptOutcome]

class SkipReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SKIP_REASON_UNSPECIFIED: _ClassVar[SkipReason]
    SKIP_REASON_QUOTA_DEADLINE: _ClassVar[SkipReason]
    SKIP_REASON_CIRCUIT_OPEN: _ClassVar[SkipReason]
    SKIP_REASON_QUARANTINED: _ClassVar[SkipReason]
    SKIP_REASON_INCAPABLE: _ClassVar[SkipReason]
    SKIP_REASON_LIMIT_REACHED: _ClassVar[SkipReason]
    SKIP_REASON_CORDONED: _ClassVar[SkipReason]

class StickyOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STICKY_OUTCOME_UNSPECIFIED: _ClassVar[StickyOutcome]
    STICKY_OUTCOME_HOME: _ClassVar[StickyOutcome]
    STICKY_OUTCOME_PINNED: _ClassVar[StickyOutcome]
    STICKY_OUTCOME_MOVED: _ClassVar[StickyOutcome]
    STICKY_OUTCOME_RETURNED: _ClassVar[StickyOutcome]
    STICKY_OUTCOME_ANONYMOUS: _ClassVar[StickyOutcome]
    STICKY_OUTCOME_THIS_CALL_ONLY: _ClassVar[StickyOutcome]

class BreakerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_STATE_UNSPECIFIED: _ClassVar[BreakerState]
    BREAKER_STATE_CLOSED: _ClassVar[BreakerState]
    BREAKER_STATE_OPEN: _ClassVar[BreakerState]
    BREAKER_STATE_HALF_OPEN: _ClassVar[BreakerState]
MID_STREAM_UNSPECIFIED: MidStream
MID_STREAM_INTERRUPT: MidStream
MID_STREAM_RESTART: MidStream
ATTEMPT_KIND_UNSPECIFIED: AttemptKind
ATTEMPT_KIND_INITIAL: AttemptKind
ATTEMPT_KIND_RETRY: AttemptKind
ATTEMPT_KIND_FAILOVER: AttemptKind
ATTEMPT_OUTCOME_UNSPECIFIED: AttemptOutcome
ATTEMPT_OUTCOME_STREAMING: AttemptOutcome
ATTEMPT_OUTCOME_SUCCEEDED: AttemptOutcome
ATTEMPT_OUTCOME_FAILED: AttemptOutcome
ATTEMPT_OUTCOME_INTERRUPTED: AttemptOutcome
ATTEMPT_OUTCOME_CANCELLED: AttemptOutcome
SKIP_REASON_UNSPECIFIED: SkipReason
SKIP_REASON_QUOTA_DEADLINE: SkipReason
SKIP_REASON_CIRCUIT_OPEN: SkipReason
SKIP_REASON_QUARANTINED: SkipReason
SKIP_REASON_INCAPABLE: SkipReason
SKIP_REASON_LIMIT_REACHED: SkipReason
SKIP_REASON_CORDONED: SkipReason
STICKY_OUTCOME_UNSPECIFIED: StickyOutcome
STICKY_OUTCOME_HOME: StickyOutcome
STICKY_OUTCOME_PINNED: StickyOutcome
STICKY_OUTCOME_MOVED: StickyOutcome
STICKY_OUTCOME_RETURNED: StickyOutcome
STICKY_OUTCOME_ANONYMOUS: StickyOutcome
STICKY_OUTCOME_THIS_CALL_ONLY: StickyOutcome
BREAKER_STATE_UNSPECIFIED: BreakerState
BREAKER_STATE_CLOSED: BreakerState
BREAKER_STATE_OPEN: BreakerState
BREAKER_STATE_HALF_OPEN: BreakerState

class Session(_message.Message):
    __slots__ = ("thread_id", "run_id", "agent_id", "session_key")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_KEY_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    run_id: str
    agent_id: str
    session_key: str
    def __init__(self, thread_id: _Optional[str] = ..., run_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., session_key: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("attempt_id", "number", "member_id", "provider_id", "upstream_model", "kind", "outcome", "failure", "http_status", "retry_after", "elapsed", "probe", "usage")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    number: int
    member_id: str
    provider_id: str
    upstream_model: str
    kind: AttemptKind
    outcome: AttemptOutcome
    failure: _provider_pb2.FailureClass
    http_status: int
    retry_after: _duration_pb2.Duration
    elapsed: _duration_pb2.Duration
    probe: bool
    usage: _content_pb2.Usage
    def __init__(self, attempt_id: _Optional[str] = ..., number: _Optional[int] = ..., member_id: _Optional[str] = ..., provider_id: _Optional[str] = ..., upstream_model: _Optional[str] = ..., kind: _Optional[_Union[AttemptKind, str]] = ..., outcome: _Optional[_Union[AttemptOutcome, str]] = ..., failure: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., http_status: _Optional[int] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., probe: bool = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ...) -> None: ...

class SkippedMember(_message.Message):
    __slots__ = ("member_id", "reason", "until", "detail")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    reason: SkipReason
    until: _timestamp_pb2.Timestamp
    detail: str
    def __init__(self, member_id: _Optional[str] = ..., reason: _Optional[_Union[SkipReason, str]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., detail: _Optional[str] = ...) -> None: ...

class RouteDecision(_message.Message):
    __slots__ = ("target_id", "pool", "pool_revision", "registry_version", "member_id", "provider_id", "upstream_model", "home_member_id", "sticky", "attempts", "skipped", "session", "move_time", "move_reason", "move_skip_reason")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_REVISION_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    HOME_MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    STICKY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MOVE_TIME_FIELD_NUMBER: _ClassVar[int]
    MOVE_REASON_FIELD_NUMBER: _ClassVar[int]
    MOVE_SKIP_REASON_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    pool: bool
    pool_revision: str
    registry_version: int
    member_id: str
    provider_id: str
    upstream_model: str
    home_member_id: str
    sticky: StickyOutcome
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    skipped: _containers.RepeatedCompositeFieldContainer[SkippedMember]
    session: str
    move_time: _timestamp_pb2.Timestamp
    move_reason: _provider_pb2.FailureClass
    move_skip_reason: SkipReason
    def __init__(self, target_id: _Optional[str] = ..., pool: bool = ..., pool_revision: _Optional[str] = ..., registry_version: _Optional[int] = ..., member_id: _Optional[str] = ..., provider_id: _Optional[str] = ..., upstream_model: _Optional[str] = ..., home_member_id: _Optional[str] = ..., sticky: _Optional[_Union[StickyOutcome, str]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., skipped: _Optional[_Iterable[_Union[SkippedMember, _Mapping]]] = ..., session: _Optional[str] = ..., move_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., move_reason: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., move_skip_reason: _Optional[_Union[SkipReason, str]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("decision", "response_id")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    decision: RouteDecision
    response_id: str
    def __init__(self, decision: _Optional[_Union[RouteDecision, _Mapping]] = ..., response_id: _Optional[str] = ...) -> None: ...

class StreamReset(_message.Message):
    __slots__ = ("reason", "decision", "response_id")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    reason: _provider_pb2.FailureClass
    decision: RouteDecision
    response_id: str
    def __init__(self, reason: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., decision: _Optional[_Union[RouteDecision, _Mapping]] = ..., response_id: _Optional[str] = ...) -> None: ...

class Interrupted(_message.Message):
    __slots__ = ("reason", "partial_usage", "committed_length", "resumable", "decision")
    REASON_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_USAGE_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_LENGTH_FIELD_NUMBER: _ClassVar[int]
    RESUMABLE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    reason: _provider_pb2.FailureClass
    partial_usage: _content_pb2.Usage
    committed_length: int
    resumable: bool
    decision: RouteDecision
    def __init__(self, reason: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., partial_usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ..., committed_length: _Optional[int] = ..., resumable: bool = ..., decision: _Optional[_Union[RouteDecision, _Mapping]] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("reason", "decision")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    reason: _content_pb2.FinishReason
    decision: RouteDecision
    def __init__(self, reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ..., decision: _Optional[_Union[RouteDecision, _Mapping]] = ...) -> None: ...

class InferItem(_message.Message):
    __slots__ = ("started", "text_delta", "reasoning_delta", "tool_call_delta", "tool_call_ready", "usage", "stream_reset", "finished", "interrupted")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    REASONING_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_READY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    STREAM_RESET_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTED_FIELD_NUMBER: _ClassVar[int]
    started: Started
    text_delta: _provider_pb2.TextDelta
    reasoning_delta: _provider_pb2.ReasoningDelta
    tool_call_delta: _provider_pb2.ToolCallDelta
    tool_call_ready: _provider_pb2.ToolCallReady
    usage: _content_pb2.Usage
    stream_reset: StreamReset
    finished: Finished
    interrupted: Interrupted
    def __init__(self, started: _Optional[_Union[Started, _Mapping]] = ..., text_delta: _Optional[_Union[_provider_pb2.TextDelta, _Mapping]] = ..., reasoning_delta: _Optional[_Union[_provider_pb2.ReasoningDelta, _Mapping]] = ..., tool_call_delta: _Optional[_Union[_provider_pb2.ToolCallDelta, _Mapping]] = ..., tool_call_ready: _Optional[_Union[_provider_pb2.ToolCallReady, _Mapping]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ..., stream_reset: _Optional[_Union[StreamReset, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., interrupted: _Optional[_Union[Interrupted, _Mapping]] = ...) -> None: ...

class MemberState(_message.Message):
    __slots__ = ("target_id", "member_id", "breaker", "consecutive_failures", "probe_time", "quarantine", "quarantine_end_time", "quota_end_time", "generation", "open_time", "probes_in_flight", "probes_allowed", "last_failure", "last_failure_time", "quarantine_round", "windows", "cordoned", "cordon_time")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    CONSECUTIVE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    PROBE_TIME_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_END_TIME_FIELD_NUMBER: _ClassVar[int]
    QUOTA_END_TIME_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_FIELD_NUMBER: _ClassVar[int]
    PROBES_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    PROBES_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_TIME_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_ROUND_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    CORDON_TIME_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    member_id: str
    breaker: BreakerState
    consecutive_failures: int
    probe_time: _timestamp_pb2.Timestamp
    quarantine: _provider_pb2.FailureClass
    quarantine_end_time: _timestamp_pb2.Timestamp
    quota_end_time: _timestamp_pb2.Timestamp
    generation: int
    open_time: _timestamp_pb2.Timestamp
    probes_in_flight: int
    probes_allowed: int
    last_failure: _provider_pb2.FailureClass
    last_failure_time: _timestamp_pb2.Timestamp
    quarantine_round: int
    windows: _containers.RepeatedCompositeFieldContainer[QuotaWindow]
    cordoned: bool
    cordon_time: _timestamp_pb2.Timestamp
    def __init__(self, target_id: _Optional[str] = ..., member_id: _Optional[str] = ..., breaker: _Optional[_Union[BreakerState, str]] = ..., consecutive_failures: _Optional[int] = ..., probe_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., quarantine: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., quarantine_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., quota_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generation: _Optional[int] = ..., open_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., probes_in_flight: _Optional[int] = ..., probes_allowed: _Optional[int] = ..., last_failure: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., last_failure_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., quarantine_round: _Optional[int] = ..., windows: _Optional[_Iterable[_Union[QuotaWindow, _Mapping]]] = ..., cordoned: bool = ..., cordon_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class QuotaWindow(_message.Message):
    __slots__ = ("kind", "limit", "remaining", "reset_time", "source")
    KIND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESET_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    limit: int
    remaining: int
    reset_time: _timestamp_pb2.Timestamp
    source: str
    def __init__(self, kind: _Optional[str] = ..., limit: _Optional[int] = ..., remaining: _Optional[int] = ..., reset_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ...) -> None: ...

class Pin(_message.Message):
    __slots__ = ("pool_id", "session", "member_id", "home_member_id", "reason", "move_time", "expire_time", "skip_reason")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    HOME_MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MOVE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    SKIP_REASON_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    session: str
    member_id: str
    home_member_id: str
    reason: _provider_pb2.FailureClass
    move_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    skip_reason: SkipReason
    def __init__(self, pool_id: _Optional[str] = ..., session: _Optional[str] = ..., member_id: _Optional[str] = ..., home_member_id: _Optional[str] = ..., reason: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., move_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., skip_reason: _Optional[_Union[SkipReason, str]] = ...) -> None: ...

class Needs(_message.Message):
    __slots__ = ("features", "input_tokens")
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    features: _containers.RepeatedScalarFieldContainer[str]
    input_tokens: int
    def __init__(self, features: _Optional[_Iterable[str]] = ..., input_tokens: _Optional[int] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("member_id", "rank", "weight", "failover_only", "state", "skipped")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FAILOVER_ONLY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    rank: int
    weight: int
    failover_only: bool
    state: MemberState
    skipped: SkippedMember
    def __init__(self, member_id: _Optional[str] = ..., rank: _Optional[int] = ..., weight: _Optional[int] = ..., failover_only: bool = ..., state: _Optional[_Union[MemberState, _Mapping]] = ..., skipped: _Optional[_Union[SkippedMember, _Mapping]] = ...) -> None: ...

class Switched(_message.Message):
    __slots__ = ("target_id", "from_member_id", "to_member_id", "reason", "skip_reason", "session")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SKIP_REASON_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    from_member_id: str
    to_member_id: str
    reason: _provider_pb2.FailureClass
    skip_reason: SkipReason
    session: str
    def __init__(self, target_id: _Optional[str] = ..., from_member_id: _Optional[str] = ..., to_member_id: _Optional[str] = ..., reason: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., skip_reason: _Optional[_Union[SkipReason, str]] = ..., session: _Optional[str] = ...) -> None: ...

class MemberReset(_message.Message):
    __slots__ = ("by", "target_id", "member_id")
    BY_FIELD_NUMBER: _ClassVar[int]
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    by: str
    target_id: str
    member_id: str
    def __init__(self, by: _Optional[str] = ..., target_id: _Optional[str] = ..., member_id: _Optional[str] = ...) -> None: ...

class StateBegin(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StateComplete(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RoutingEvent(_message.Message):
    __slots__ = ("event_time", "member", "pinned", "unpinned", "heartbeat", "reconnect", "state_begin", "state_complete", "switched", "reset")
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    UNPINNED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    STATE_BEGIN_FIELD_NUMBER: _ClassVar[int]
    STATE_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SWITCHED_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    event_time: _timestamp_pb2.Timestamp
    member: MemberState
    pinned: Pin
    unpinned: Pin
    heartbeat: _stream_pb2.Heartbeat
    reconnect: _stream_pb2.Reconnect
    state_begin: StateBegin
    state_complete: StateComplete
    switched: Switched
    reset: MemberReset
    def __init__(self, event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., member: _Optional[_Union[MemberState, _Mapping]] = ..., pinned: _Optional[_Union[Pin, _Mapping]] = ..., unpinned: _Optional[_Union[Pin, _Mapping]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., reconnect: _Optional[_Union[_stream_pb2.Reconnect, _Mapping]] = ..., state_begin: _Optional[_Union[StateBegin, _Mapping]] = ..., state_complete: _Optional[_Union[StateComplete, _Mapping]] = ..., switched: _Optional[_Union[Switched, _Mapping]] = ..., reset: _Optional[_Union[MemberReset, _Mapping]] = ...) -> None: ...
