"""Requests to commands and queries of the core."""

from __future__ import annotations

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.chassis.calls.call import request_id_violations
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.chassis.protobuf.decoder import Decoder, optional
from services.chassis.protobuf.pages import FIELD, page_position
from services.registry.api.enums import KINDS, MODES, POLICIES
from services.registry.api.resources.codec import (
    ref_from_pb,
    resources_from_pb,
    submitted_from_pb,
)
from services.registry.core.changes.applying import ApplyCommand, Mode
from services.registry.core.changes.deleting import DeleteCommand
from services.registry.core.changes.registering import ProviderCommand
from services.registry.core.changes.removing_providers import RemovalCommand
from services.registry.core.history.auditing import FIRST_REF, AuditQuery
from services.registry.core.history.history import DiffQuery
from services.registry.core.history.rolling_back import RollbackCommand
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import ChangeKey, ListQuery, VersionFilter
from services.registry.core.watching import Position

_LARGEST_VERSION = (1 << 63) - 1


def apply_from_pb(request: service_pb.ApplyResourcesRequest) -> ApplyCommand:
    submitted, invalid = resources_from_pb(request.resources)
    decoder = Decoder()
    mode = decoder.enum(MODES, request.mode, "mode", Mode.UPSERT)
    return ApplyCommand(
        submitted=submitted,
        unreadable=(*invalid, *decoder.found, *request_id_violations(request)),
        mode=mode,
        apply_set=request.apply_set,
        prune=request.prune,
        dry_run=request.dry_run,
        expected_version=optional(request, "expected_version", None),
    )


def validate_from_pb(request: service_pb.ValidateResourcesRequest) -> ApplyCommand:
    """The apply that is to be validated.

    Raises:
        InvalidRequestError: It is too large to be judged.
    """
    submitted, invalid = resources_from_pb(request.resources)
    return ApplyCommand(submitted, unreadable=invalid)


def delete_from_pb(request: service_pb.DeleteResourceRequest) -> DeleteCommand:
    ref = ref_from_pb(request.kind, request.id, request_id_violations(request))
    return DeleteCommand(ref, optional(request, "expected_version", None))


def list_from_pb(request: service_pb.ListResourcesRequest) -> ListQuery:
    decoder = Decoder()
    query = ListQuery(
        kind=decoder.enum(KINDS, request.kind, "kind", None),
        apply_set=decoder.optional_id(request.apply_set, "apply_set"),
        after=page_position(request, _page_ref, decoder),
        limit=request.page_size,
    )
    decoder.check()
    return query


def position_from_pb(request: service_pb.WatchSnapshotRequest) -> Position:
    return Position(request.after_version, request.incarnation, request.lineage)


def provider_command_from_pb(
    request: service_pb.RegisterProviderRequest | service_pb.ReplaceProviderRequest,
) -> ProviderCommand:
    unreadable = request_id_violations(request)
    if not request.HasField("provider"):
        raise InvalidRequestError.of([*unreadable, Violation("provider", "must be set")])
    return ProviderCommand(
        submitted=submitted_from_pb(pb.Resource(provider=request.provider), "provider"),
        unreadable=tuple(unreadable),
        expected_version=optional(request, "expected_version", None),
    )


def previewed_id_from_pb(request: service_pb.PreviewRemoveProviderRequest) -> str:
    decoder = Decoder()
    decoder.id(request.provider_id, "provider_id")
    decoder.check()
    return request.provider_id


def removal_from_pb(request: service_pb.RemoveProviderRequest) -> RemovalCommand:
    decoder = Decoder()
    decoder.found += request_id_violations(request)
    command = RemovalCommand(
        decoder.id(request.provider_id, "provider_id"),
        decoder.required_enum(POLICIES, request.policy, "policy"),
        optional(request, "expected_version", None),
    )
    decoder.check()
    return command


def versions_before(request: service_pb.ListVersionsRequest) -> int | None:
    """Where the page begins; None for the first one."""
    decoder = Decoder()
    before = page_position(request, _page_version, decoder)
    decoder.check()
    return before


def diff_from_pb(request: service_pb.DiffVersionsRequest) -> DiffQuery:
    decoder = Decoder()
    decoder.number(request.from_version, "from_version", least=1)
    asked: int | None = optional(request, "to_version", None)
    if asked is not None:
        decoder.number(asked, "to_version", least=1)
    page = page_position(request, _diff_at, decoder)
    decoder.check()
    # The current version moves; the pages of one comparison do not.
    to_version, after = page or (asked, None)
    return DiffQuery(
        before_version=request.from_version,
        after_version=to_version,
        after=after,
        limit=request.page_size,
    )


def _diff_at(to_version: int, kind: int, id_: str) -> tuple[int, Ref]:
    return _page_version(to_version), _page_ref(kind, id_)


def rollback_from_pb(request: service_pb.RollbackRequest) -> RollbackCommand:
    decoder = Decoder()
    decoder.found += request_id_violations(request)
    decoder.number(request.version, "version", least=1)
    decoder.check()
    return RollbackCommand(request.version, optional(request, "expected_version", None))


def audit_from_pb(request: service_pb.ListAuditEntriesRequest) -> AuditQuery:
    decoder = Decoder()
    query = AuditQuery(
        kind=decoder.enum(KINDS, request.kind, "kind", None),
        id=decoder.optional_id(request.id, "id"),
        which=VersionFilter(
            decoder.optional_id(request.actor, "actor"),
            decoder.time(request, "since", ""),
            decoder.time(request, "until", ""),
        ),
        before=page_position(request, _audit_at, decoder),
        limit=request.page_size,
    )
    decoder.check()
    return query


def _audit_at(version: int, kind: int, id_: str) -> ChangeKey:
    # Without an id it is before everything that the version changed.
    ref = _page_ref(kind, id_) if id_ else FIRST_REF
    return ChangeKey(_page_version(version), ref)


def _page_version(number: object) -> int:
    """A version in a token."""
    if type(number) is not int or not 1 <= number <= _LARGEST_VERSION:
        raise ValueError(f"not a version: {number!r}")
    return number


def _page_ref(kind: int, id_: str) -> Ref:
    """A resource in a token; its id must be one that the store can take."""
    if type(kind) is not int or id_violations(id_, FIELD):
        raise ValueError(f"not a resource: {kind!r}")
    return Ref(Kind(kind), id_)
