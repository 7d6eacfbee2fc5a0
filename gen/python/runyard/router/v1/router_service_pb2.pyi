import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from runyard.provider.v1 import provider_pb2 as _provider_pb2
from runyard.router.v1 import router_pb2 as _router_pb2
from runyard.types.v1 import content_pb2 as _content_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InferRequest(_message.Message):
    __slots__ = ("target_id", "messages", "tools", "tool_choice", "sampling", "response_format", "session", "min_registry_version", "mid_stream", "max_attempts", "min_registry_incarnation", "max_wait")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MID_STREAM_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    MIN_REGISTRY_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    tools: _containers.RepeatedCompositeFieldContainer[_content_pb2.ToolDefinition]
    tool_choice: _provider_pb2.ToolChoice
    sampling: _provider_pb2.Sampling
    response_format: _provider_pb2.ResponseFormat
    session: _router_pb2.Session
    min_registry_version: int
    mid_stream: _router_pb2.MidStream
    max_attempts: int
    min_registry_incarnation: str
    max_wait: _duration_pb2.Duration
    def __init__(self, target_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[_content_pb2.ToolDefinition, _Mapping]]] = ..., tool_choice: _Optional[_Union[_provider_pb2.ToolChoice, _Mapping]] = ..., sampling: _Optional[_Union[_provider_pb2.Sampling, _Mapping]] = ..., response_format: _Optional[_Union[_provider_pb2.ResponseFormat, _Mapping]] = ..., session: _Optional[_Union[_router_pb2.Session, _Mapping]] = ..., min_registry_version: _Optional[int] = ..., mid_stream: _Optional[_Union[_router_pb2.MidStream, str]] = ..., max_attempts: _Optional[int] = ..., min_registry_incarnation: _Optional[str] = ..., max_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class InferResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_router_pb2.InferItem]
    def __init__(self, items: _Optional[_Iterable[_Union[_router_pb2.InferItem, _Mapping]]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: InferRequest
    def __init__(self, request: _Optional[_Union[InferRequest, _Mapping]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("message", "finish_reason", "usage", "decision")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    message: _content_pb2.Message
    finish_reason: _content_pb2.FinishReason
    usage: _content_pb2.Usage
    decision: _router_pb2.RouteDecision
    def __init__(self, message: _Optional[_Union[_content_pb2.Message, _Mapping]] = ..., finish_reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ..., decision: _Optional[_Union[_router_pb2.RouteDecision, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: InferRequest
    def __init__(self, request: _Optional[_Union[InferRequest, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("decision", "candidates", "needs", "switches_left", "pin", "error")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    SWITCHES_LEFT_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    decision: _router_pb2.RouteDecision
    candidates: _containers.RepeatedCompositeFieldContainer[_router_pb2.Candidate]
    needs: _router_pb2.Needs
    switches_left: int
    pin: _router_pb2.Pin
    error: _status_pb2.Status
    def __init__(self, decision: _Optional[_Union[_router_pb2.RouteDecision, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[_router_pb2.Candidate, _Mapping]]] = ..., needs: _Optional[_Union[_router_pb2.Needs, _Mapping]] = ..., switches_left: _Optional[int] = ..., pin: _Optional[_Union[_router_pb2.Pin, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class GetRoutingStateRequest(_message.Message):
    __slots__ = ("target_id", "page_size", "page_token")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    page_size: int
    page_token: str
    def __init__(self, target_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetRoutingStateResponse(_message.Message):
    __slots__ = ("members", "pins", "next_page_token", "instance_id")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[_router_pb2.MemberState]
    pins: _containers.RepeatedCompositeFieldContainer[_router_pb2.Pin]
    next_page_token: str
    instance_id: str
    def __init__(self, members: _Optional[_Iterable[_Union[_router_pb2.MemberState, _Mapping]]] = ..., pins: _Optional[_Iterable[_Union[_router_pb2.Pin, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., instance_id: _Optional[str] = ...) -> None: ...

class WatchRoutingStateRequest(_message.Message):
    __slots__ = ("target_id",)
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    def __init__(self, target_id: _Optional[str] = ...) -> None: ...

class WatchRoutingStateResponse(_message.Message):
    __slots__ = ("events", "instance_id")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_router_pb2.RoutingEvent]
    instance_id: str
    def __init__(self, events: _Optional[_Iterable[_Union[_router_pb2.RoutingEvent, _Mapping]]] = ..., instance_id: _Optional[str] = ...) -> None: ...

class ResetMemberRequest(_message.Message):
    __slots__ = ("target_id", "member_id")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    member_id: str
    def __init__(self, target_id: _Optional[str] = ..., member_id: _Optional[str] = ...) -> None: ...

class ResetMemberResponse(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[_router_pb2.MemberState]
    def __init__(self, members: _Optional[_Iterable[_Union[_router_pb2.MemberState, _Mapping]]] = ...) -> None: ...

class UnpinSessionRequest(_message.Message):
    __slots__ = ("pool_id", "session")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    session: str
    def __init__(self, pool_id: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class UnpinSessionResponse(_message.Message):
    __slots__ = ("pin",)
    PIN_FIELD_NUMBER: _ClassVar[int]
    pin: _router_pb2.Pin
    def __init__(self, pin: _Optional[_Union[_router_pb2.Pin, _Mapping]] = ...) -> None: ...

class CordonMemberRequest(_message.Message):
    __slots__ = ("target_id", "member_id")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    member_id: str
    def __init__(self, target_id: _Optional[str] = ..., member_id: _Optional[str] = ...) -> None: ...

class CordonMemberResponse(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: _router_pb2.MemberState
    def __init__(self, member: _Optional[_Union[_router_pb2.MemberState, _Mapping]] = ...) -> None: ...

class UncordonMemberRequest(_message.Message):
    __slots__ = ("target_id", "member_id")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    member_id: str
    def __init__(self, target_id: _Optional[str] = ..., member_id: _Optional[str] = ...) -> None: ...

class UncordonMemberResponse(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: _router_pb2.MemberState
    def __init__(self, member: _Optional[_Union[_router_pb2.MemberState, _Mapping]] = ...) -> None: ...
