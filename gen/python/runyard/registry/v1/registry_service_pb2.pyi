import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from runyard.registry.v1 import registry_pb2 as _registry_pb2
from runyard.types.v1 import stream_pb2 as _stream_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApplyMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPLY_MODE_UNSPECIFIED: _ClassVar[ApplyMode]
    APPLY_MODE_CREATE: _ClassVar[ApplyMode]
    APPLY_MODE_UPDATE: _ClassVar[ApplyMode]
    APPLY_MODE_UPSERT: _ClassVar[ApplyMode]

class ChangeAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_ACTION_UNSPECIFIED: _ClassVar[ChangeAction]
    CHANGE_ACTION_CREATED: _ClassVar[ChangeAction]
    CHANGE_ACTION_UPDATED: _ClassVar[ChangeAction]
    CHANGE_ACTION_UNCHANGED: _ClassVar[ChangeAction]
    CHANGE_ACTION_REMOVED: _ClassVar[ChangeAction]

class ProviderRemovalPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVIDER_REMOVAL_POLICY_UNSPECIFIED: _ClassVar[ProviderRemovalPolicy]
    PROVIDER_REMOVAL_POLICY_BLOCK_IF_REFERENCED: _ClassVar[ProviderRemovalPolicy]
    PROVIDER_REMOVAL_POLICY_CASCADE_UNUSED_MODELS: _ClassVar[ProviderRemovalPolicy]

class DiagnosticCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIAGNOSTIC_CODE_UNSPECIFIED: _ClassVar[DiagnosticCode]
    DIAGNOSTIC_CODE_AGENT_MISSING_MODEL: _ClassVar[DiagnosticCode]
    DIAGNOSTIC_CODE_MODEL_MISSING_PROVIDER: _ClassVar[DiagnosticCode]
    DIAGNOSTIC_CODE_MODEL_POOL_MISSING_MODEL: _ClassVar[DiagnosticCode]
    DIAGNOSTIC_CODE_AGENT_MISSING_TOOL: _ClassVar[DiagnosticCode]
    DIAGNOSTIC_CODE_AMBIGUOUS_MODEL_REFERENCE: _ClassVar[DiagnosticCode]
    DIAGNOSTIC_CODE_DUPLICATE_ID: _ClassVar[DiagnosticCode]
APPLY_MODE_UNSPECIFIED: ApplyMode
APPLY_MODE_CREATE: ApplyMode
APPLY_MODE_UPDATE: ApplyMode
APPLY_MODE_UPSERT: ApplyMode
CHANGE_ACTION_UNSPECIFIED: ChangeAction
CHANGE_ACTION_CREATED: ChangeAction
CHANGE_ACTION_UPDATED: ChangeAction
CHANGE_ACTION_UNCHANGED: ChangeAction
CHANGE_ACTION_REMOVED: ChangeAction
PROVIDER_REMOVAL_POLICY_UNSPECIFIED: ProviderRemovalPolicy
PROVIDER_REMOVAL_POLICY_BLOCK_IF_REFERENCED: ProviderRemovalPolicy
PROVIDER_REMOVAL_POLICY_CASCADE_UNUSED_MODELS: ProviderRemovalPolicy
DIAGNOSTIC_CODE_UNSPECIFIED: DiagnosticCode
DIAGNOSTIC_CODE_AGENT_MISSING_MODEL: DiagnosticCode
DIAGNOSTIC_CODE_MODEL_MISSING_PROVIDER: DiagnosticCode
DIAGNOSTIC_CODE_MODEL_POOL_MISSING_MODEL: DiagnosticCode
DIAGNOSTIC_CODE_AGENT_MISSING_TOOL: DiagnosticCode
DIAGNOSTIC_CODE_AMBIGUOUS_MODEL_REFERENCE: DiagnosticCode
DIAGNOSTIC_CODE_DUPLICATE_ID: DiagnosticCode

class ApplyResourcesRequest(_message.Message):
    __slots__ = ("resources", "mode", "apply_set", "prune", "dry_run", "expected_version", "request_id")
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    APPLY_SET_FIELD_NUMBER: _ClassVar[int]
    PRUNE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[_registry_pb2.Resource]
    mode: ApplyMode
    apply_set: str
    prune: bool
    dry_run: bool
    expected_version: int
    request_id: str
    def __init__(self, resources: _Optional[_Iterable[_Union[_registry_pb2.Resource, _Mapping]]] = ..., mode: _Optional[_Union[ApplyMode, str]] = ..., apply_set: _Optional[str] = ..., prune: bool = ..., dry_run: bool = ..., expected_version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ApplyResourcesResponse(_message.Message):
    __slots__ = ("version", "incarnation", "changes", "changes_omitted", "warnings", "warnings_omitted")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_OMITTED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_OMITTED_FIELD_NUMBER: _ClassVar[int]
    version: int
    incarnation: str
    changes: _containers.RepeatedCompositeFieldContainer[ResourceChange]
    changes_omitted: int
    warnings: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    warnings_omitted: int
    def __init__(self, version: _Optional[int] = ..., incarnation: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[ResourceChange, _Mapping]]] = ..., changes_omitted: _Optional[int] = ..., warnings: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ..., warnings_omitted: _Optional[int] = ...) -> None: ...

class ResourceChange(_message.Message):
    __slots__ = ("ref", "action", "fields", "fields_truncated")
    REF_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    ref: _registry_pb2.ResourceRef
    action: ChangeAction
    fields: _containers.RepeatedCompositeFieldContainer[FieldChange]
    fields_truncated: bool
    def __init__(self, ref: _Optional[_Union[_registry_pb2.ResourceRef, _Mapping]] = ..., action: _Optional[_Union[ChangeAction, str]] = ..., fields: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ..., fields_truncated: bool = ...) -> None: ...

class FieldChange(_message.Message):
    __slots__ = ("path", "before", "after")
    PATH_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    path: str
    before: str
    after: str
    def __init__(self, path: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class GetResourceRequest(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: _registry_pb2.ResourceKind
    id: str
    def __init__(self, kind: _Optional[_Union[_registry_pb2.ResourceKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class GetResourceResponse(_message.Message):
    __slots__ = ("resource", "version")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    resource: _registry_pb2.Resource
    version: int
    def __init__(self, resource: _Optional[_Union[_registry_pb2.Resource, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class ListResourcesRequest(_message.Message):
    __slots__ = ("kind", "apply_set", "page_size", "page_token")
    KIND_FIELD_NUMBER: _ClassVar[int]
    APPLY_SET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    kind: _registry_pb2.ResourceKind
    apply_set: str
    page_size: int
    page_token: str
    def __init__(self, kind: _Optional[_Union[_registry_pb2.ResourceKind, str]] = ..., apply_set: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListResourcesResponse(_message.Message):
    __slots__ = ("resources", "next_page_token", "version")
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[_registry_pb2.Resource]
    next_page_token: str
    version: int
    def __init__(self, resources: _Optional[_Iterable[_Union[_registry_pb2.Resource, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class DeleteResourceRequest(_message.Message):
    __slots__ = ("kind", "id", "expected_version", "request_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    kind: _registry_pb2.ResourceKind
    id: str
    expected_version: int
    request_id: str
    def __init__(self, kind: _Optional[_Union[_registry_pb2.ResourceKind, str]] = ..., id: _Optional[str] = ..., expected_version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteResourceResponse(_message.Message):
    __slots__ = ("version", "incarnation")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    version: int
    incarnation: str
    def __init__(self, version: _Optional[int] = ..., incarnation: _Optional[str] = ...) -> None: ...

class RegisterProviderRequest(_message.Message):
    __slots__ = ("provider", "expected_version", "request_id")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    provider: _registry_pb2.Provider
    expected_version: int
    request_id: str
    def __init__(self, provider: _Optional[_Union[_registry_pb2.Provider, _Mapping]] = ..., expected_version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class RegisterProviderResponse(_message.Message):
    __slots__ = ("version", "incarnation")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    version: int
    incarnation: str
    def __init__(self, version: _Optional[int] = ..., incarnation: _Optional[str] = ...) -> None: ...

class ReplaceProviderRequest(_message.Message):
    __slots__ = ("provider", "expected_version", "request_id")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    provider: _registry_pb2.Provider
    expected_version: int
    request_id: str
    def __init__(self, provider: _Optional[_Union[_registry_pb2.Provider, _Mapping]] = ..., expected_version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReplaceProviderResponse(_message.Message):
    __slots__ = ("version", "incarnation")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    version: int
    incarnation: str
    def __init__(self, version: _Optional[int] = ..., incarnation: _Optional[str] = ...) -> None: ...

class PreviewRemoveProviderRequest(_message.Message):
    __slots__ = ("provider_id",)
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    provider_id: str
    def __init__(self, provider_id: _Optional[str] = ...) -> None: ...

class PreviewRemoveProviderResponse(_message.Message):
    __slots__ = ("provider_id", "model_ids", "pool_ids", "agent_ids", "block_if_referenced_allowed", "cascade_unused_models_allowed", "version", "model_count", "pool_count", "agent_count")
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_IDS_FIELD_NUMBER: _ClassVar[int]
    POOL_IDS_FIELD_NUMBER: _ClassVar[int]
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_IF_REFERENCED_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    CASCADE_UNUSED_MODELS_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    POOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    AGENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    provider_id: str
    model_ids: _containers.RepeatedScalarFieldContainer[str]
    pool_ids: _containers.RepeatedScalarFieldContainer[str]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    block_if_referenced_allowed: bool
    cascade_unused_models_allowed: bool
    version: int
    model_count: int
    pool_count: int
    agent_count: int
    def __init__(self, provider_id: _Optional[str] = ..., model_ids: _Optional[_Iterable[str]] = ..., pool_ids: _Optional[_Iterable[str]] = ..., agent_ids: _Optional[_Iterable[str]] = ..., block_if_referenced_allowed: bool = ..., cascade_unused_models_allowed: bool = ..., version: _Optional[int] = ..., model_count: _Optional[int] = ..., pool_count: _Optional[int] = ..., agent_count: _Optional[int] = ...) -> None: ...

class RemoveProviderRequest(_message.Message):
    __slots__ = ("provider_id", "policy", "expected_version", "request_id")
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    provider_id: str
    policy: ProviderRemovalPolicy
    expected_version: int
    request_id: str
    def __init__(self, provider_id: _Optional[str] = ..., policy: _Optional[_Union[ProviderRemovalPolicy, str]] = ..., expected_version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class RemoveProviderResponse(_message.Message):
    __slots__ = ("provider_id", "removed_model_ids", "removed_pool_ids", "affected_agent_ids", "version", "incarnation", "removed_model_count", "removed_pool_count", "updated_pool_ids", "updated_pool_count")
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    REMOVED_MODEL_IDS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_POOL_IDS_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REMOVED_MODEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_POOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_POOL_IDS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_POOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    provider_id: str
    removed_model_ids: _containers.RepeatedScalarFieldContainer[str]
    removed_pool_ids: _containers.RepeatedScalarFieldContainer[str]
    affected_agent_ids: _containers.RepeatedScalarFieldContainer[str]
    version: int
    incarnation: str
    removed_model_count: int
    removed_pool_count: int
    updated_pool_ids: _containers.RepeatedScalarFieldContainer[str]
    updated_pool_count: int
    def __init__(self, provider_id: _Optional[str] = ..., removed_model_ids: _Optional[_Iterable[str]] = ..., removed_pool_ids: _Optional[_Iterable[str]] = ..., affected_agent_ids: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., incarnation: _Optional[str] = ..., removed_model_count: _Optional[int] = ..., removed_pool_count: _Optional[int] = ..., updated_pool_ids: _Optional[_Iterable[str]] = ..., updated_pool_count: _Optional[int] = ...) -> None: ...

class ValidateResourcesRequest(_message.Message):
    __slots__ = ("resources",)
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[_registry_pb2.Resource]
    def __init__(self, resources: _Optional[_Iterable[_Union[_registry_pb2.Resource, _Mapping]]] = ...) -> None: ...

class ValidateResourcesResponse(_message.Message):
    __slots__ = ("diagnostics", "version", "diagnostics_omitted", "warnings", "warnings_omitted")
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTICS_OMITTED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_OMITTED_FIELD_NUMBER: _ClassVar[int]
    diagnostics: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    version: int
    diagnostics_omitted: int
    warnings: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    warnings_omitted: int
    def __init__(self, diagnostics: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ..., version: _Optional[int] = ..., diagnostics_omitted: _Optional[int] = ..., warnings: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ..., warnings_omitted: _Optional[int] = ...) -> None: ...

class Diagnostic(_message.Message):
    __slots__ = ("code", "field", "description", "resource", "depends_on")
    CODE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    code: DiagnosticCode
    field: str
    description: str
    resource: _registry_pb2.ResourceRef
    depends_on: _registry_pb2.ResourceRef
    def __init__(self, code: _Optional[_Union[DiagnosticCode, str]] = ..., field: _Optional[str] = ..., description: _Optional[str] = ..., resource: _Optional[_Union[_registry_pb2.ResourceRef, _Mapping]] = ..., depends_on: _Optional[_Union[_registry_pb2.ResourceRef, _Mapping]] = ...) -> None: ...

class GetSnapshotRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class GetSnapshotResponse(_message.Message):
    __slots__ = ("incarnation", "version", "part", "last_part", "resources", "content_hash", "lineage")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    LAST_PART_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    version: int
    part: int
    last_part: bool
    resources: _containers.RepeatedCompositeFieldContainer[_registry_pb2.Resource]
    content_hash: str
    lineage: str
    def __init__(self, incarnation: _Optional[str] = ..., version: _Optional[int] = ..., part: _Optional[int] = ..., last_part: bool = ..., resources: _Optional[_Iterable[_Union[_registry_pb2.Resource, _Mapping]]] = ..., content_hash: _Optional[str] = ..., lineage: _Optional[str] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[SnapshotVersion]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[SnapshotVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SnapshotVersion(_message.Message):
    __slots__ = ("version", "content_hash", "create_time", "created_by", "method", "change_count", "restored_from")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CHANGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FROM_FIELD_NUMBER: _ClassVar[int]
    version: int
    content_hash: str
    create_time: _timestamp_pb2.Timestamp
    created_by: str
    method: str
    change_count: int
    restored_from: int
    def __init__(self, version: _Optional[int] = ..., content_hash: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., method: _Optional[str] = ..., change_count: _Optional[int] = ..., restored_from: _Optional[int] = ...) -> None: ...

class DiffVersionsRequest(_message.Message):
    __slots__ = ("from_version", "to_version", "page_size", "page_token")
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    from_version: int
    to_version: int
    page_size: int
    page_token: str
    def __init__(self, from_version: _Optional[int] = ..., to_version: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class DiffVersionsResponse(_message.Message):
    __slots__ = ("changes", "next_page_token", "to_version")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[ResourceChange]
    next_page_token: str
    to_version: int
    def __init__(self, changes: _Optional[_Iterable[_Union[ResourceChange, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., to_version: _Optional[int] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("version", "expected_version", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    expected_version: int
    request_id: str
    def __init__(self, version: _Optional[int] = ..., expected_version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class RollbackResponse(_message.Message):
    __slots__ = ("version", "incarnation", "changes", "changes_omitted")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_OMITTED_FIELD_NUMBER: _ClassVar[int]
    version: int
    incarnation: str
    changes: _containers.RepeatedCompositeFieldContainer[ResourceChange]
    changes_omitted: int
    def __init__(self, version: _Optional[int] = ..., incarnation: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[ResourceChange, _Mapping]]] = ..., changes_omitted: _Optional[int] = ...) -> None: ...

class WatchSnapshotRequest(_message.Message):
    __slots__ = ("after_version", "incarnation", "lineage")
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    after_version: int
    incarnation: str
    lineage: str
    def __init__(self, after_version: _Optional[int] = ..., incarnation: _Optional[str] = ..., lineage: _Optional[str] = ...) -> None: ...

class WatchSnapshotResponse(_message.Message):
    __slots__ = ("incarnation", "from_version", "to_version", "part", "last_part", "items", "heartbeat", "reconnect", "lineage")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    LAST_PART_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    from_version: int
    to_version: int
    part: int
    last_part: bool
    items: _containers.RepeatedCompositeFieldContainer[SnapshotItem]
    heartbeat: _stream_pb2.Heartbeat
    reconnect: _stream_pb2.Reconnect
    lineage: str
    def __init__(self, incarnation: _Optional[str] = ..., from_version: _Optional[int] = ..., to_version: _Optional[int] = ..., part: _Optional[int] = ..., last_part: bool = ..., items: _Optional[_Iterable[_Union[SnapshotItem, _Mapping]]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., reconnect: _Optional[_Union[_stream_pb2.Reconnect, _Mapping]] = ..., lineage: _Optional[str] = ...) -> None: ...

class SnapshotItem(_message.Message):
    __slots__ = ("upserted", "removed")
    UPSERTED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    upserted: _registry_pb2.Resource
    removed: _registry_pb2.ResourceRef
    def __init__(self, upserted: _Optional[_Union[_registry_pb2.Resource, _Mapping]] = ..., removed: _Optional[_Union[_registry_pb2.ResourceRef, _Mapping]] = ...) -> None: ...

class ListAuditEntriesRequest(_message.Message):
    __slots__ = ("kind", "id", "actor", "since", "until", "page_size", "page_token")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    kind: _registry_pb2.ResourceKind
    id: str
    actor: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, kind: _Optional[_Union[_registry_pb2.ResourceKind, str]] = ..., id: _Optional[str] = ..., actor: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("version", "ref", "action", "actor", "time", "method", "before", "after", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    ref: _registry_pb2.ResourceRef
    action: ChangeAction
    actor: str
    time: _timestamp_pb2.Timestamp
    method: str
    before: _registry_pb2.Resource
    after: _registry_pb2.Resource
    request_id: str
    def __init__(self, version: _Optional[int] = ..., ref: _Optional[_Union[_registry_pb2.ResourceRef, _Mapping]] = ..., action: _Optional[_Union[ChangeAction, str]] = ..., actor: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., method: _Optional[str] = ..., before: _Optional[_Union[_registry_pb2.Resource, _Mapping]] = ..., after: _Optional[_Union[_registry_pb2.Resource, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...
