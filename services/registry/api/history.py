"""The past on the wire: versions, differences, rollbacks and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.registry.api.convert import ACTIONS, change_to_pb
from services.registry.api.decoding import optional
from services.registry.api.fitting import fitting
from services.registry.api.mutations import key_violations
from services.registry.api.pages import opened, page_ref, page_version, sealed
from services.registry.api.resources import KINDS, published_to_pb, ref_to_pb
from services.registry.core.auditing import FIRST_REF, AuditEntry, AuditPage, AuditQuery
from services.registry.core.comparing import DiffPage
from services.registry.core.history import DiffQuery, HashedVersion, RolledBack, VersionPage
from services.registry.core.history_ports import ChangeKey, VersionFilter
from services.registry.core.model import Ref
from services.registry.core.rolling_back import RollbackCommand

_VERSIONS = ("ListVersions",)


def versions_before(request: service_pb.ListVersionsRequest) -> int | None:
    """Where the page begins; None for the first one."""
    return opened(_VERSIONS, request.page_token, page_version)


def versions_to_pb(page: VersionPage) -> service_pb.ListVersionsResponse:
    position = None if page.next_before is None else (page.next_before,)
    return service_pb.ListVersionsResponse(
        versions=map(_version_to_pb, page.versions), next_page_token=sealed(_VERSIONS, position)
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


def diff_from_pb(request: service_pb.DiffVersionsRequest) -> DiffQuery:
    found = _version_violations(request.from_version, "from_version")
    if request.HasField("to_version"):
        found += _version_violations(request.to_version, "to_version")
    if found:
        raise InvalidRequestError.of(found)
    # The current version moves; the pages of one comparison do not.
    asked = optional(request, "to_version", None)
    to_version, after = opened(_diff_of(request), request.page_token, _diff_at) or (asked, None)
    return DiffQuery(
        before_version=request.from_version,
        after_version=to_version,
        after=after,
        limit=request.page_size,
    )


def diff_to_pb(
    page: DiffPage, request: service_pb.DiffVersionsRequest
) -> service_pb.DiffVersionsResponse:
    after = page.next_after
    position = (page.versions.after, int(after.kind), after.id) if after else None
    return service_pb.DiffVersionsResponse(
        changes=map(change_to_pb, page.changes),
        next_page_token=sealed(_diff_of(request), position),
        to_version=page.versions.after,
    )


def _diff_at(to_version: int, kind: int, id_: str) -> tuple[int, Ref]:
    return page_version(to_version), page_ref(kind, id_)


def _diff_of(request: service_pb.DiffVersionsRequest) -> tuple[object, ...]:
    return ("DiffVersions", request.from_version, optional(request, "to_version", None))


def rollback_from_pb(request: service_pb.RollbackRequest) -> RollbackCommand:
    found = [*_version_violations(request.version, "version"), *key_violations(request)]
    if found:
        raise InvalidRequestError.of(found)
    return RollbackCommand(request.version, optional(request, "expected_version", None))


def rolled_back_to_pb(answer: RolledBack) -> service_pb.RollbackResponse:
    changes, omitted = fitting(map(change_to_pb, answer.changes))
    return service_pb.RollbackResponse(
        version=answer.version,
        incarnation=answer.incarnation,
        changes=changes,
        changes_omitted=omitted,
    )


def encode_rolled_back(answer: RolledBack) -> bytes:
    """What a repeat of the request is answered with."""
    return rolled_back_to_pb(answer).SerializeToString(deterministic=True)


def audit_from_pb(request: service_pb.ListAuditEntriesRequest) -> AuditQuery:
    found = _name_violations(request)
    since, until = (_instant(request, name, found) for name in ("since", "until"))
    if found:
        raise InvalidRequestError.of(found)
    return AuditQuery(
        kind=KINDS.from_pb.get(request.kind),
        id=request.id,
        which=VersionFilter(request.actor, since, until),
        before=opened(_audit_of(request), request.page_token, _audit_at),
        limit=request.page_size,
    )


def audit_to_pb(
    page: AuditPage, request: service_pb.ListAuditEntriesRequest
) -> service_pb.ListAuditEntriesResponse:
    before = page.next_before
    position = (before.version, int(before.ref.kind), before.ref.id) if before else None
    return service_pb.ListAuditEntriesResponse(
        entries=map(_entry_to_pb, page.entries),
        next_page_token=sealed(_audit_of(request), position),
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


def _audit_at(version: int, kind: int, id_: str) -> ChangeKey:
    # Without an id it is before everything that the version changed.
    ref = page_ref(kind, id_) if id_ else FIRST_REF
    return ChangeKey(page_version(version), ref)


def _audit_of(request: service_pb.ListAuditEntriesRequest) -> tuple[object, ...]:
    times = [
        (getattr(request, name).seconds, getattr(request, name).nanos)
        if request.HasField(name)
        else None
        for name in ("since", "until")
    ]
    return ("ListAuditEntries", int(request.kind), request.id, request.actor, *times)


def _name_violations(request: service_pb.ListAuditEntriesRequest) -> list[Violation]:
    found = []
    if request.kind and request.kind not in KINDS.from_pb:
        found.append(Violation("kind", "must be a known kind or unset"))
    for name in ("id", "actor"):
        value = getattr(request, name)
        found += id_violations(value, name) if value else []
    return found


def _instant(
    request: service_pb.ListAuditEntriesRequest, name: str, found: list[Violation]
) -> datetime | None:
    if not request.HasField(name):
        return None
    value: Timestamp = getattr(request, name)
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        found.append(Violation(name, "is no time between the years 1 and 9999"))
        return None


def _version_violations(version: int, field: str) -> list[Violation]:
    return [] if version > 0 else [Violation(field, "must be set, 1 or more")]
