from runyard.types.v1 import content_pb2 as _content_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolChoiceMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_CHOICE_MODE_UNSPECIFIED: _ClassVar[ToolChoiceMode]
    TOOL_CHOICE_MODE_AUTO: _ClassVar[ToolChoiceMode]
    TOOL_CHOICE_MODE_NONE: _ClassVar[ToolChoiceMode]
    TOOL_CHOICE_MODE_REQUIRED: _ClassVar[ToolChoiceMode]
    TOOL_CHOICE_MODE_TOOL: _ClassVar[ToolChoiceMode]

class ReasoningEffort(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASONING_EFFORT_UNSPECIFIED: _ClassVar[ReasoningEffort]
    REASONING_EFFORT_LOW: _ClassVar[ReasoningEffort]
    REASONING_EFFORT_MEDIUM: _ClassVar[ReasoningEffort]
    REASONING_EFFORT_HIGH: _ClassVar[ReasoningEffort]

class FailureClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_CLASS_UNSPECIFIED: _ClassVar[FailureClass]
    FAILURE_CLASS_INVALID_REQUEST: _ClassVar[FailureClass]
    FAILURE_CLASS_CONTEXT_LENGTH: _ClassVar[FailureClass]
    FAILURE_CLASS_CONTENT_POLICY: _ClassVar[FailureClass]
    FAILURE_CLASS_AUTH: _ClassVar[FailureClass]
    FAILURE_CLASS_PERMISSION: _ClassVar[FailureClass]
    FAILURE_CLASS_NOT_FOUND: _ClassVar[FailureClass]
    FAILURE_CLASS_PAYMENT: _ClassVar[FailureClass]
    FAILURE_CLASS_RATE_LIMIT: _ClassVar[FailureClass]
    FAILURE_CLASS_QUOTA_EXHAUSTED: _ClassVar[FailureClass]
    FAILURE_CLASS_OVERLOADED: _ClassVar[FailureClass]
    FAILURE_CLASS_SERVER_ERROR: _ClassVar[FailureClass]
    FAILURE_CLASS_TIMEOUT_CONNECT: _ClassVar[FailureClass]
    FAILURE_CLASS_TIMEOUT_FIRST_CHUNK: _ClassVar[FailureClass]
    FAILURE_CLASS_TIMEOUT_IDLE: _ClassVar[FailureClass]
    FAILURE_CLASS_TIMEOUT_TOTAL: _ClassVar[FailureClass]
    FAILURE_CLASS_STREAM_TRUNCATED: _ClassVar[FailureClass]
    FAILURE_CLASS_STREAM_MALFORMED: _ClassVar[FailureClass]
    FAILURE_CLASS_CANCELLED: _ClassVar[FailureClass]
    FAILURE_CLASS_CREDENTIAL_MISSING: _ClassVar[FailureClass]
    FAILURE_CLASS_LOCAL_LIMIT: _ClassVar[FailureClass]
TOOL_CHOICE_MODE_UNSPECIFIED: ToolChoiceMode
TOOL_CHOICE_MODE_AUTO: ToolChoiceMode
TOOL_CHOICE_MODE_NONE: ToolChoiceMode
TOOL_CHOICE_MODE_REQUIRED: ToolChoiceMode
TOOL_CHOICE_MODE_TOOL: ToolChoiceMode
REASONING_EFFORT_UNSPECIFIED: ReasoningEffort
REASONING_EFFORT_LOW: ReasoningEffort
REASONING_EFFORT_MEDIUM: ReasoningEffort
REASONING_EFFORT_HIGH: ReasoningEffort
FAILURE_CLASS_UNSPECIFIED: FailureClass
FAILURE_CLASS_INVALID_REQUEST: FailureClass
FAILURE_CLASS_CONTEXT_LENGTH: FailureClass
FAILURE_CLASS_CONTENT_POLICY: FailureClass
FAILURE_CLASS_AUTH: FailureClass
FAILURE_CLASS_PERMISSION: FailureClass
FAILURE_CLASS_NOT_FOUND: FailureClass
FAILURE_CLASS_PAYMENT: FailureClass
FAILURE_CLASS_RATE_LIMIT: FailureClass
FAILURE_CLASS_QUOTA_EXHAUSTED: FailureClass
FAILURE_CLASS_OVERLOADED: FailureClass
FAILURE_CLASS_SERVER_ERROR: FailureClass
FAILURE_CLASS_TIMEOUT_CONNECT: FailureClass
FAILURE_CLASS_TIMEOUT_FIRST_CHUNK: FailureClass
FAILURE_CLASS_TIMEOUT_IDLE: FailureClass
FAILURE_CLASS_TIMEOUT_TOTAL: FailureClass
FAILURE_CLASS_STREAM_TRUNCATED: FailureClass
FAILURE_CLASS_STREAM_MALFORMED: FailureClass
FAILURE_CLASS_CANCELLED: FailureClass
FAILURE_CLASS_CREDENTIAL_MISSING: FailureClass
FAILURE_CLASS_LOCAL_LIMIT: FailureClass

class ToolChoice(_message.Message):
    __slots__ = ("mode", "tool_id")
    MODE_FIELD_NUMBER: _ClassVar[int]
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    mode: ToolChoiceMode
    tool_id: str
    def __init__(self, mode: _Optional[_Union[ToolChoiceMode, str]] = ..., tool_id: _Optional[str] = ...) -> None: ...

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

class ResponseFormat(_message.Message):
    __slots__ = ("json_object", "json_schema")
    JSON_OBJECT_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    json_object: JsonObjectFormat
    json_schema: JsonSchemaFormat
    def __init__(self, json_object: _Optional[_Union[JsonObjectFormat, _Mapping]] = ..., json_schema: _Optional[_Union[JsonSchemaFormat, _Mapping]] = ...) -> None: ...

class JsonObjectFormat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JsonSchemaFormat(_message.Message):
    __slots__ = ("name", "json_schema", "strict")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    name: str
    json_schema: str
    strict: bool
    def __init__(self, name: _Optional[str] = ..., json_schema: _Optional[str] = ..., strict: bool = ...) -> None: ...

class TextDelta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ReasoningDelta(_message.Message):
    __slots__ = ("text", "provider_id", "opaque_state")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    OPAQUE_STATE_FIELD_NUMBER: _ClassVar[int]
    text: str
    provider_id: str
    opaque_state: bytes
    def __init__(self, text: _Optional[str] = ..., provider_id: _Optional[str] = ..., opaque_state: _Optional[bytes] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("index", "call_id", "tool_id", "arguments_json")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    index: int
    call_id: str
    tool_id: str
    arguments_json: str
    def __init__(self, index: _Optional[int] = ..., call_id: _Optional[str] = ..., tool_id: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class ToolCallReady(_message.Message):
    __slots__ = ("index", "call")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    index: int
    call: _content_pb2.ToolCall
    def __init__(self, index: _Optional[int] = ..., call: _Optional[_Union[_content_pb2.ToolCall, _Mapping]] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: _content_pb2.FinishReason
    def __init__(self, reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("upstream_model", "response_id")
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    upstream_model: str
    response_id: str
    def __init__(self, upstream_model: _Optional[str] = ..., response_id: _Optional[str] = ...) -> None: ...

class InferenceItem(_message.Message):
    __slots__ = ("started", "text_delta", "reasoning_delta", "tool_call_delta", "tool_call_ready", "usage", "finished")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    REASONING_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_READY_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    started: Started
    text_delta: TextDelta
    reasoning_delta: ReasoningDelta
    tool_call_delta: ToolCallDelta
    tool_call_ready: ToolCallReady
    usage: _content_pb2.Usage
    finished: Finished
    def __init__(self, started: _Optional[_Union[Started, _Mapping]] = ..., text_delta: _Optional[_Union[TextDelta, _Mapping]] = ..., reasoning_delta: _Optional[_Union[ReasoningDelta, _Mapping]] = ..., tool_call_delta: _Optional[_Union[ToolCallDelta, _Mapping]] = ..., tool_call_ready: _Optional[_Union[ToolCallReady, _Mapping]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ...) -> None: ...

class ModelCapabilities(_message.Message):
    __slots__ = ("upstream_model", "context_window", "max_output_tokens", "tools", "images", "json_schema", "reasoning")
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    upstream_model: str
    context_window: int
    max_output_tokens: int
    tools: bool
    images: bool
    json_schema: bool
    reasoning: bool
    def __init__(self, upstream_model: _Optional[str] = ..., context_window: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., tools: bool = ..., images: bool = ..., json_schema: bool = ..., reasoning: bool = ...) -> None: ...
