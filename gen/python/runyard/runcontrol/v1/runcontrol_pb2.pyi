import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from runyard.provider.v1 import provider_pb2 as _provider_pb2
from runyard.router.v1 import router_pb2 as _router_pb2
from runyard.types.v1 import content_pb2 as _content_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TerminationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TERMINATION_REASON_UNSPECIFIED: _ClassVar[TerminationReason]
    TERMINATION_REASON_NATURAL_END: _ClassVar[TerminationReason]
    TERMINATION_REASON_MAX_ROUNDS: _ClassVar[TerminationReason]
    TERMINATION_REASON_TOKEN_BUDGET: _ClassVar[TerminationReason]
    TERMINATION_REASON_CANCELLED: _ClassVar[TerminationReason]
    TERMINATION_REASON_SUPERSEDED: _ClassVar[TerminationReason]
    TERMINATION_REASON_DEADLINE: _ClassVar[TerminationReason]
    TERMINATION_REASON_ERROR: _ClassVar[TerminationReason]
    TERMINATION_REASON_DEAD_LETTER: _ClassVar[TerminationReason]
    TERMINATION_REASON_NO_ANSWER: _ClassVar[TerminationReason]

class WaitingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAITING_KIND_UNSPECIFIED: _ClassVar[WaitingKind]
    WAITING_KIND_APPROVAL: _ClassVar[WaitingKind]
    WAITING_KIND_USER_INPUT: _ClassVar[WaitingKind]
    WAITING_KIND_TOOL: _ClassVar[WaitingKind]
    WAITING_KIND_WAKE: _ClassVar[WaitingKind]
    WAITING_KIND_RECONCILE: _ClassVar[WaitingKind]
    WAITING_KIND_BACKOFF: _ClassVar[WaitingKind]
    WAITING_KIND_TOOL_INPUT: _ClassVar[WaitingKind]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]

class InjectMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INJECT_MODE_UNSPECIFIED: _ClassVar[InjectMode]
    INJECT_MODE_QUEUE: _ClassVar[InjectMode]
    INJECT_MODE_INTERRUPT_THEN_QUEUE: _ClassVar[InjectMode]
    INJECT_MODE_RESUME_OPEN_RUN: _ClassVar[InjectMode]
    INJECT_MODE_LIVE_THEN_QUEUE: _ClassVar[InjectMode]

class InputDisposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INPUT_DISPOSITION_UNSPECIFIED: _ClassVar[InputDisposition]
    INPUT_DISPOSITION_QUEUED: _ClassVar[InputDisposition]
    INPUT_DISPOSITION_RESUMED: _ClassVar[InputDisposition]
    INPUT_DISPOSITION_LIVE: _ClassVar[InputDisposition]
    INPUT_DISPOSITION_BLOCKED_BY_TICKETS: _ClassVar[InputDisposition]
    INPUT_DISPOSITION_BLOCKED_BY_CALLS: _ClassVar[InputDisposition]

class MessageOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_ORIGIN_UNSPECIFIED: _ClassVar[MessageOrigin]
    MESSAGE_ORIGIN_INPUT: _ClassVar[MessageOrigin]
    MESSAGE_ORIGIN_MODEL: _ClassVar[MessageOrigin]
    MESSAGE_ORIGIN_TOOL: _ClassVar[MessageOrigin]
    MESSAGE_ORIGIN_POOL: _ClassVar[MessageOrigin]

class WakeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAKE_STATUS_UNSPECIFIED: _ClassVar[WakeStatus]
    WAKE_STATUS_TRIGGERED: _ClassVar[WakeStatus]
    WAKE_STATUS_TIMED_OUT: _ClassVar[WakeStatus]
    WAKE_STATUS_CANCELLED: _ClassVar[WakeStatus]
    WAKE_STATUS_FAILED: _ClassVar[WakeStatus]
TERMINATION_REASON_UNSPECIFIED: TerminationReason
TERMINATION_REASON_NATURAL_END: TerminationReason
TERMINATION_REASON_MAX_ROUNDS: TerminationReason
TERMINATION_REASON_TOKEN_BUDGET: TerminationReason
TERMINATION_REASON_CANCELLED: TerminationReason
TERMINATION_REASON_SUPERSEDED: TerminationReason
TERMINATION_REASON_DEADLINE: TerminationReason
TERMINATION_REASON_ERROR: TerminationReason
TERMINATION_REASON_DEAD_LETTER: TerminationReason
TERMINATION_REASON_NO_ANSWER: TerminationReason
WAITING_KIND_UNSPECIFIED: WaitingKind
WAITING_KIND_APPROVAL: WaitingKind
WAITING_KIND_USER_INPUT: WaitingKind
WAITING_KIND_TOOL: WaitingKind
WAITING_KIND_WAKE: WaitingKind
WAITING_KIND_RECONCILE: WaitingKind
WAITING_KIND_BACKOFF: WaitingKind
WAITING_KIND_TOOL_INPUT: WaitingKind
PRIORITY_UNSPECIFIED: Priority
PRIORITY_HIGH: Priority
PRIORITY_NORMAL: Priority
PRIORITY_LOW: Priority
INJECT_MODE_UNSPECIFIED: InjectMode
INJECT_MODE_QUEUE: InjectMode
INJECT_MODE_INTERRUPT_THEN_QUEUE: InjectMode
INJECT_MODE_RESUME_OPEN_RUN: InjectMode
INJECT_MODE_LIVE_THEN_QUEUE: InjectMode
INPUT_DISPOSITION_UNSPECIFIED: InputDisposition
INPUT_DISPOSITION_QUEUED: InputDisposition
INPUT_DISPOSITION_RESUMED: InputDisposition
INPUT_DISPOSITION_LIVE: InputDisposition
INPUT_DISPOSITION_BLOCKED_BY_TICKETS: InputDisposition
INPUT_DISPOSITION_BLOCKED_BY_CALLS: InputDisposition
MESSAGE_ORIGIN_UNSPECIFIED: MessageOrigin
MESSAGE_ORIGIN_INPUT: MessageOrigin
MESSAGE_ORIGIN_MODEL: MessageOrigin
MESSAGE_ORIGIN_TOOL: MessageOrigin
MESSAGE_ORIGIN_POOL: MessageOrigin
WAKE_STATUS_UNSPECIFIED: WakeStatus
WAKE_STATUS_TRIGGERED: WakeStatus
WAKE_STATUS_TIMED_OUT: WakeStatus
WAKE_STATUS_CANCELLED: WakeStatus
WAKE_STATUS_FAILED: WakeStatus

class Thread(_message.Message):
    __slots__ = ("thread_id", "state", "epoch", "fence", "agent_id", "active_run_id", "open_run_id", "latest_run_id", "queued_dispatches", "head_seq", "create_time", "update_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Thread.State]
        STATE_IDLE: _ClassVar[Thread.State]
        STATE_READY: _ClassVar[Thread.State]
        STATE_ACTIVE: _ClassVar[Thread.State]
        STATE_PARKED: _ClassVar[Thread.State]
        STATE_CLOSED: _ClassVar[Thread.State]
    STATE_UNSPECIFIED: Thread.State
    STATE_IDLE: Thread.State
    STATE_READY: Thread.State
    STATE_ACTIVE: Thread.State
    STATE_PARKED: Thread.State
    STATE_CLOSED: Thread.State
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OPEN_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUED_DISPATCHES_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    state: Thread.State
    epoch: int
    fence: int
    agent_id: str
    active_run_id: str
    open_run_id: str
    latest_run_id: str
    queued_dispatches: int
    head_seq: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, thread_id: _Optional[str] = ..., state: _Optional[_Union[Thread.State, str]] = ..., epoch: _Optional[int] = ..., fence: _Optional[int] = ..., agent_id: _Optional[str] = ..., active_run_id: _Optional[str] = ..., open_run_id: _Optional[str] = ..., latest_run_id: _Optional[str] = ..., queued_dispatches: _Optional[int] = ..., head_seq: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "thread_id", "agent_id", "state", "termination", "waiting_reasons", "dispatch_id", "step", "rounds", "usage", "output_text", "registry_version", "spec_digest", "pool", "deadline_time", "budget", "priority", "head_seq", "create_time", "start_time", "end_time", "traceparent", "parent_run_id", "parent_tool_call_id", "submitted_by", "labels", "executor", "not_before_time", "output_chars")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Run.State]
        STATE_QUEUED: _ClassVar[Run.State]
        STATE_RUNNING: _ClassVar[Run.State]
        STATE_WAITING: _ClassVar[Run.State]
        STATE_CANCELLING: _ClassVar[Run.State]
        STATE_DONE: _ClassVar[Run.State]
    STATE_UNSPECIFIED: Run.State
    STATE_QUEUED: Run.State
    STATE_RUNNING: Run.State
    STATE_WAITING: Run.State
    STATE_CANCELLING: Run.State
    STATE_DONE: Run.State
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TERMINATION_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASONS_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TEXT_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_DIGEST_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_BY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CHARS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    thread_id: str
    agent_id: str
    state: Run.State
    termination: Termination
    waiting_reasons: _containers.RepeatedCompositeFieldContainer[WaitingReason]
    dispatch_id: str
    step: int
    rounds: int
    usage: _content_pb2.Usage
    output_text: str
    registry_version: int
    spec_digest: bytes
    pool: PoolMembership
    deadline_time: _timestamp_pb2.Timestamp
    budget: Budget
    priority: Priority
    head_seq: int
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    traceparent: str
    parent_run_id: str
    parent_tool_call_id: str
    submitted_by: str
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    executor: Executor
    not_before_time: _timestamp_pb2.Timestamp
    output_chars: int
    def __init__(self, run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., state: _Optional[_Union[Run.State, str]] = ..., termination: _Optional[_Union[Termination, _Mapping]] = ..., waiting_reasons: _Optional[_Iterable[_Union[WaitingReason, _Mapping]]] = ..., dispatch_id: _Optional[str] = ..., step: _Optional[int] = ..., rounds: _Optional[int] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ..., output_text: _Optional[str] = ..., registry_version: _Optional[int] = ..., spec_digest: _Optional[bytes] = ..., pool: _Optional[_Union[PoolMembership, _Mapping]] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., head_seq: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., parent_run_id: _Optional[str] = ..., parent_tool_call_id: _Optional[str] = ..., submitted_by: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., executor: _Optional[_Union[Executor, _Mapping]] = ..., not_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., output_chars: _Optional[int] = ...) -> None: ...

class Executor(_message.Message):
    __slots__ = ("instance_id", "fence", "lease_until_time")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    fence: int
    lease_until_time: _timestamp_pb2.Timestamp
    def __init__(self, instance_id: _Optional[str] = ..., fence: _Optional[int] = ..., lease_until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Termination(_message.Message):
    __slots__ = ("reason", "message", "error_reason")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    reason: TerminationReason
    message: str
    error_reason: str
    def __init__(self, reason: _Optional[_Union[TerminationReason, str]] = ..., message: _Optional[str] = ..., error_reason: _Optional[str] = ...) -> None: ...

class WaitingReason(_message.Message):
    __slots__ = ("kind", "ticket_id", "tool_call_id", "condition_id", "until_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ID_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: WaitingKind
    ticket_id: str
    tool_call_id: str
    condition_id: str
    until_time: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[WaitingKind, str]] = ..., ticket_id: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., condition_id: _Optional[str] = ..., until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PoolMembership(_message.Message):
    __slots__ = ("pool_id", "topics")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pool_id: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("max_rounds", "max_total_tokens")
    MAX_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_rounds: int
    max_total_tokens: int
    def __init__(self, max_rounds: _Optional[int] = ..., max_total_tokens: _Optional[int] = ...) -> None: ...

class Dispatch(_message.Message):
    __slots__ = ("dispatch_id", "run_id", "thread_id", "state", "kind", "attempt", "handoffs", "available_time", "last_error", "redrive_of", "redriven_run_id")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Dispatch.State]
        STATE_QUEUED: _ClassVar[Dispatch.State]
        STATE_CLAIMED: _ClassVar[Dispatch.State]
        STATE_ACKED: _ClassVar[Dispatch.State]
        STATE_CANCELLED: _ClassVar[Dispatch.State]
        STATE_SUPERSEDED: _ClassVar[Dispatch.State]
        STATE_DEAD: _ClassVar[Dispatch.State]
    STATE_UNSPECIFIED: Dispatch.State
    STATE_QUEUED: Dispatch.State
    STATE_CLAIMED: Dispatch.State
    STATE_ACKED: Dispatch.State
    STATE_CANCELLED: Dispatch.State
    STATE_SUPERSEDED: Dispatch.State
    STATE_DEAD: Dispatch.State
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Dispatch.Kind]
        KIND_START: _ClassVar[Dispatch.Kind]
        KIND_CONTINUE: _ClassVar[Dispatch.Kind]
    KIND_UNSPECIFIED: Dispatch.Kind
    KIND_START: Dispatch.Kind
    KIND_CONTINUE: Dispatch.Kind
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    HANDOFFS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    REDRIVE_OF_FIELD_NUMBER: _ClassVar[int]
    REDRIVEN_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    dispatch_id: str
    run_id: str
    thread_id: str
    state: Dispatch.State
    kind: Dispatch.Kind
    attempt: int
    handoffs: int
    available_time: _timestamp_pb2.Timestamp
    last_error: str
    redrive_of: str
    redriven_run_id: str
    def __init__(self, dispatch_id: _Optional[str] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., state: _Optional[_Union[Dispatch.State, str]] = ..., kind: _Optional[_Union[Dispatch.Kind, str]] = ..., attempt: _Optional[int] = ..., handoffs: _Optional[int] = ..., available_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_error: _Optional[str] = ..., redrive_of: _Optional[str] = ..., redriven_run_id: _Optional[str] = ...) -> None: ...

class ToolInvocation(_message.Message):
    __slots__ = ("tool_call_id", "model_call_id", "tool_id", "arguments_json", "argument_digest", "effect_class", "state", "attempt", "result", "child_run_id", "arguments_by", "arguments_chars", "result_chars", "worker_id", "plan_time", "dispatch_time", "accept_time", "settle_time", "step", "withheld_from_worker_id", "late_results")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ToolInvocation.State]
        STATE_PLANNED: _ClassVar[ToolInvocation.State]
        STATE_GATED: _ClassVar[ToolInvocation.State]
        STATE_READY: _ClassVar[ToolInvocation.State]
        STATE_DISPATCHED: _ClassVar[ToolInvocation.State]
        STATE_ACCEPTED: _ClassVar[ToolInvocation.State]
        STATE_SUSPENDED: _ClassVar[ToolInvocation.State]
        STATE_SUCCEEDED: _ClassVar[ToolInvocation.State]
        STATE_FAILED: _ClassVar[ToolInvocation.State]
        STATE_CANCELLED: _ClassVar[ToolInvocation.State]
        STATE_UNKNOWN: _ClassVar[ToolInvocation.State]
    STATE_UNSPECIFIED: ToolInvocation.State
    STATE_PLANNED: ToolInvocation.State
    STATE_GATED: ToolInvocation.State
    STATE_READY: ToolInvocation.State
    STATE_DISPATCHED: ToolInvocation.State
    STATE_ACCEPTED: ToolInvocation.State
    STATE_SUSPENDED: ToolInvocation.State
    STATE_SUCCEEDED: ToolInvocation.State
    STATE_FAILED: ToolInvocation.State
    STATE_CANCELLED: ToolInvocation.State
    STATE_UNKNOWN: ToolInvocation.State
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGUMENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    EFFECT_CLASS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CHILD_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_BY_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_CHARS_FIELD_NUMBER: _ClassVar[int]
    RESULT_CHARS_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_TIME_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_TIME_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    SETTLE_TIME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FROM_WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    LATE_RESULTS_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    model_call_id: str
    tool_id: str
    arguments_json: str
    argument_digest: bytes
    effect_class: _content_pb2.EffectClass
    state: ToolInvocation.State
    attempt: int
    result: str
    child_run_id: str
    arguments_by: str
    arguments_chars: int
    result_chars: int
    worker_id: str
    plan_time: _timestamp_pb2.Timestamp
    dispatch_time: _timestamp_pb2.Timestamp
    accept_time: _timestamp_pb2.Timestamp
    settle_time: _timestamp_pb2.Timestamp
    step: int
    withheld_from_worker_id: str
    late_results: _containers.RepeatedCompositeFieldContainer[LateResult]
    def __init__(self, tool_call_id: _Optional[str] = ..., model_call_id: _Optional[str] = ..., tool_id: _Optional[str] = ..., arguments_json: _Optional[str] = ..., argument_digest: _Optional[bytes] = ..., effect_class: _Optional[_Union[_content_pb2.EffectClass, str]] = ..., state: _Optional[_Union[ToolInvocation.State, str]] = ..., attempt: _Optional[int] = ..., result: _Optional[str] = ..., child_run_id: _Optional[str] = ..., arguments_by: _Optional[str] = ..., arguments_chars: _Optional[int] = ..., result_chars: _Optional[int] = ..., worker_id: _Optional[str] = ..., plan_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dispatch_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., settle_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[int] = ..., withheld_from_worker_id: _Optional[str] = ..., late_results: _Optional[_Iterable[_Union[LateResult, _Mapping]]] = ...) -> None: ...

class LateResult(_message.Message):
    __slots__ = ("attempt", "fence", "reported_by", "worker_id", "state", "text", "report_time")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    REPORTED_BY_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    fence: int
    reported_by: str
    worker_id: str
    state: ToolInvocation.State
    text: str
    report_time: _timestamp_pb2.Timestamp
    def __init__(self, attempt: _Optional[int] = ..., fence: _Optional[int] = ..., reported_by: _Optional[str] = ..., worker_id: _Optional[str] = ..., state: _Optional[_Union[ToolInvocation.State, str]] = ..., text: _Optional[str] = ..., report_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("ticket_id", "kind", "state", "run_id", "thread_id", "agent_id", "tool_call_id", "tool_id", "arguments_json", "argument_digest", "question", "decision", "void_reason", "create_time", "expire_time", "arguments_chars", "question_chars")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Ticket.State]
        STATE_OPEN: _ClassVar[Ticket.State]
        STATE_DECIDED: _ClassVar[Ticket.State]
        STATE_CONSUMED: _ClassVar[Ticket.State]
        STATE_EXPIRED: _ClassVar[Ticket.State]
        STATE_VOID: _ClassVar[Ticket.State]
    STATE_UNSPECIFIED: Ticket.State
    STATE_OPEN: Ticket.State
    STATE_DECIDED: Ticket.State
    STATE_CONSUMED: Ticket.State
    STATE_EXPIRED: Ticket.State
    STATE_VOID: Ticket.State
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Ticket.Kind]
        KIND_APPROVAL: _ClassVar[Ticket.Kind]
        KIND_RECONCILE: _ClassVar[Ticket.Kind]
        KIND_QUESTION: _ClassVar[Ticket.Kind]
        KIND_TOOL_INPUT: _ClassVar[Ticket.Kind]
    KIND_UNSPECIFIED: Ticket.Kind
    KIND_APPROVAL: Ticket.Kind
    KIND_RECONCILE: Ticket.Kind
    KIND_QUESTION: Ticket.Kind
    KIND_TOOL_INPUT: Ticket.Kind
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGUMENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    VOID_REASON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_CHARS_FIELD_NUMBER: _ClassVar[int]
    QUESTION_CHARS_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    kind: Ticket.Kind
    state: Ticket.State
    run_id: str
    thread_id: str
    agent_id: str
    tool_call_id: str
    tool_id: str
    arguments_json: str
    argument_digest: bytes
    question: str
    decision: Decision
    void_reason: str
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    arguments_chars: int
    question_chars: int
    def __init__(self, ticket_id: _Optional[str] = ..., kind: _Optional[_Union[Ticket.Kind, str]] = ..., state: _Optional[_Union[Ticket.State, str]] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., tool_id: _Optional[str] = ..., arguments_json: _Optional[str] = ..., argument_digest: _Optional[bytes] = ..., question: _Optional[str] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., void_reason: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., arguments_chars: _Optional[int] = ..., question_chars: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("decision_id", "verdict", "decided_by", "comment", "decide_time")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    verdict: Verdict
    decided_by: str
    comment: str
    decide_time: _timestamp_pb2.Timestamp
    def __init__(self, decision_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., decided_by: _Optional[str] = ..., comment: _Optional[str] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("approve", "approve_edited", "deny", "answer", "pass_to_tool", "cancel_call", "cancel_run", "happened", "did_not_happen", "abandon")
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    APPROVE_EDITED_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PASS_TO_TOOL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_CALL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_RUN_FIELD_NUMBER: _ClassVar[int]
    HAPPENED_FIELD_NUMBER: _ClassVar[int]
    DID_NOT_HAPPEN_FIELD_NUMBER: _ClassVar[int]
    ABANDON_FIELD_NUMBER: _ClassVar[int]
    approve: Approve
    approve_edited: ApproveEdited
    deny: Deny
    answer: Answer
    pass_to_tool: PassToTool
    cancel_call: CancelCall
    cancel_run: CancelWholeRun
    happened: Happened
    did_not_happen: DidNotHappen
    abandon: Abandon
    def __init__(self, approve: _Optional[_Union[Approve, _Mapping]] = ..., approve_edited: _Optional[_Union[ApproveEdited, _Mapping]] = ..., deny: _Optional[_Union[Deny, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., pass_to_tool: _Optional[_Union[PassToTool, _Mapping]] = ..., cancel_call: _Optional[_Union[CancelCall, _Mapping]] = ..., cancel_run: _Optional[_Union[CancelWholeRun, _Mapping]] = ..., happened: _Optional[_Union[Happened, _Mapping]] = ..., did_not_happen: _Optional[_Union[DidNotHappen, _Mapping]] = ..., abandon: _Optional[_Union[Abandon, _Mapping]] = ...) -> None: ...

class Approve(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ApproveEdited(_message.Message):
    __slots__ = ("arguments_json",)
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    arguments_json: str
    def __init__(self, arguments_json: _Optional[str] = ...) -> None: ...

class Deny(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: str
    def __init__(self, content: _Optional[str] = ...) -> None: ...

class PassToTool(_message.Message):
    __slots__ = ("payload_json",)
    PAYLOAD_JSON_FIELD_NUMBER: _ClassVar[int]
    payload_json: str
    def __init__(self, payload_json: _Optional[str] = ...) -> None: ...

class CancelCall(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelWholeRun(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Happened(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: str
    def __init__(self, content: _Optional[str] = ...) -> None: ...

class DidNotHappen(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Abandon(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Input(_message.Message):
    __slots__ = ("input_id", "thread_id", "run_id", "messages", "state", "revision", "consumed_by_run_id", "create_time", "agent_id", "mode", "disposition", "blocked_by_ids", "messages_left_out")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Input.State]
        STATE_PENDING: _ClassVar[Input.State]
        STATE_CONSUMED: _ClassVar[Input.State]
        STATE_RETRACTED: _ClassVar[Input.State]
        STATE_DROPPED: _ClassVar[Input.State]
    STATE_UNSPECIFIED: Input.State
    STATE_PENDING: Input.State
    STATE_CONSUMED: Input.State
    STATE_RETRACTED: Input.State
    STATE_DROPPED: Input.State
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_BY_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_BY_IDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    thread_id: str
    run_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    state: Input.State
    revision: int
    consumed_by_run_id: str
    create_time: _timestamp_pb2.Timestamp
    agent_id: str
    mode: InjectMode
    disposition: InputDisposition
    blocked_by_ids: _containers.RepeatedScalarFieldContainer[str]
    messages_left_out: bool
    def __init__(self, input_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., run_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., state: _Optional[_Union[Input.State, str]] = ..., revision: _Optional[int] = ..., consumed_by_run_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., agent_id: _Optional[str] = ..., mode: _Optional[_Union[InjectMode, str]] = ..., disposition: _Optional[_Union[InputDisposition, str]] = ..., blocked_by_ids: _Optional[_Iterable[str]] = ..., messages_left_out: bool = ...) -> None: ...

class ThreadMessage(_message.Message):
    __slots__ = ("sequence", "run_id", "origin", "message", "create_time", "whole_bytes")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    WHOLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    run_id: str
    origin: MessageOrigin
    message: _content_pb2.Message
    create_time: _timestamp_pb2.Timestamp
    whole_bytes: int
    def __init__(self, sequence: _Optional[int] = ..., run_id: _Optional[str] = ..., origin: _Optional[_Union[MessageOrigin, str]] = ..., message: _Optional[_Union[_content_pb2.Message, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., whole_bytes: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("run_seq", "thread_seq", "run_id", "thread_id", "create_time", "step", "run_queued", "run_started", "run_resumed", "run_cancelling", "run_finished", "step_started", "step_ended", "step_reset", "text_delta", "reasoning_delta", "message_committed", "tool_call_planned", "tool_call_gated", "tool_call_dispatched", "tool_call_accepted", "tool_call_progress", "tool_call_settled", "ticket_opened", "ticket_decided", "ticket_expired", "ticket_voided", "input_queued", "input_consumed", "input_edited", "input_retracted", "attempt_failed", "routed", "run_parked", "run_woken", "usage_reported", "tool_call_probed", "tool_call_withheld")
    RUN_SEQ_FIELD_NUMBER: _ClassVar[int]
    THREAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    RUN_QUEUED_FIELD_NUMBER: _ClassVar[int]
    RUN_STARTED_FIELD_NUMBER: _ClassVar[int]
    RUN_RESUMED_FIELD_NUMBER: _ClassVar[int]
    RUN_CANCELLING_FIELD_NUMBER: _ClassVar[int]
    RUN_FINISHED_FIELD_NUMBER: _ClassVar[int]
    STEP_STARTED_FIELD_NUMBER: _ClassVar[int]
    STEP_ENDED_FIELD_NUMBER: _ClassVar[int]
    STEP_RESET_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    REASONING_DELTA_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COMMITTED_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_PLANNED_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_GATED_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_DISPATCHED_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_SETTLED_FIELD_NUMBER: _ClassVar[int]
    TICKET_OPENED_FIELD_NUMBER: _ClassVar[int]
    TICKET_DECIDED_FIELD_NUMBER: _ClassVar[int]
    TICKET_EXPIRED_FIELD_NUMBER: _ClassVar[int]
    TICKET_VOIDED_FIELD_NUMBER: _ClassVar[int]
    INPUT_QUEUED_FIELD_NUMBER: _ClassVar[int]
    INPUT_CONSUMED_FIELD_NUMBER: _ClassVar[int]
    INPUT_EDITED_FIELD_NUMBER: _ClassVar[int]
    INPUT_RETRACTED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FAILED_FIELD_NUMBER: _ClassVar[int]
    ROUTED_FIELD_NUMBER: _ClassVar[int]
    RUN_PARKED_FIELD_NUMBER: _ClassVar[int]
    RUN_WOKEN_FIELD_NUMBER: _ClassVar[int]
    USAGE_REPORTED_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_PROBED_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_WITHHELD_FIELD_NUMBER: _ClassVar[int]
    run_seq: int
    thread_seq: int
    run_id: str
    thread_id: str
    create_time: _timestamp_pb2.Timestamp
    step: int
    run_queued: RunQueued
    run_started: RunStarted
    run_resumed: RunResumed
    run_cancelling: RunCancelling
    run_finished: RunFinished
    step_started: StepStarted
    step_ended: StepEnded
    step_reset: StepReset
    text_delta: TextDelta
    reasoning_delta: ReasoningDelta
    message_committed: MessageCommitted
    tool_call_planned: ToolCallPlanned
    tool_call_gated: ToolCallGated
    tool_call_dispatched: ToolCallDispatched
    tool_call_accepted: ToolCallAccepted
    tool_call_progress: ToolCallProgress
    tool_call_settled: ToolCallSettled
    ticket_opened: TicketOpened
    ticket_decided: TicketDecided
    ticket_expired: TicketExpired
    ticket_voided: TicketVoided
    input_queued: InputQueued
    input_consumed: InputConsumed
    input_edited: InputEdited
    input_retracted: InputRetracted
    attempt_failed: AttemptFailed
    routed: Routed
    run_parked: RunParked
    run_woken: RunWoken
    usage_reported: UsageReported
    tool_call_probed: ToolCallProbed
    tool_call_withheld: ToolCallWithheld
    def __init__(self, run_seq: _Optional[int] = ..., thread_seq: _Optional[int] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[int] = ..., run_queued: _Optional[_Union[RunQueued, _Mapping]] = ..., run_started: _Optional[_Union[RunStarted, _Mapping]] = ..., run_resumed: _Optional[_Union[RunResumed, _Mapping]] = ..., run_cancelling: _Optional[_Union[RunCancelling, _Mapping]] = ..., run_finished: _Optional[_Union[RunFinished, _Mapping]] = ..., step_started: _Optional[_Union[StepStarted, _Mapping]] = ..., step_ended: _Optional[_Union[StepEnded, _Mapping]] = ..., step_reset: _Optional[_Union[StepReset, _Mapping]] = ..., text_delta: _Optional[_Union[TextDelta, _Mapping]] = ..., reasoning_delta: _Optional[_Union[ReasoningDelta, _Mapping]] = ..., message_committed: _Optional[_Union[MessageCommitted, _Mapping]] = ..., tool_call_planned: _Optional[_Union[ToolCallPlanned, _Mapping]] = ..., tool_call_gated: _Optional[_Union[ToolCallGated, _Mapping]] = ..., tool_call_dispatched: _Optional[_Union[ToolCallDispatched, _Mapping]] = ..., tool_call_accepted: _Optional[_Union[ToolCallAccepted, _Mapping]] = ..., tool_call_progress: _Optional[_Union[ToolCallProgress, _Mapping]] = ..., tool_call_settled: _Optional[_Union[ToolCallSettled, _Mapping]] = ..., ticket_opened: _Optional[_Union[TicketOpened, _Mapping]] = ..., ticket_decided: _Optional[_Union[TicketDecided, _Mapping]] = ..., ticket_expired: _Optional[_Union[TicketExpired, _Mapping]] = ..., ticket_voided: _Optional[_Union[TicketVoided, _Mapping]] = ..., input_queued: _Optional[_Union[InputQueued, _Mapping]] = ..., input_consumed: _Optional[_Union[InputConsumed, _Mapping]] = ..., input_edited: _Optional[_Union[InputEdited, _Mapping]] = ..., input_retracted: _Optional[_Union[InputRetracted, _Mapping]] = ..., attempt_failed: _Optional[_Union[AttemptFailed, _Mapping]] = ..., routed: _Optional[_Union[Routed, _Mapping]] = ..., run_parked: _Optional[_Union[RunParked, _Mapping]] = ..., run_woken: _Optional[_Union[RunWoken, _Mapping]] = ..., usage_reported: _Optional[_Union[UsageReported, _Mapping]] = ..., tool_call_probed: _Optional[_Union[ToolCallProbed, _Mapping]] = ..., tool_call_withheld: _Optional[_Union[ToolCallWithheld, _Mapping]] = ...) -> None: ...

class RunQueued(_message.Message):
    __slots__ = ("dispatch_id", "agent_id")
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    dispatch_id: str
    agent_id: str
    def __init__(self, dispatch_id: _Optional[str] = ..., agent_id: _Optional[str] = ...) -> None: ...

class RunStarted(_message.Message):
    __slots__ = ("attempt",)
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    def __init__(self, attempt: _Optional[int] = ...) -> None: ...

class RunResumed(_message.Message):
    __slots__ = ("attempt", "causes")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    causes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, attempt: _Optional[int] = ..., causes: _Optional[_Iterable[str]] = ...) -> None: ...

class RunCancelling(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class RunFinished(_message.Message):
    __slots__ = ("termination", "usage", "output_text", "unknown_tool_call_ids", "output_chars")
    TERMINATION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TEXT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TOOL_CALL_IDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CHARS_FIELD_NUMBER: _ClassVar[int]
    termination: Termination
    usage: _content_pb2.Usage
    output_text: str
    unknown_tool_call_ids: _containers.RepeatedScalarFieldContainer[str]
    output_chars: int
    def __init__(self, termination: _Optional[_Union[Termination, _Mapping]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ..., output_text: _Optional[str] = ..., unknown_tool_call_ids: _Optional[_Iterable[str]] = ..., output_chars: _Optional[int] = ...) -> None: ...

class StepStarted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StepEnded(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StepReset(_message.Message):
    __slots__ = ("from_run_seq",)
    FROM_RUN_SEQ_FIELD_NUMBER: _ClassVar[int]
    from_run_seq: int
    def __init__(self, from_run_seq: _Optional[int] = ...) -> None: ...

class TextDelta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ReasoningDelta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class MessageCommitted(_message.Message):
    __slots__ = ("message", "covers_from_run_seq", "covers_to_run_seq")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COVERS_FROM_RUN_SEQ_FIELD_NUMBER: _ClassVar[int]
    COVERS_TO_RUN_SEQ_FIELD_NUMBER: _ClassVar[int]
    message: ThreadMessage
    covers_from_run_seq: int
    covers_to_run_seq: int
    def __init__(self, message: _Optional[_Union[ThreadMessage, _Mapping]] = ..., covers_from_run_seq: _Optional[int] = ..., covers_to_run_seq: _Optional[int] = ...) -> None: ...

class ToolCallPlanned(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: ToolInvocation
    def __init__(self, call: _Optional[_Union[ToolInvocation, _Mapping]] = ...) -> None: ...

class ToolCallGated(_message.Message):
    __slots__ = ("tool_call_id", "ticket_id")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    ticket_id: str
    def __init__(self, tool_call_id: _Optional[str] = ..., ticket_id: _Optional[str] = ...) -> None: ...

class ToolCallDispatched(_message.Message):
    __slots__ = ("tool_call_id", "attempt")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    attempt: int
    def __init__(self, tool_call_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class ToolCallAccepted(_message.Message):
    __slots__ = ("tool_call_id", "worker_id")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    worker_id: str
    def __init__(self, tool_call_id: _Optional[str] = ..., worker_id: _Optional[str] = ...) -> None: ...

class ToolCallProgress(_message.Message):
    __slots__ = ("tool_call_id", "progress_seq", "note")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_SEQ_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    progress_seq: int
    note: str
    def __init__(self, tool_call_id: _Optional[str] = ..., progress_seq: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class ToolCallWithheld(_message.Message):
    __slots__ = ("tool_call_id", "worker_id", "tool_version")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    worker_id: str
    tool_version: str
    def __init__(self, tool_call_id: _Optional[str] = ..., worker_id: _Optional[str] = ..., tool_version: _Optional[str] = ...) -> None: ...

class ToolCallProbed(_message.Message):
    __slots__ = ("tool_call_id", "outcome")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ToolCallProbed.Outcome]
        OUTCOME_HAPPENED: _ClassVar[ToolCallProbed.Outcome]
        OUTCOME_DID_NOT_HAPPEN: _ClassVar[ToolCallProbed.Outcome]
        OUTCOME_UNKNOWN: _ClassVar[ToolCallProbed.Outcome]
        OUTCOME_NOT_ANSWERED: _ClassVar[ToolCallProbed.Outcome]
    OUTCOME_UNSPECIFIED: ToolCallProbed.Outcome
    OUTCOME_HAPPENED: ToolCallProbed.Outcome
    OUTCOME_DID_NOT_HAPPEN: ToolCallProbed.Outcome
    OUTCOME_UNKNOWN: ToolCallProbed.Outcome
    OUTCOME_NOT_ANSWERED: ToolCallProbed.Outcome
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    outcome: ToolCallProbed.Outcome
    def __init__(self, tool_call_id: _Optional[str] = ..., outcome: _Optional[_Union[ToolCallProbed.Outcome, str]] = ...) -> None: ...

class ToolCallSettled(_message.Message):
    __slots__ = ("tool_call_id", "state", "result", "result_chars")
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    RESULT_CHARS_FIELD_NUMBER: _ClassVar[int]
    tool_call_id: str
    state: ToolInvocation.State
    result: str
    result_chars: int
    def __init__(self, tool_call_id: _Optional[str] = ..., state: _Optional[_Union[ToolInvocation.State, str]] = ..., result: _Optional[str] = ..., result_chars: _Optional[int] = ...) -> None: ...

class TicketOpened(_message.Message):
    __slots__ = ("ticket",)
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ticket: Ticket
    def __init__(self, ticket: _Optional[_Union[Ticket, _Mapping]] = ...) -> None: ...

class TicketDecided(_message.Message):
    __slots__ = ("ticket_id", "decision")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    decision: Decision
    def __init__(self, ticket_id: _Optional[str] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class TicketExpired(_message.Message):
    __slots__ = ("ticket_id",)
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    def __init__(self, ticket_id: _Optional[str] = ...) -> None: ...

class TicketVoided(_message.Message):
    __slots__ = ("ticket_id", "reason")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    reason: str
    def __init__(self, ticket_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class InputQueued(_message.Message):
    __slots__ = ("input_id",)
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    def __init__(self, input_id: _Optional[str] = ...) -> None: ...

class InputConsumed(_message.Message):
    __slots__ = ("input_id",)
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    def __init__(self, input_id: _Optional[str] = ...) -> None: ...

class InputEdited(_message.Message):
    __slots__ = ("input_id", "revision", "edited_by")
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EDITED_BY_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    revision: int
    edited_by: str
    def __init__(self, input_id: _Optional[str] = ..., revision: _Optional[int] = ..., edited_by: _Optional[str] = ...) -> None: ...

class InputRetracted(_message.Message):
    __slots__ = ("input_id", "retracted_by")
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    RETRACTED_BY_FIELD_NUMBER: _ClassVar[int]
    input_id: str
    retracted_by: str
    def __init__(self, input_id: _Optional[str] = ..., retracted_by: _Optional[str] = ...) -> None: ...

class AttemptFailed(_message.Message):
    __slots__ = ("retry_class", "reason", "message", "will_retry", "retry_time", "attempt")
    RETRY_CLASS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WILL_RETRY_FIELD_NUMBER: _ClassVar[int]
    RETRY_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    retry_class: str
    reason: str
    message: str
    will_retry: bool
    retry_time: _timestamp_pb2.Timestamp
    attempt: int
    def __init__(self, retry_class: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., will_retry: bool = ..., retry_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ...) -> None: ...

class Routed(_message.Message):
    __slots__ = ("target_id", "model_id", "provider_id", "switched_from_model_id", "attempts", "sticky", "failure", "skip_reason")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    SWITCHED_FROM_MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STICKY_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SKIP_REASON_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    model_id: str
    provider_id: str
    switched_from_model_id: str
    attempts: int
    sticky: _router_pb2.StickyOutcome
    failure: _provider_pb2.FailureClass
    skip_reason: _router_pb2.SkipReason
    def __init__(self, target_id: _Optional[str] = ..., model_id: _Optional[str] = ..., provider_id: _Optional[str] = ..., switched_from_model_id: _Optional[str] = ..., attempts: _Optional[int] = ..., sticky: _Optional[_Union[_router_pb2.StickyOutcome, str]] = ..., failure: _Optional[_Union[_provider_pb2.FailureClass, str]] = ..., skip_reason: _Optional[_Union[_router_pb2.SkipReason, str]] = ...) -> None: ...

class RunParked(_message.Message):
    __slots__ = ("reasons",)
    REASONS_FIELD_NUMBER: _ClassVar[int]
    reasons: _containers.RepeatedCompositeFieldContainer[WaitingReason]
    def __init__(self, reasons: _Optional[_Iterable[_Union[WaitingReason, _Mapping]]] = ...) -> None: ...

class RunWoken(_message.Message):
    __slots__ = ("cause", "tool_call_id", "wake_status", "cause_traceparent")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    WAKE_STATUS_FIELD_NUMBER: _ClassVar[int]
    CAUSE_TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    cause: str
    tool_call_id: str
    wake_status: WakeStatus
    cause_traceparent: str
    def __init__(self, cause: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., wake_status: _Optional[_Union[WakeStatus, str]] = ..., cause_traceparent: _Optional[str] = ...) -> None: ...

class UsageReported(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: _content_pb2.Usage
    def __init__(self, usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ...) -> None: ...

class WakeEvent(_message.Message):
    __slots__ = ("event_id", "sequence", "kind", "message_id", "from_run_id", "traceparent", "from_agent_id")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    FROM_AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    sequence: int
    kind: str
    message_id: str
    from_run_id: str
    traceparent: str
    from_agent_id: str
    def __init__(self, event_id: _Optional[str] = ..., sequence: _Optional[int] = ..., kind: _Optional[str] = ..., message_id: _Optional[str] = ..., from_run_id: _Optional[str] = ..., traceparent: _Optional[str] = ..., from_agent_id: _Optional[str] = ...) -> None: ...

class RunSnapshot(_message.Message):
    __slots__ = ("run", "open_tickets", "pending_inputs", "head_seq")
    RUN_FIELD_NUMBER: _ClassVar[int]
    OPEN_TICKETS_FIELD_NUMBER: _ClassVar[int]
    PENDING_INPUTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    run: Run
    open_tickets: _containers.RepeatedCompositeFieldContainer[Ticket]
    pending_inputs: _containers.RepeatedCompositeFieldContainer[Input]
    head_seq: int
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ..., open_tickets: _Optional[_Iterable[_Union[Ticket, _Mapping]]] = ..., pending_inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., head_seq: _Optional[int] = ...) -> None: ...
