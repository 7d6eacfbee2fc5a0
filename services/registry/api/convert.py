"""Requests to commands, answers to responses."""

from __future__ import annotations

from datetime import datetime

from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.types.v1 import stream_pb2
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.registry.api.decoding import Decoder, EnumTable, optional
from services.registry.api.fitting import fitting
from services.registry.api.mutations import key_violations
from services.registry.api.pages import page_after, page_token
from services.registry.api.resources import (
    KINDS,
    published_to_pb,
    ref_from_pb,
    ref_to_pb,
    resources_from_pb,
    resources_to_pb,
    stored_to_pb,
)
from services.registry.core.applying import Action, ApplyCommand, Change, Mode, check_count
from services.registry.core.deleting import DeleteCommand
from services.registry.core.model import Ref
from services.registry.core.ports import ListQuery, Stored
from services.registry.core.registry import Applied, Deleted, Found, Listed, Validated
from services.registry.core.validating import Code, Diagnostic
from services.registry.core.watching import (
    Alive,
    ChangePart,
    Frame,
    NetChange,
    Part,
    Position,
    SnapshotPart,
    Stopping,
)

_MODES = EnumTable(service_pb.ApplyMode, "APPLY_MODE", Mode)
ACTIONS = EnumTable(service_pb.ChangeAction, "CHANGE_ACTION", Action)
_CODES = EnumTable(service_pb.DiagnosticCode, "DIAGNOSTIC_CODE", Code)


def apply_from_pb(request: service_pb.ApplyResourcesRequest) -> ApplyCommand:
    check_count(len(request.resources))
    submitted, nothing = resources_from_pb(request.resources)
    decoder = Decoder()
    mode = decoder.enum(_MODES.from_pb, request.mode, "mode", Mode.UPSERT)
    return ApplyCommand(
        submitted=submitted,
        unreadable=(*nothing, *decoder.found, *key_violations(request)),
        mode=mode,
        apply_set=request.apply_set,
        prune=request.prune,
        dry_run=request.dry_run,
        expected_version=optional(request, "expected_version", None),
    )


def applied_to_pb(applied: Applied) -> service_pb.ApplyResourcesResponse:
    changes, omitted = fitting(map(change_to_pb, applied.changes))
    return service_pb.ApplyResourcesResponse(
        version=applied.version,
        incarnation=applied.incarnation,
        changes=changes,
        changes_omitted=omitted,
    )


def validate_from_pb(request: service_pb.ValidateResourcesRequest) -> ApplyCommand:
    """The apply that is asked about."""
    return apply_from_pb(service_pb.ApplyResourcesRequest(resources=request.resources))


def validated_to_pb(validated: Validated) -> service_pb.ValidateResourcesResponse:
    diagnostics, omitted = fitting(map(_diagnostic_to_pb, validated.diagnostics))
    return service_pb.ValidateResourcesResponse(
        diagnostics=diagnostics, version=validated.version, diagnostics_omitted=omitted
    )


def _diagnostic_to_pb(diagnostic: Diagnostic) -> service_pb.Diagnostic:
    resource, depends_on = diagnostic.resource, diagnostic.depends_on
    return service_pb.Diagnostic(
        code=_CODES.to_pb[diagnostic.code] if diagnostic.code else None,
        field=diagnostic.field,
        description=diagnostic.description,
        resource=ref_to_pb(resource) if resource else None,
        depends_on=ref_to_pb(depends_on) if depends_on else None,
    )


def delete_from_pb(request: service_pb.DeleteResourceRequest) -> DeleteCommand:
    ref = ref_from_pb(request.kind, request.id, key_violations(request))
    return DeleteCommand(ref, optional(request, "expected_version", None))


def deleted_to_pb(deleted: Deleted) -> service_pb.DeleteResourceResponse:
    return service_pb.DeleteResourceResponse(
        version=deleted.version, incarnation=deleted.incarnation
    )


def encode_answer(answer: Applied | Deleted) -> bytes:
    """What a repeat of the request is answered with."""
    message = applied_to_pb(answer) if isinstance(answer, Applied) else deleted_to_pb(answer)
    return message.SerializeToString(deterministic=True)


def change_to_pb(change: Change) -> service_pb.ResourceChange:
    return service_pb.ResourceChange(
        ref=ref_to_pb(change.ref),
        action=ACTIONS.to_pb[change.action],
        fields=[
            service_pb.FieldChange(path=field.path, before=field.before, after=field.after)
            for field in change.fields
        ],
        fields_truncated=change.fields_truncated,
    )


def found_to_pb(found: Found) -> service_pb.GetResourceResponse:
    return service_pb.GetResourceResponse(
        resource=stored_to_pb(found.stored), version=found.version
    )


def list_from_pb(request: service_pb.ListResourcesRequest) -> ListQuery:
    found = id_violations(request.apply_set, "apply_set") if request.apply_set else []
    if request.kind and request.kind not in KINDS.from_pb:
        found.append(Violation("kind", "must be a known kind or unset"))
    if found:
        raise InvalidRequestError.of(found)
    return ListQuery(
        kind=KINDS.from_pb.get(request.kind),
        apply_set=request.apply_set,
        after=page_after(_query_of(request), request.page_token),
        limit=request.page_size,
    )


def listed_to_pb(
    listed: Listed, request: service_pb.ListResourcesRequest
) -> service_pb.ListResourcesResponse:
    return service_pb.ListResourcesResponse(
        resources=resources_to_pb(listed.resources),
        next_page_token=page_token(_query_of(request), listed.next_after),
        version=listed.version,
    )


def _query_of(request: service_pb.ListResourcesRequest) -> tuple[object, ...]:
    return ("ListResources", int(request.kind), request.apply_set)


def snapshot_part_to_pb(part: SnapshotPart) -> service_pb.GetSnapshotResponse:
    return service_pb.GetSnapshotResponse(
        incarnation=part.facts.incarnation,
        version=part.facts.version,
        part=part.number,
        last_part=part.last,
        resources=[published_to_pb(one) for one in part.resources],
        content_hash=part.facts.content_hash.hex(),
        lineage=part.facts.lineage,
    )


def position_from_pb(request: service_pb.WatchSnapshotRequest) -> Position:
    return Position(request.after_version, request.incarnation, request.lineage)


def frame_to_pb(frame: Frame, incarnation: str, now: datetime) -> service_pb.WatchSnapshotResponse:
    message = service_pb.WatchSnapshotResponse(incarnation=incarnation)
    match frame:
        case ChangePart(NetChange() as change, number, Part() as part):
            message.from_version = change.from_version
            message.to_version = change.to_version
            message.lineage = change.lineage
            message.part = number
            message.last_part = part.next_after is None
            message.items.extend(map(_item_to_pb, part.items))
        case Alive(version):
            message.from_version = message.to_version = version
            message.heartbeat.cursor = _cursor(version)
            message.heartbeat.server_time.FromDatetime(now)
        case Stopping(version):
            message.from_version = message.to_version = version
            message.reconnect.CopyFrom(stream_pb2.Reconnect(cursor=_cursor(version)))
    return message


def _item_to_pb(item: Stored | Ref) -> service_pb.SnapshotItem:
    if isinstance(item, Stored):
        return service_pb.SnapshotItem(upserted=published_to_pb(item))
    return service_pb.SnapshotItem(removed=ref_to_pb(item))


def _cursor(version: int) -> bytes:
    return str(version).encode("ascii")
