import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from runyard.runcontrol.v1 import runcontrol_pb2 as _runcontrol_pb2
from runyard.types.v1 import content_pb2 as _content_pb2
from runyard.types.v1 import stream_pb2 as _stream_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BusyPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUSY_POLICY_UNSPECIFIED: _ClassVar[BusyPolicy]
    BUSY_POLICY_ENQUEUE: _ClassVar[BusyPolicy]
    BUSY_POLICY_REJECT: _ClassVar[BusyPolicy]
    BUSY_POLICY_INTERRUPT: _ClassVar[BusyPolicy]

class DisconnectPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISCONNECT_POLICY_UNSPECIFIED: _ClassVar[DisconnectPolicy]
    DISCONNECT_POLICY_CONTINUE: _ClassVar[DisconnectPolicy]
    DISCONNECT_POLICY_CANCEL: _ClassVar[DisconnectPolicy]

class SubmitDisposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBMIT_DISPOSITION_UNSPECIFIED: _ClassVar[SubmitDisposition]
    SUBMIT_DISPOSITION_RUNNING: _ClassVar[SubmitDisposition]
    SUBMIT_DISPOSITION_QUEUED: _ClassVar[SubmitDisposition]

class SubscribeFrom(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBSCRIBE_FROM_UNSPECIFIED: _ClassVar[SubscribeFrom]
    SUBSCRIBE_FROM_BEGINNING: _ClassVar[SubscribeFrom]
    SUBSCRIBE_FROM_SNAPSHOT: _ClassVar[SubscribeFrom]
    SUBSCRIBE_FROM_NOW: _ClassVar[SubscribeFrom]

class CancelOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANCEL_OUTCOME_UNSPECIFIED: _ClassVar[CancelOutcome]
    CANCEL_OUTCOME_CANCELLED: _ClassVar[CancelOutcome]
    CANCEL_OUTCOME_CANCELLING: _ClassVar[CancelOutcome]
    CANCEL_OUTCOME_ALREADY_DONE: _ClassVar[CancelOutcome]
    CANCEL_OUTCOME_NOTHING_ACTIVE: _ClassVar[CancelOutcome]

class InterruptMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTERRUPT_MODE_UNSPECIFIED: _ClassVar[InterruptMode]
    INTERRUPT_MODE_GRACEFUL: _ClassVar[InterruptMode]

class DecisionOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_OUTCOME_UNSPECIFIED: _ClassVar[DecisionOutcome]
    DECISION_OUTCOME_ACCEPTED: _ClassVar[DecisionOutcome]
    DECISION_OUTCOME_DUPLICATE: _ClassVar[DecisionOutcome]
    DECISION_OUTCOME_CONFLICT: _ClassVar[DecisionOutcome]
    DECISION_OUTCOME_STALE: _ClassVar[DecisionOutcome]
BUSY_POLICY_UNSPECIFIED: BusyPolicy
BUSY_POLICY_ENQUEUE: BusyPolicy
BUSY_POLICY_REJECT: BusyPolicy
BUSY_POLICY_INTERRUPT: BusyPolicy
DISCONNECT_POLICY_UNSPECIFIED: DisconnectPolicy
DISCONNECT_POLICY_CONTINUE: DisconnectPolicy
DISCONNECT_POLICY_CANCEL: DisconnectPolicy
SUBMIT_DISPOSITION_UNSPECIFIED: SubmitDisposition
SUBMIT_DISPOSITION_RUNNING: SubmitDisposition
SUBMIT_DISPOSITION_QUEUED: SubmitDisposition
SUBSCRIBE_FROM_UNSPECIFIED: SubscribeFrom
SUBSCRIBE_FROM_BEGINNING: SubscribeFrom
SUBSCRIBE_FROM_SNAPSHOT: SubscribeFrom
SUBSCRIBE_FROM_NOW: SubscribeFrom
CANCEL_OUTCOME_UNSPECIFIED: CancelOutcome
CANCEL_OUTCOME_CANCELLED: CancelOutcome
CANCEL_OUTCOME_CANCELLING: CancelOutcome
CANCEL_OUTCOME_ALREADY_DONE: CancelOutcome
CANCEL_OUTCOME_NOTHING_ACTIVE: CancelOutcome
INTERRUPT_MODE_UNSPECIFIED: InterruptMode
INTERRUPT_MODE_GRACEFUL: InterruptMode
DECISION_OUTCOME_UNSPECIFIED: DecisionOutcome
DECISION_OUTCOME_ACCEPTED: DecisionOutcome
DECISION_OUTCOME_DUPLICATE: DecisionOutcome
DECISION_OUTCOME_CONFLICT: DecisionOutcome
DECISION_OUTCOME_STALE: DecisionOutcome

class SubmitRunRequest(_message.Message):
    __slots__ = ("request_id", "thread_id", "agent_id", "messages", "busy_policy", "priority", "pool", "deadline", "budget", "on_disconnect", "min_registry_version", "min_registry_incarnation", "labels", "not_before_time")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    BUSY_POLICY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    ON_DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    thread_id: str
    agent_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    busy_policy: BusyPolicy
    priority: _runcontrol_pb2.Priority
    pool: _runcontrol_pb2.PoolMembership
    deadline: _duration_pb2.Duration
    budget: _runcontrol_pb2.Budget
    on_disconnect: DisconnectPolicy
    min_registry_version: int
    min_registry_incarnation: str
    labels: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Label]
    not_before_time: _timestamp_pb2.Timestamp
    def __init__(self, request_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., busy_policy: _Optional[_Union[BusyPolicy, str]] = ..., priority: _Optional[_Union[_runcontrol_pb2.Priority, str]] = ..., pool: _Optional[_Union[_runcontrol_pb2.PoolMembership, _Mapping]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., budget: _Optional[_Union[_runcontrol_pb2.Budget, _Mapping]] = ..., on_disconnect: _Optional[_Union[DisconnectPolicy, str]] = ..., min_registry_version: _Optional[int] = ..., min_registry_incarnation: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[_runcontrol_pb2.Label, _Mapping]]] = ..., not_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SubmitRunResponse(_message.Message):
    __slots__ = ("run_id", "thread_id", "dispatch_id", "disposition", "input_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    thread_id: str
    dispatch_id: str
    disposition: SubmitDisposition
    input_id: str
    def __init__(self, run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., dispatch_id: _Optional[str] = ..., disposition: _Optional[_Union[SubmitDisposition, str]] = ..., input_id: _Optional[str] = ...) -> None: ...

class SubscribeRunRequest(_message.Message):
    __slots__ = ("run_id", "after", "start")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    after: bytes
    start: SubscribeFrom
    def __init__(self, run_id: _Optional[str] = ..., after: _Optional[bytes] = ..., start: _Optional[_Union[SubscribeFrom, str]] = ...) -> None: ...

class SubscribeRunResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SubscriptionItem]
    def __init__(self, items: _Optional[_Iterable[_Union[SubscriptionItem, _Mapping]]] = ...) -> None: ...

class SubscriptionItem(_message.Message):
    __slots__ = ("cursor", "event", "snapshot", "heartbeat", "reconnect")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    cursor: bytes
    event: _runcontrol_pb2.Event
    snapshot: _runcontrol_pb2.RunSnapshot
    heartbeat: _stream_pb2.Heartbeat
    reconnect: _stream_pb2.Reconnect
    def __init__(self, cursor: _Optional[bytes] = ..., event: _Optional[_Union[_runcontrol_pb2.Event, _Mapping]] = ..., snapshot: _Optional[_Union[_runcontrol_pb2.RunSnapshot, _Mapping]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., reconnect: _Optional[_Union[_stream_pb2.Reconnect, _Mapping]] = ...) -> None: ...

class SubscribeThreadRequest(_message.Message):
    __slots__ = ("thread_id", "after", "start")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    after: bytes
    start: SubscribeFrom
    def __init__(self, thread_id: _Optional[str] = ..., after: _Optional[bytes] = ..., start: _Optional[_Union[SubscribeFrom, str]] = ...) -> None: ...

class SubscribeThreadResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SubscriptionItem]
    def __init__(self, items: _Optional[_Iterable[_Union[SubscriptionItem, _Mapping]]] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run", "tool_calls", "open_tickets")
    RUN_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    OPEN_TICKETS_FIELD_NUMBER: _ClassVar[int]
    run: _runcontrol_pb2.Run
    tool_calls: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.ToolInvocation]
    open_tickets: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Ticket]
    def __init__(self, run: _Optional[_Union[_runcontrol_pb2.Run, _Mapping]] = ..., tool_calls: _Optional[_Iterable[_Union[_runcontrol_pb2.ToolInvocation, _Mapping]]] = ..., open_tickets: _Optional[_Iterable[_Union[_runcontrol_pb2.Ticket, _Mapping]]] = ...) -> None: ...

class GetToolCallRequest(_message.Message):
    __slots__ = ("run_id", "tool_call_id", "arguments_offset", "result_offset")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RESULT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    tool_call_id: str
    arguments_offset: int
    result_offset: int
    def __init__(self, run_id: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., arguments_offset: _Optional[int] = ..., result_offset: _Optional[int] = ...) -> None: ...

class GetToolCallResponse(_message.Message):
    __slots__ = ("call", "next_arguments_offset", "next_result_offset")
    CALL_FIELD_NUMBER: _ClassVar[int]
    NEXT_ARGUMENTS_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_RESULT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    call: _runcontrol_pb2.ToolInvocation
    next_arguments_offset: int
    next_result_offset: int
    def __init__(self, call: _Optional[_Union[_runcontrol_pb2.ToolInvocation, _Mapping]] = ..., next_arguments_offset: _Optional[int] = ..., next_result_offset: _Optional[int] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("thread_id", "states", "page_size", "page_token", "agent_id", "submitted_by", "labels", "since_time", "until_time")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_BY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    states: _containers.RepeatedScalarFieldContainer[_runcontrol_pb2.Run.State]
    page_size: int
    page_token: str
    agent_id: str
    submitted_by: str
    labels: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Label]
    since_time: _timestamp_pb2.Timestamp
    until_time: _timestamp_pb2.Timestamp
    def __init__(self, thread_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_runcontrol_pb2.Run.State, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., agent_id: _Optional[str] = ..., submitted_by: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[_runcontrol_pb2.Label, _Mapping]]] = ..., since_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[_runcontrol_pb2.Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetThreadRequest(_message.Message):
    __slots__ = ("thread_id",)
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    def __init__(self, thread_id: _Optional[str] = ...) -> None: ...

class GetThreadResponse(_message.Message):
    __slots__ = ("thread",)
    THREAD_FIELD_NUMBER: _ClassVar[int]
    thread: _runcontrol_pb2.Thread
    def __init__(self, thread: _Optional[_Union[_runcontrol_pb2.Thread, _Mapping]] = ...) -> None: ...

class ListThreadsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListThreadsResponse(_message.Message):
    __slots__ = ("threads", "next_page_token")
    THREADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    threads: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Thread]
    next_page_token: str
    def __init__(self, threads: _Optional[_Iterable[_Union[_runcontrol_pb2.Thread, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteThreadRequest(_message.Message):
    __slots__ = ("request_id", "thread_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    thread_id: str
    def __init__(self, request_id: _Optional[str] = ..., thread_id: _Optional[str] = ...) -> None: ...

class DeleteThreadResponse(_message.Message):
    __slots__ = ("cancelled_run_ids", "cancelled_count", "delete_time", "deleted_by")
    CANCELLED_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    DELETED_BY_FIELD_NUMBER: _ClassVar[int]
    cancelled_run_ids: _containers.RepeatedScalarFieldContainer[str]
    cancelled_count: int
    delete_time: _timestamp_pb2.Timestamp
    deleted_by: str
    def __init__(self, cancelled_run_ids: _Optional[_Iterable[str]] = ..., cancelled_count: _Optional[int] = ..., delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deleted_by: _Optional[str] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("thread_id", "run_id", "page_size", "page_token")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, thread_id: _Optional[str] = ..., run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.ThreadMessage]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[_runcontrol_pb2.ThreadMessage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetActiveRunRequest(_message.Message):
    __slots__ = ("thread_id",)
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    def __init__(self, thread_id: _Optional[str] = ...) -> None: ...

class GetActiveRunResponse(_message.Message):
    __slots__ = ("run", "open_tickets", "queued_dispatches", "head_seq")
    RUN_FIELD_NUMBER: _ClassVar[int]
    OPEN_TICKETS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_DISPATCHES_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    run: _runcontrol_pb2.Run
    open_tickets: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Ticket]
    queued_dispatches: int
    head_seq: int
    def __init__(self, run: _Optional[_Union[_runcontrol_pb2.Run, _Mapping]] = ..., open_tickets: _Optional[_Iterable[_Union[_runcontrol_pb2.Ticket, _Mapping]]] = ..., queued_dispatches: _Optional[int] = ..., head_seq: _Optional[int] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("request_id", "run_id", "dispatch_id", "thread_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    run_id: str
    dispatch_id: str
    thread_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., run_id: _Optional[str] = ..., dispatch_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("outcome", "run")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    outcome: CancelOutcome
    run: _runcontrol_pb2.Run
    def __init__(self, outcome: _Optional[_Union[CancelOutcome, str]] = ..., run: _Optional[_Union[_runcontrol_pb2.Run, _Mapping]] = ...) -> None: ...

class InterruptThreadRequest(_message.Message):
    __slots__ = ("request_id", "thread_id", "mode", "messages", "agent_id", "min_registry_version", "min_registry_incarnation")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    thread_id: str
    mode: InterruptMode
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    agent_id: str
    min_registry_version: int
    min_registry_incarnation: str
    def __init__(self, request_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., mode: _Optional[_Union[InterruptMode, str]] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., agent_id: _Optional[str] = ..., min_registry_version: _Optional[int] = ..., min_registry_incarnation: _Optional[str] = ...) -> None: ...

class InterruptThreadResponse(_message.Message):
    __slots__ = ("epoch", "superseded_dispatch_ids", "interrupted_run_id", "new_run_id", "superseded_count", "new_input_id")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_DISPATCH_IDS_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTED_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEW_INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    superseded_dispatch_ids: _containers.RepeatedScalarFieldContainer[str]
    interrupted_run_id: str
    new_run_id: str
    superseded_count: int
    new_input_id: str
    def __init__(self, epoch: _Optional[int] = ..., superseded_dispatch_ids: _Optional[_Iterable[str]] = ..., interrupted_run_id: _Optional[str] = ..., new_run_id: _Optional[str] = ..., superseded_count: _Optional[int] = ..., new_input_id: _Optional[str] = ...) -> None: ...

class SubmitDecisionRequest(_message.Message):
    __slots__ = ("request_id", "run_id", "thread_id", "ticket_id", "tool_call_id", "decision_id", "verdict", "expected_digest", "comment")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    run_id: str
    thread_id: str
    ticket_id: str
    tool_call_id: str
    decision_id: str
    verdict: _runcontrol_pb2.Verdict
    expected_digest: bytes
    comment: str
    def __init__(self, request_id: _Optional[str] = ..., run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., ticket_id: _Optional[str] = ..., tool_call_id: _Optional[str] = ..., decision_id: _Optional[str] = ..., verdict: _Optional[_Union[_runcontrol_pb2.Verdict, _Mapping]] = ..., expected_digest: _Optional[bytes] = ..., comment: _Optional[str] = ...) -> None: ...

class SubmitDecisionResponse(_message.Message):
    __slots__ = ("outcome", "ticket", "stale_reason")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    STALE_REASON_FIELD_NUMBER: _ClassVar[int]
    outcome: DecisionOutcome
    ticket: _runcontrol_pb2.Ticket
    stale_reason: str
    def __init__(self, outcome: _Optional[_Union[DecisionOutcome, str]] = ..., ticket: _Optional[_Union[_runcontrol_pb2.Ticket, _Mapping]] = ..., stale_reason: _Optional[str] = ...) -> None: ...

class ListTicketsRequest(_message.Message):
    __slots__ = ("run_id", "thread_id", "states", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    thread_id: str
    states: _containers.RepeatedScalarFieldContainer[_runcontrol_pb2.Ticket.State]
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_runcontrol_pb2.Ticket.State, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTicketsResponse(_message.Message):
    __slots__ = ("tickets", "next_page_token")
    TICKETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tickets: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Ticket]
    next_page_token: str
    def __init__(self, tickets: _Optional[_Iterable[_Union[_runcontrol_pb2.Ticket, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SubscribeTicketsRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: bytes
    def __init__(self, after: _Optional[bytes] = ...) -> None: ...

class SubscribeTicketsResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[TicketItem]
    def __init__(self, items: _Optional[_Iterable[_Union[TicketItem, _Mapping]]] = ...) -> None: ...

class TicketItem(_message.Message):
    __slots__ = ("cursor", "open_ticket", "open_tickets_end", "changed_ticket", "heartbeat", "reconnect")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    OPEN_TICKET_FIELD_NUMBER: _ClassVar[int]
    OPEN_TICKETS_END_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TICKET_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    cursor: bytes
    open_ticket: _runcontrol_pb2.Ticket
    open_tickets_end: OpenTicketsEnd
    changed_ticket: _runcontrol_pb2.Ticket
    heartbeat: _stream_pb2.Heartbeat
    reconnect: _stream_pb2.Reconnect
    def __init__(self, cursor: _Optional[bytes] = ..., open_ticket: _Optional[_Union[_runcontrol_pb2.Ticket, _Mapping]] = ..., open_tickets_end: _Optional[_Union[OpenTicketsEnd, _Mapping]] = ..., changed_ticket: _Optional[_Union[_runcontrol_pb2.Ticket, _Mapping]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., reconnect: _Optional[_Union[_stream_pb2.Reconnect, _Mapping]] = ...) -> None: ...

class OpenTicketsEnd(_message.Message):
    __slots__ = ("tickets",)
    TICKETS_FIELD_NUMBER: _ClassVar[int]
    tickets: int
    def __init__(self, tickets: _Optional[int] = ...) -> None: ...

class GetTicketRequest(_message.Message):
    __slots__ = ("ticket_id",)
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    def __init__(self, ticket_id: _Optional[str] = ...) -> None: ...

class GetTicketResponse(_message.Message):
    __slots__ = ("ticket", "tool_call")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    ticket: _runcontrol_pb2.Ticket
    tool_call: _runcontrol_pb2.ToolInvocation
    def __init__(self, ticket: _Optional[_Union[_runcontrol_pb2.Ticket, _Mapping]] = ..., tool_call: _Optional[_Union[_runcontrol_pb2.ToolInvocation, _Mapping]] = ...) -> None: ...

class InjectInputRequest(_message.Message):
    __slots__ = ("request_id", "thread_id", "run_id", "mode", "agent_id", "messages", "void_tickets", "min_registry_version", "min_registry_incarnation")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    VOID_TICKETS_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    thread_id: str
    run_id: str
    mode: _runcontrol_pb2.InjectMode
    agent_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    void_tickets: bool
    min_registry_version: int
    min_registry_incarnation: str
    def __init__(self, request_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., run_id: _Optional[str] = ..., mode: _Optional[_Union[_runcontrol_pb2.InjectMode, str]] = ..., agent_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., void_tickets: bool = ..., min_registry_version: _Optional[int] = ..., min_registry_incarnation: _Optional[str] = ...) -> None: ...

class InjectInputResponse(_message.Message):
    __slots__ = ("input", "disposition", "run_id", "blocked_by_ids")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_BY_IDS_FIELD_NUMBER: _ClassVar[int]
    input: _runcontrol_pb2.Input
    disposition: _runcontrol_pb2.InputDisposition
    run_id: str
    blocked_by_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, input: _Optional[_Union[_runcontrol_pb2.Input, _Mapping]] = ..., disposition: _Optional[_Union[_runcontrol_pb2.InputDisposition, str]] = ..., run_id: _Optional[str] = ..., blocked_by_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class EditInputRequest(_message.Message):
    __slots__ = ("request_id", "input_id", "revision", "messages")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    input_id: str
    revision: int
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    def __init__(self, request_id: _Optional[str] = ..., input_id: _Optional[str] = ..., revision: _Optional[int] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ...) -> None: ...

class EditInputResponse(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: _runcontrol_pb2.Input
    def __init__(self, input: _Optional[_Union[_runcontrol_pb2.Input, _Mapping]] = ...) -> None: ...

class RetractInputRequest(_message.Message):
    __slots__ = ("request_id", "input_id", "revision")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    input_id: str
    revision: int
    def __init__(self, request_id: _Optional[str] = ..., input_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class RetractInputResponse(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: _runcontrol_pb2.Input
    def __init__(self, input: _Optional[_Union[_runcontrol_pb2.Input, _Mapping]] = ...) -> None: ...

class ListPendingInputsRequest(_message.Message):
    __slots__ = ("thread_id", "page_size", "page_token")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    page_size: int
    page_token: str
    def __init__(self, thread_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPendingInputsResponse(_message.Message):
    __slots__ = ("inputs", "next_page_token")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Input]
    next_page_token: str
    def __init__(self, inputs: _Optional[_Iterable[_Union[_runcontrol_pb2.Input, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListDeadDispatchesRequest(_message.Message):
    __slots__ = ("thread_id", "page_size", "page_token")
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    thread_id: str
    page_size: int
    page_token: str
    def __init__(self, thread_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDeadDispatchesResponse(_message.Message):
    __slots__ = ("dispatches", "next_page_token")
    DISPATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dispatches: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.Dispatch]
    next_page_token: str
    def __init__(self, dispatches: _Optional[_Iterable[_Union[_runcontrol_pb2.Dispatch, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RedriveDispatchRequest(_message.Message):
    __slots__ = ("request_id", "dispatch_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    dispatch_id: str
    def __init__(self, request_id: _Optional[str] = ..., dispatch_id: _Optional[str] = ...) -> None: ...

class RedriveDispatchResponse(_message.Message):
    __slots__ = ("dispatch",)
    DISPATCH_FIELD_NUMBER: _ClassVar[int]
    dispatch: _runcontrol_pb2.Dispatch
    def __init__(self, dispatch: _Optional[_Union[_runcontrol_pb2.Dispatch, _Mapping]] = ...) -> None: ...
