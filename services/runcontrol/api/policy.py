"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.caller import Role
from services.chassis.policy import ANY_ROLE, MethodPolicy

RUN_CONTROL = "runyard.runcontrol.v1.RunControlService"
WORKER = "runyard.worker.v1.ToolWorkerService"

_ACTORS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN, Role.SERVICE})
_DECIDERS = frozenset({Role.OPERATOR, Role.ADMIN})
_SIBLINGS = frozenset({Role.SERVICE})

_READ = MethodPolicy(ANY_ROLE, deadline_cap_s=10.0, idempotent=True, retry_safe=True)
_MUTATE = MethodPolicy(_ACTORS, deadline_cap_s=30.0, idempotent=True)
_DECIDE = MethodPolicy(_DECIDERS, deadline_cap_s=30.0, idempotent=True)
# A gateway follows a run for each of its own clients; a reader costs a cursor and a window.
_SUBSCRIBE = MethodPolicy(
    ANY_ROLE, deadline_cap_s=None, idempotent=True, concurrent_per_principal=5_000
)
_DELIVER = MethodPolicy(_SIBLINGS, deadline_cap_s=30.0, idempotent=True)
_SESSION = MethodPolicy(_ACTORS, deadline_cap_s=None, concurrent_per_principal=1_000)
_POLL = MethodPolicy(_ACTORS, deadline_cap_s=60.0, concurrent_per_principal=1_000)

POLICY: Mapping[str, MethodPolicy] = {
    f"/{service}/{method}": row
    for service, rows in {
        RUN_CONTROL: {
            "SubmitRun": _MUTATE,
            "SubscribeRun": _SUBSCRIBE,
            "SubscribeThread": _SUBSCRIBE,
            "GetRun": _READ,
            "ListRuns": _READ,
            "GetThread": _READ,
            "ListThreads": _READ,
            "DeleteThread": _DECIDE,
            "ListMessages": _READ,
            "GetActiveRun": _READ,
            "CancelRun": _MUTATE,
            "InterruptThread": _MUTATE,
            "SubmitDecision": _DECIDE,
            "ListTickets": _READ,
            "GetTicket": _READ,
            "InjectInput": _MUTATE,
            "EditInput": _MUTATE,
            "RetractInput": _MUTATE,
            "ListPendingInputs": _READ,
            "ListDeadDispatches": _READ,
            "RedriveDispatch": _DECIDE,
            "DeliverWake": _DELIVER,
        },
        WORKER: {"Session": _SESSION, "ReportResult": _MUTATE, "PollCall": _POLL},
    }.items()
    for method, row in rows.items()
}
