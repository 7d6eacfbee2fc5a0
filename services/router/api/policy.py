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

# As many runs as one run control executes at most; each holds an open request to a provider.
_ANSWER = MethodPolicy(_CALLERS, deadline_cap_s=3600.0, concurrent_per_principal=10_000)
_READ = MethodPolicy(_READERS, deadline_cap_s=10.0, idempotent=True, retry_safe=True)
_WATCH = MethodPolicy(
    _READERS, deadline_cap_s=None, idempotent=True, concurrent_per_principal=1_000
)

# No row of a call that costs tokens is retry_safe: its headers are withheld up to the commit
# point, so that a channel would take a decided failure for one that never reached the server.
POLICY: Mapping[str, MethodPolicy] = {
    f"/{ROUTER}/Infer": _ANSWER,
    f"/{ROUTER}/Generate": _ANSWER,
    f"/{ROUTER}/Explain": _READ,
    f"/{ROUTER}/GetRoutingState": _READ,
    f"/{ROUTER}/WatchRoutingState": _WATCH,
    f"/{ROUTER}/ResetMember": MethodPolicy(_OPERATORS, deadline_cap_s=10.0, idempotent=True),
    f"/{ROUTER}/UnpinSession": MethodPolicy(_OPERATORS, deadline_cap_s=10.0, idempotent=True),
    f"/{PROVIDER}/Infer": _ANSWER,
    f"/{PROVIDER}/GetCapabilities": _READ,
}
