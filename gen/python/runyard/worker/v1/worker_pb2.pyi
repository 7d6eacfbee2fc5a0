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

class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECT_UNSPECIFIED: _ClassVar[Effect]
    EFFECT_NONE: _ClassVar[Effect]
    EFFECT_DONE: _ClassVar[Effect]
    EFFECT_UNKNOWN: _ClassVar[Effect]
EFFECT_UNSPECIFIED: Effect
EFFECT_NONE: Effect
EFFECT_DONE: Effect
EFFECT_UNKNOWN: Effect

class Hello(_message.Message):
    __slots__ = ("worker_id", "instance_id", "min_protocol", "max_protocol", "tools", "inflight", "undelivered_results", "labels")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    MIN_PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    MAX_PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    UNDELIVERED_RESULTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    instance_id: str
    min_protocol: int
    max_protocol: int
    tools: _containers.RepeatedCompositeFieldContainer[ServedTool]
    inflight: _containers.RepeatedCompositeFieldContainer[CallRef]
    undelivered_results: _containers.RepeatedCompositeFieldContainer[Result]
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, worker_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., min_protocol: _Optional[int] = ..., max_protocol: _Optional[int] = ..., tools: _Optional[_Iterable[_Union[ServedTool, _Mapping]]] = ..., inflight: _Optional[_Iterable[_Union[CallRef, _Mapping]]] = ..., undelivered_results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class ServedTool(_message.Message):
    __slots__ = ("tool_id", "schema_digest", "max_parallel")
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    tool_id: str
    schema_digest: bytes
    max_parallel: int
    def __init__(self, tool_id: _Optional[str] = ..., schema_digest: _Optional[bytes] = ..., max_parallel: _Optional[int] = ...) -> None: ...

class CallRef(_message.Message):
    __slots__ = ("tool_call_id", "attempt", "fence")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    attempt: int
    fence: int
    def __init__(self, tool_call_id: _Optional[str] = ..., attempt: _Optional[int] = ..., fence: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "session_epoch", "protocol", "heartbeat_interval", "lease", "accept_timeout", "verdicts")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    session_epoch: int
    protocol: int
    heartbeat_interval: _duration_pb2.Duration
    lease: _duration_pb2.Duration
    accept_timeout: _duration_pb2.Duration
    verdicts: _containers.RepeatedCompositeFieldContainer[InflightVerdict]
    def __init__(self, session_id: _Optional[str] = ..., session_epoch: _Optional[int] = ..., protocol: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., accept_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., verdicts: _Optional[_Iterable[_Union[InflightVerdict, _Mapping]]] = ...) -> None: ...

class InflightVerdict(_message.Message):
    __slots__ = ("call", "action")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[InflightVerdict.Action]
        ACTION_KEEP: _ClassVar[InflightVerdict.Action]
        ACTION_ABANDON: _ClassVar[InflightVerdict.Action]
    ACTION_UNSPECIFIED: InflightVerdict.Action
    ACTION_KEEP: InflightVerdict.Action
    ACTION_ABANDON: InflightVerdict.Action
    CALL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    call: CallRef
    action: InflightVerdict.Action
    def __init__(self, call: _Optional[_Union[CallRef, _Mapping]] = ..., action: _Optional[_Union[InflightVerdict.Action, str]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: int
    def __init__(self, calls: _Optional[int] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("ref", "run_id", "thread_id", "tool_id", "arguments_json", "argument_digest", "idempotency_key", "effect_class", "deadline_time", "traceparent", "resume", "tool_version", "agent_id", "principal")
    REF_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGUMENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    EFFECT_CLASS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    TOOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    run_id: str
    thread_id: str
    tool_id: str
    arguments_json: str
    argument_digest: bytes
    idempotency_key: str
    effect_class: _content_pb2.EffectClass
    deadline_time: _timestamp_pb2.Timestamp
    traceparent: str
    resume: Resume
    tool_version: str
    agent_id: str
    principal: str
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., tool_id: _Optional[str] = ..., arguments_json: _Optional[str] = ..., argument_digest: _Optional[bytes] = ..., idempotency_key: _Optional[str] = ..., effect_class: _Optional[_Union[_content_pb2.EffectClass, str]] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., tool_version: _Optional[str] = ..., agent_id: _Optional[str] = ..., principal: _Optional[str] = ...) -> None: ...

class SchemaMismatch(_message.Message):
    __slots__ = ("tool_id", "tool_version", "schema_digest", "json_schema")
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_DIGEST_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    tool_id: str
    tool_version: str
    schema_digest: bytes
    json_schema: str
    def __init__(self, tool_id: _Optional[str] = ..., tool_version: _Optional[str] = ..., schema_digest: _Optional[bytes] = ..., json_schema: _Optional[str] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("sealed_state", "answer_json")
    SEALED_STATE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_JSON_FIELD_NUMBER: _ClassVar[int]
    sealed_state: bytes
    answer_json: str
    def __init__(self, sealed_state: _Optional[bytes] = ..., answer_json: _Optional[str] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ...) -> None: ...

class Go(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[CallProgress]
    def __init__(self, calls: _Optional[_Iterable[_Union[CallProgress, _Mapping]]] = ...) -> None: ...

class CallProgress(_message.Message):
    __slots__ = ("ref", "progress_seq", "note")
    REF_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_SEQ_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    progress_seq: int
    note: str
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., progress_seq: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[CallLease]
    def __init__(self, calls: _Optional[_Iterable[_Union[CallLease, _Mapping]]] = ...) -> None: ...

class CallLease(_message.Message):
    __slots__ = ("ref", "until_time")
    REF_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    until_time: _timestamp_pb2.Timestamp
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NeedInput(_message.Message):
    __slots__ = ("ref", "question", "sealed_state")
    REF_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SEALED_STATE_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    question: str
    sealed_state: bytes
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., question: _Optional[str] = ..., sealed_state: _Optional[bytes] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("ref", "idempotency_key", "tool_id", "arguments_json", "run_id", "thread_id", "agent_id", "principal", "traceparent", "tool_version")
    REF_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TOOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    idempotency_key: str
    tool_id: str
    arguments_json: str
    run_id: str
    thread_id: str
    agent_id: str
    principal: str
    traceparent: str
    tool_version: str
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., idempotency_key: _Optional[str] = ..., tool_id: _Optional[str] = ..., arguments_json: _Optional[str] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., principal: _Optional[str] = ..., traceparent: _Optional[str] = ..., tool_version: _Optional[str] = ...) -> None: ...

class ProbeResult(_message.Message):
    __slots__ = ("ref", "effect", "content")
    REF_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    effect: Effect
    content: str
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., effect: _Optional[_Union[Effect, str]] = ..., content: _Optional[str] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("ref", "reason", "grace")
    REF_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    reason: str
    grace: _duration_pb2.Duration
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., reason: _Optional[str] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("ref", "succeeded", "failed", "cancelled")
    REF_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    succeeded: Succeeded
    failed: Failed
    cancelled: Cancelled
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., succeeded: _Optional[_Union[Succeeded, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., cancelled: _Optional[_Union[Cancelled, _Mapping]] = ...) -> None: ...

class Succeeded(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: str
    def __init__(self, content: _Optional[str] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("code", "message", "retryable")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retryable: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retryable: bool = ...) -> None: ...

class Cancelled(_message.Message):
    __slots__ = ("effect",)
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    effect: Effect
    def __init__(self, effect: _Optional[_Union[Effect, str]] = ...) -> None: ...

class ResultAck(_message.Message):
    __slots__ = ("ref", "outcome")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ResultAck.Outcome]
        OUTCOME_COMMITTED: _ClassVar[ResultAck.Outcome]
        OUTCOME_DUPLICATE: _ClassVar[ResultAck.Outcome]
        OUTCOME_FENCED: _ClassVar[ResultAck.Outcome]
    OUTCOME_UNSPECIFIED: ResultAck.Outcome
    OUTCOME_COMMITTED: ResultAck.Outcome
    OUTCOME_DUPLICATE: ResultAck.Outcome
    OUTCOME_FENCED: ResultAck.Outcome
    REF_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    outcome: ResultAck.Outcome
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ..., outcome: _Optional[_Union[ResultAck.Outcome, str]] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("deadline_time",)
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    deadline_time: _timestamp_pb2.Timestamp
    def __init__(self, deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Handback(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: CallRef
    def __init__(self, ref: _Optional[_Union[CallRef, _Mapping]] = ...) -> None: ...
