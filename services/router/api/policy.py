"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.chassis.access.policy import MAX_REQUEST_BYTES, MethodPolicy
from services.chassis.caller import Role

FULL_NAME = "runyard.router.v1.RouterService"

_CALLERS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN, Role.SERVICE})
_READERS = _CALLERS | {Role.VIEWER}
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})

# The most runs that one run control executes; each has an open call.
_ANSWER = MethodPolicy(_CALLERS, deadline_cap_s=3600.0, concurrent_per_principal=10_000)
_READ = MethodPolicy(_READERS, deadline_cap_s=10.0)
_WATCH = MethodPolicy(_READERS, deadline_cap_s=None, concurrent_per_principal=1_000)

POLICY: Mapping[str, MethodPolicy] = {
    f"/{FULL_NAME}/{method}": row
    for method, row in {
        "Infer": replace(_ANSWER, max_request_bytes=MAX_REQUEST_BYTES),
        "Generate": replace(_ANSWER, max_request_bytes=MAX_REQUEST_BYTES),
        "Explain": replace(_READ, max_request_bytes=MAX_REQUEST_BYTES),
        "GetRoutingState": _READ,
        "WatchRoutingState": _WATCH,
        "ResetMember": MethodPolicy(_OPERATORS, deadline_cap_s=10.0),
        "UnpinSession": MethodPolicy(_OPERATORS, deadline_cap_s=10.0),
        "CordonMember": MethodPolicy(_OPERATORS, deadline_cap_s=10.0),
        "UncordonMember": MethodPolicy(_OPERATORS, deadline_cap_s=10.0),
    }.items()
}
