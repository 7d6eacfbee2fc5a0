from google.api import annotations_pb2 as _annotations_pb2
from runyard.worker.v1 import worker_pb2 as _worker_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionRequest(_message.Message):
    __slots__ = ("hello", "credit", "accept", "heartbeat", "need_input", "result", "probe_result", "drain", "handback")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    NEED_INPUT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PROBE_RESULT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    HANDBACK_FIELD_NUMBER: _ClassVar[int]
    hello: _worker_pb2.Hello
    credit: _worker_pb2.Credit
    accept: _worker_pb2.Accept
    heartbeat: _worker_pb2.Heartbeat
    need_input: _worker_pb2.NeedInput
    result: _worker_pb2.Result
    probe_result: _worker_pb2.ProbeResult
    drain: _worker_pb2.Drain
    handback: _worker_pb2.Handback
    def __init__(self, hello: _Optional[_Union[_worker_pb2.Hello, _Mapping]] = ..., credit: _Optional[_Union[_worker_pb2.Credit, _Mapping]] = ..., accept: _Optional[_Union[_worker_pb2.Accept, _Mapping]] = ..., heartbeat: _Optional[_Union[_worker_pb2.Heartbeat, _Mapping]] = ..., need_input: _Optional[_Union[_worker_pb2.NeedInput, _Mapping]] = ..., result: _Optional[_Union[_worker_pb2.Result, _Mapping]] = ..., probe_result: _Optional[_Union[_worker_pb2.ProbeResult, _Mapping]] = ..., drain: _Optional[_Union[_worker_pb2.Drain, _Mapping]] = ..., handback: _Optional[_Union[_worker_pb2.Handback, _Mapping]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("welcome", "call", "go", "lease", "cancel", "probe", "result_ack", "drain", "schema_mismatch")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    GO_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    RESULT_ACK_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_MISMATCH_FIELD_NUMBER: _ClassVar[int]
    welcome: _worker_pb2.Welcome
    call: _worker_pb2.Call
    go: _worker_pb2.Go
    lease: _worker_pb2.Lease
    cancel: _worker_pb2.Cancel
    probe: _worker_pb2.Probe
    result_ack: _worker_pb2.ResultAck
    drain: _worker_pb2.Drain
    schema_mismatch: _worker_pb2.SchemaMismatch
    def __init__(self, welcome: _Optional[_Union[_worker_pb2.Welcome, _Mapping]] = ..., call: _Optional[_Union[_worker_pb2.Call, _Mapping]] = ..., go: _Optional[_Union[_worker_pb2.Go, _Mapping]] = ..., lease: _Optional[_Union[_worker_pb2.Lease, _Mapping]] = ..., cancel: _Optional[_Union[_worker_pb2.Cancel, _Mapping]] = ..., probe: _Optional[_Union[_worker_pb2.Probe, _Mapping]] = ..., result_ack: _Optional[_Union[_worker_pb2.ResultAck, _Mapping]] = ..., drain: _Optional[_Union[_worker_pb2.Drain, _Mapping]] = ..., schema_mismatch: _Optional[_Union[_worker_pb2.SchemaMismatch, _Mapping]] = ...) -> None: ...

class ReportResultRequest(_message.Message):
    __slots__ = ("request_id", "result")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    result: _worker_pb2.Result
    def __init__(self, request_id: _Optional[str] = ..., result: _Optional[_Union[_worker_pb2.Result, _Mapping]] = ...) -> None: ...

class ReportResultResponse(_message.Message):
    __slots__ = ("ack",)
    ACK_FIELD_NUMBER: _ClassVar[int]
    ack: _worker_pb2.ResultAck
    def __init__(self, ack: _Optional[_Union[_worker_pb2.ResultAck, _Mapping]] = ...) -> None: ...
