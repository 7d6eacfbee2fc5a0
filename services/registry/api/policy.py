"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.chassis.access.policy import (
    MAX_REQUEST_BYTES,
    READERS,
    SMALL_REQUEST_BYTES,
    MethodPolicy,
)
from services.chassis.caller import Role
from services.registry.core.rules.validating import MAX_RESOURCE_BYTES

FULL_NAME = "runyard.registry.v1.RegistryService"

_EDITORS = frozenset({Role.OPERATOR, Role.ADMIN})

_READ = MethodPolicy(READERS, deadline_cap_s=10.0)
_MUTATE = MethodPolicy(_EDITORS, deadline_cap_s=30.0)
_APPLY = replace(_MUTATE, max_request_bytes=MAX_REQUEST_BYTES)
# A resource, and what a request holds beside it.
_ONE_BYTES = MAX_RESOURCE_BYTES + SMALL_REQUEST_BYTES
_STREAM = MethodPolicy(READERS, deadline_cap_s=300.0, concurrent_per_principal=100)
_WATCH = MethodPolicy(READERS, deadline_cap_s=None, concurrent_per_principal=1_000)

POLICY: Mapping[str, MethodPolicy] = {
    f"/{FULL_NAME}/{method}": row
    for method, row in {
        "ApplyResources": _APPLY,
        "GetResource": _READ,
        "ListResources": _READ,
        "DeleteResource": _MUTATE,
        "RegisterProvider": replace(_MUTATE, max_request_bytes=_ONE_BYTES),
        "ReplaceProvider": replace(_MUTATE, max_request_bytes=_ONE_BYTES),
        "PreviewRemoveProvider": _READ,
        "RemoveProvider": _MUTATE,
        "ValidateResources": replace(_APPLY, roles=READERS),
        "GetSnapshot": _STREAM,
        "ListVersions": _READ,
        "DiffVersions": _READ,
        "Rollback": _MUTATE,
        "WatchSnapshot": _WATCH,
        "ListAuditEntries": _READ,
    }.items()
}
