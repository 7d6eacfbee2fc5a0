from runyard.runcontrol.v1 import runcontrol_pb2 as _runcontrol_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WakeOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAKE_OUTCOME_UNSPECIFIED: _ClassVar[WakeOutcome]
    WAKE_OUTCOME_ACCEPTED: _ClassVar[WakeOutcome]
    WAKE_OUTCOME_DUPLICATE: _ClassVar[WakeOutcome]
    WAKE_OUTCOME_DROPPED: _ClassVar[WakeOutcome]
    WAKE_OUTCOME_RUN_FINISHED: _ClassVar[WakeOutcome]
WAKE_OUTCOME_UNSPECIFIED: WakeOutcome
WAKE_OUTCOME_ACCEPTED: WakeOutcome
WAKE_OUTCOME_DUPLICATE: WakeOutcome
WAKE_OUTCOME_DROPPED: WakeOutcome
WAKE_OUTCOME_RUN_FINISHED: WakeOutcome

class DeliverWakeRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "condition_id", "run_id", "status", "events", "message_ids", "summary", "cause_traceparent", "suspension_traceparent", "cursor")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CAUSE_TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    SUSPENSION_TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    condition_id: str
    run_id: str
    status: _runcontrol_pb2.WakeStatus
    events: _containers.RepeatedCompositeFieldContainer[_runcontrol_pb2.WakeEvent]
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    summary: str
    cause_traceparent: str
    suspension_traceparent: str
    cursor: bytes
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., condition_id: _Optional[str] = ..., run_id: _Optional[str] = ..., status: _Optional[_Union[_runcontrol_pb2.WakeStatus, str]] = ..., events: _Optional[_Iterable[_Union[_runcontrol_pb2.WakeEvent, _Mapping]]] = ..., message_ids: _Optional[_Iterable[str]] = ..., summary: _Optional[str] = ..., cause_traceparent: _Optional[str] = ..., suspension_traceparent: _Optional[str] = ..., cursor: _Optional[bytes] = ...) -> None: ...

class DeliverWakeResponse(_message.Message):
    __slots__ = ("outcome",)
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: WakeOutcome
    def __init__(self, outcome: _Optional[_Union[WakeOutcome, str]] = ...) -> None: ...
