from google.api import annotations_pb2 as _annotations_pb2
from runyard.provider.v1 import provider_pb2 as _provider_pb2
from runyard.types.v1 import content_pb2 as _content_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InferRequest(_message.Message):
    __slots__ = ("upstream_model", "messages", "tools", "tool_choice", "sampling", "response_format", "cache_key")
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    CACHE_KEY_FIELD_NUMBER: _ClassVar[int]
    upstream_model: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    tools: _containers.RepeatedCompositeFieldContainer[_content_pb2.ToolDefinition]
    tool_choice: _provider_pb2.ToolChoice
    sampling: _provider_pb2.Sampling
    response_format: _provider_pb2.ResponseFormat
    cache_key: str
    def __init__(self, upstream_model: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[_content_pb2.ToolDefinition, _Mapping]]] = ..., tool_choice: _Optional[_Union[_provider_pb2.ToolChoice, _Mapping]] = ..., sampling: _Optional[_Union[_provider_pb2.Sampling, _Mapping]] = ..., response_format: _Optional[_Union[_provider_pb2.ResponseFormat, _Mapping]] = ..., cache_key: _Optional[str] = ...) -> None: ...

class InferResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_provider_pb2.InferenceItem]
    def __init__(self, items: _Optional[_Iterable[_Union[_provider_pb2.InferenceItem, _Mapping]]] = ...) -> None: ...

class GetCapabilitiesRequest(_message.Message):
    __slots__ = ("upstream_model",)
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    upstream_model: str
    def __init__(self, upstream_model: _Optional[str] = ...) -> None: ...

class GetCapabilitiesResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_provider_pb2.ModelCapabilities]
    def __init__(self, models: _Optional[_Iterable[_Union[_provider_pb2.ModelCapabilities, _Mapping]]] = ...) -> None: ...
