"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.caller import Role
from services.chassis.policy import ANY_ROLE, MethodPolicy

FULL_NAME = "runyard.registry.v1.RegistryService"

_EDITORS = frozenset({Role.OPERATOR, Role.ADMIN})

_READ = MethodPolicy(ANY_ROLE, deadline_cap_s=10.0, idempotent=True, retry_safe=True)
_MUTATE = MethodPolicy(_EDITORS, deadline_cap_s=30.0, idempotent=True)
_STREAM = MethodPolicy(
    ANY_ROLE, deadline_cap_s=300.0, idempotent=True, concurrent_per_principal=100
)
_WATCH = MethodPolicy(
    ANY_ROLE, deadline_cap_s=None, idempotent=True, concurrent_per_principal=1_000
)

POLICY: Mapping[str, MethodPolicy] = {
    f"/{FULL_NAME}/{method}": row
    for method, row in {
        "ApplyResources": _MUTATE,
        "GetResource": _READ,
        "ListResources": _READ,
        "DeleteResource": _MUTATE,
        "RegisterProvider": _MUTATE,
        "ReplaceProvider": _MUTATE,
        "PreviewRemoveProvider": _READ,
        "RemoveProvider": _MUTATE,
        "ValidateResources": _READ,
        "GetSnapshot": _STREAM,
        "ListVersions": _READ,
        "DiffVersions": _READ,
        "Rollback": _MUTATE,
        "WatchSnapshot": _WATCH,
        "ListAuditEntries": _READ,
    }.items()
}
