from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("service", "version", "commit", "store_engine", "store_version", "durability", "limits", "grpc_services", "store_unavailable_cause")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    STORE_ENGINE_FIELD_NUMBER: _ClassVar[int]
    STORE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    GRPC_SERVICES_FIELD_NUMBER: _ClassVar[int]
    STORE_UNAVAILABLE_CAUSE_FIELD_NUMBER: _ClassVar[int]
    service: str
    version: str
    commit: str
    store_engine: str
    store_version: str
    durability: str
    limits: _containers.RepeatedCompositeFieldContainer[Limit]
    grpc_services: _containers.RepeatedScalarFieldContainer[str]
    store_unavailable_cause: str
    def __init__(self, service: _Optional[str] = ..., version: _Optional[str] = ..., commit: _Optional[str] = ..., store_engine: _Optional[str] = ..., store_version: _Optional[str] = ..., durability: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[Limit, _Mapping]]] = ..., grpc_services: _Optional[_Iterable[str]] = ..., store_unavailable_cause: _Optional[str] = ...) -> None: ...

class Limit(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
