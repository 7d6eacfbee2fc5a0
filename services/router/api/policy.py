"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.caller import Role
from services.chassis.policy import MethodPolicy

ROUTER = "runyard.router.v1.RouterService"
PROVIDER = "runyard.provider.v1.InferenceProviderService"

_CALLERS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN, Role.SERVICE})
_READERS = _CALLERS | {Role.VIEWER}
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})

# No row of a call that costs tokens is retry_safe: its headers are withheld up to the commit
# point, so that a channel would take a decided failure for one that never reached the server.
POLICY: Mapping[str, MethodPolicy] = {
    f"/{ROUTER}/Infer": MethodPolicy(_CALLERS, deadline_cap_s=3600.0),
    f"/{ROUTER}/Generate": MethodPolicy(_CALLERS, deadline_cap_s=3600.0),
    f"/{ROUTER}/Explain": MethodPolicy(
        _READERS, deadline_cap_s=10.0, idempotent=True, retry_safe=True
    ),
    f"/{ROUTER}/GetRoutingState": MethodPolicy(
        _READERS, deadline_cap_s=10.0, idempotent=True, retry_safe=True
    ),
    f"/{ROUTER}/WatchRoutingState": MethodPolicy(_READERS, deadline_cap_s=None, idempotent=True),
    f"/{ROUTER}/ResetMember": MethodPolicy(_OPERATORS, deadline_cap_s=10.0, idempotent=True),
    f"/{ROUTER}/UnpinSession": MethodPolicy(_OPERATORS, deadline_cap_s=10.0, idempotent=True),
    f"/{PROVIDER}/Infer": MethodPolicy(_CALLERS, deadline_cap_s=3600.0),
    f"/{PROVIDER}/GetCapabilities": MethodPolicy(
        _READERS, deadline_cap_s=10.0, idempotent=True, retry_safe=True
    ),
}
