"""Answers of the core to responses."""

from __future__ import annotations

from datetime import datetime

from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.types.v1 import stream_pb2
from services.chassis.calls.call import MutationResponse
from services.chassis.protobuf.pages import page_token
from services.chassis.protobuf.sizes import fitting, fitting_ids
from services.registry.api.enums import ACTIONS, CODES
from services.registry.api.resources.codec import (
    published_to_pb,
    ref_to_pb,
    resources_to_pb,
    stored_to_pb,
)
from services.registry.core.changes.applying import Applied, Validated
from services.registry.core.changes.provider_lifecycle import (
    Registered,
    RemovalPreview,
    Removed,
    Replaced,
)
from services.registry.core.changes.publishing import Change
from services.registry.core.changes.removing_providers import RemovalPolicy
from services.registry.core.history.auditing import AuditEntry, AuditPage
from services.registry.core.history.comparing import DiffPage
from services.registry.core.history.history import HashedVersion, RolledBack, VersionPage
from services.registry.core.refs import Ref
from services.registry.core.registry import Deleted, Found, Listed
from services.registry.core.rules.validating import Diagnostic
from services.registry.core.stored import Stored
from services.registry.core.watching import (
    ChangePart,
    Frame,
    Heartbeat,
    NetChange,
    Part,
    Reconnect,
    SnapshotPart,
)

# Of one answer: with the longest ids they take 70 KiB of what ``fitting`` leaves of 4 MiB.
MAX_WARNINGS = 100


def applied_to_pb(applied: Applied) -> service_pb.ApplyResourcesResponse:
    changes, omitted = fitting(map(change_to_pb, applied.changes))
    return service_pb.ApplyResourcesResponse(
        version=applied.version,
        incarnation=applied.incarnation,
        changes=changes,
        changes_omitted=omitted,
        warnings=map(_diagnostic_to_pb, applied.warnings[:MAX_WARNINGS]),
        warnings_omitted=max(0, len(applied.warnings) - MAX_WARNINGS),
    )


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


def validated_to_pb(validated: Validated) -> service_pb.ValidateResourcesResponse:
    verdict = validated.verdict
    diagnostics, omitted = fitting(map(_diagnostic_to_pb, verdict.found))
    return service_pb.ValidateResourcesResponse(
        diagnostics=diagnostics,
        version=validated.version,
        diagnostics_omitted=omitted + verdict.omitted,
        warnings=map(_diagnostic_to_pb, validated.warnings[:MAX_WARNINGS]),
        warnings_omitted=max(0, len(validated.warnings) - MAX_WARNINGS),
    )


def _diagnostic_to_pb(diagnostic: Diagnostic) -> service_pb.Diagnostic:
    resource, depends_on = diagnostic.resource, diagnostic.depends_on
    return service_pb.Diagnostic(
        code=CODES.to_pb[diagnostic.code] if diagnostic.code else None,
        field=diagnostic.field,
        description=diagnostic.description,
        resource=ref_to_pb(resource) if resource else None,
        depends_on=ref_to_pb(depends_on) if depends_on else None,
    )


def deleted_to_pb(deleted: Deleted) -> service_pb.DeleteResourceResponse:
    return service_pb.DeleteResourceResponse(
        version=deleted.version, incarnation=deleted.incarnation
    )


def found_to_pb(found: Found) -> service_pb.GetResourceResponse:
    return service_pb.GetResourceResponse(
        resource=stored_to_pb(found.stored), version=found.version
    )


def listed_to_pb(
    listed: Listed, request: service_pb.ListResourcesRequest
) -> service_pb.ListResourcesResponse:
    after = listed.next_after
    position = (int(after.kind), after.id) if after else None
    return service_pb.ListResourcesResponse(
        resources=resources_to_pb(listed.resources),
        next_page_token=page_token(request, position),
        version=listed.version,
    )


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
        case Heartbeat(version):
            message.from_version = message.to_version = version
            message.heartbeat.cursor = _cursor(version)
            message.heartbeat.server_time.FromDatetime(now)
        case Reconnect(version):
            message.from_version = message.to_version = version
            message.reconnect.CopyFrom(stream_pb2.Reconnect(cursor=_cursor(version)))
    return message


def _item_to_pb(item: Stored | Ref) -> service_pb.SnapshotItem:
    if isinstance(item, Stored):
        return service_pb.SnapshotItem(upserted=published_to_pb(item))
    return service_pb.SnapshotItem(removed=ref_to_pb(item))


def _cursor(version: int) -> bytes:
    return str(version).encode("ascii")


def registered_to_pb(answer: Registered) -> service_pb.RegisterProviderResponse:
    return service_pb.RegisterProviderResponse(
        version=answer.version, incarnation=answer.incarnation
    )


def replaced_to_pb(answer: Replaced) -> service_pb.ReplaceProviderResponse:
    return service_pb.ReplaceProviderResponse(
        version=answer.version, incarnation=answer.incarnation
    )


def preview_to_pb(preview: RemovalPreview) -> service_pb.PreviewRemoveProviderResponse:
    impact = preview.impact
    return service_pb.PreviewRemoveProviderResponse(
        provider_id=impact.provider_id,
        model_ids=fitting_ids(impact.model_ids),
        pool_ids=fitting_ids(impact.pool_ids),
        agent_ids=fitting_ids(impact.agent_ids),
        block_if_referenced_allowed=impact.allows(RemovalPolicy.BLOCK_IF_REFERENCED),
        cascade_unused_models_allowed=impact.allows(RemovalPolicy.CASCADE_UNUSED_MODELS),
        version=preview.version,
        model_count=len(impact.model_ids),
        pool_count=len(impact.pool_ids),
        agent_count=len(impact.agent_ids),
    )


def removed_to_pb(answer: Removed) -> service_pb.RemoveProviderResponse:
    return service_pb.RemoveProviderResponse(
        provider_id=answer.provider_id,
        removed_model_ids=fitting_ids(answer.model_ids),
        removed_pool_ids=fitting_ids(answer.pool_ids),
        affected_agent_ids=fitting_ids(answer.agent_ids),
        version=answer.version,
        incarnation=answer.incarnation,
        removed_model_count=len(answer.model_ids),
        removed_pool_count=len(answer.pool_ids),
        updated_pool_ids=fitting_ids(answer.shrunk_pool_ids),
        updated_pool_count=len(answer.shrunk_pool_ids),
    )


def versions_to_pb(
    page: VersionPage, request: service_pb.ListVersionsRequest
) -> service_pb.ListVersionsResponse:
    position = None if page.next_before is None else (page.next_before,)
    return service_pb.ListVersionsResponse(
        versions=map(_version_to_pb, page.versions),
        next_page_token=page_token(request, position),
    )


def _version_to_pb(version: HashedVersion) -> service_pb.SnapshotVersion:
    facts = version.facts
    message = service_pb.SnapshotVersion(
        version=facts.version,
        content_hash=version.content_hash.hex(),
        created_by=facts.by,
        method=facts.method.removeprefix("/"),
        change_count=facts.change_count,
        restored_from=facts.restored_from,
    )
    message.create_time.FromDatetime(facts.at)
    return message


def diff_to_pb(
    page: DiffPage, request: service_pb.DiffVersionsRequest
) -> service_pb.DiffVersionsResponse:
    after = page.next_after
    position = (page.versions.after, int(after.kind), after.id) if after else None
    return service_pb.DiffVersionsResponse(
        changes=map(change_to_pb, page.changes),
        next_page_token=page_token(request, position),
        to_version=page.versions.after,
    )


def rolled_back_to_pb(answer: RolledBack) -> service_pb.RollbackResponse:
    changes, omitted = fitting(map(change_to_pb, answer.changes))
    return service_pb.RollbackResponse(
        version=answer.version,
        incarnation=answer.incarnation,
        changes=changes,
        changes_omitted=omitted,
    )


def audit_to_pb(
    page: AuditPage, request: service_pb.ListAuditEntriesRequest
) -> service_pb.ListAuditEntriesResponse:
    before = page.next_before
    position = (before.version, int(before.ref.kind), before.ref.id) if before else None
    return service_pb.ListAuditEntriesResponse(
        entries=map(_entry_to_pb, page.entries),
        next_page_token=page_token(request, position),
    )


def _entry_to_pb(entry: AuditEntry) -> service_pb.AuditEntry:
    message = service_pb.AuditEntry(
        version=entry.version.version,
        ref=ref_to_pb(entry.ref),
        action=ACTIONS.to_pb[entry.action],
        actor=entry.version.by,
        method=entry.version.method.removeprefix("/"),
        before=published_to_pb(entry.before) if entry.before else None,
        after=published_to_pb(entry.after) if entry.after else None,
        request_id=entry.version.request_id,
    )
    message.time.FromDatetime(entry.version.at)
    return message


APPLIED = MutationResponse(service_pb.ApplyResourcesResponse, applied_to_pb)
DELETED = MutationResponse(service_pb.DeleteResourceResponse, deleted_to_pb)
REGISTERED = MutationResponse(service_pb.RegisterProviderResponse, registered_to_pb)
REPLACED = MutationResponse(service_pb.ReplaceProviderResponse, replaced_to_pb)
REMOVED = MutationResponse(service_pb.RemoveProviderResponse, removed_to_pb)
ROLLED_BACK = MutationResponse(service_pb.RollbackResponse, rolled_back_to_pb)
