"""The roles that may call each method, and its limits on time and concurrency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.chassis.access.policy import MAX_REQUEST_BYTES, READERS, MethodPolicy
from services.chassis.caller import Role

RUN_CONTROL = "runyard.runcontrol.v1.RunControlService"
INTERNAL = "runyard.runcontrol.v1.RunControlInternalService"
WORKER = "runyard.worker.v1.ToolWorkerService"

_ACTORS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN, Role.SERVICE})
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
_DECIDERS = _OPERATORS | {Role.APPROVER}
_SIBLINGS = frozenset({Role.SERVICE})
_WORKERS = frozenset({Role.WORKER})

_READ = MethodPolicy(READERS, deadline_cap_s=10.0)
# What an approver reads of a run before it decides.
_READ_RUN = replace(_READ, roles=READERS | {Role.APPROVER})
_MUTATE = MethodPolicy(_ACTORS, deadline_cap_s=30.0)
_SAY = replace(_MUTATE, max_request_bytes=MAX_REQUEST_BYTES)
_OPERATE = MethodPolicy(_OPERATORS, deadline_cap_s=30.0)
# An answer of 64 KiB, and what stands beside it.
_DECIDE = MethodPolicy(_DECIDERS, deadline_cap_s=30.0, max_request_bytes=128 << 10)
# A gateway follows one run per client of its own; a subscriber costs a cursor and a send window.
_SUBSCRIBE = MethodPolicy(READERS, deadline_cap_s=None, concurrent_per_principal=5_000)
_SUBSCRIBE_RUN = replace(_SUBSCRIBE, roles=READERS | {Role.APPROVER})
_DELIVER = MethodPolicy(_SIBLINGS, deadline_cap_s=30.0, max_request_bytes=256 << 10)
# A worker that comes back brings what it has not delivered.
_SESSION = MethodPolicy(
    _WORKERS, deadline_cap_s=None, concurrent_per_principal=1_000, max_request_bytes=4 << 20
)
# A result of 1 MiB, and what stands beside it.
_REPORT = replace(_MUTATE, roles=_WORKERS, max_request_bytes=2 << 20)

POLICY: Mapping[str, MethodPolicy] = {
    f"/{service}/{method}": row
    for service, rows in {
        RUN_CONTROL: {
            "SubmitRun": _SAY,
            "SubscribeRun": _SUBSCRIBE_RUN,
            "SubscribeThread": _SUBSCRIBE,
            "GetRun": _READ_RUN,
            "GetToolCall": _READ_RUN,
            "ListRuns": _READ_RUN,
            "GetThread": _READ,
            "ListThreads": _READ,
            "DeleteThread": _OPERATE,
            "ListMessages": _READ,
            "GetActiveRun": _READ_RUN,
            "CancelRun": _MUTATE,
            "InterruptThread": _SAY,
            "SubmitDecision": _DECIDE,
            "ListTickets": _READ_RUN,
            "SubscribeTickets": _SUBSCRIBE_RUN,
            "GetTicket": _READ_RUN,
            "InjectInput": _SAY,
            "EditInput": _SAY,
            "RetractInput": _MUTATE,
            "ListPendingInputs": _READ,
            "ListDeadDispatches": _READ,
            "RedriveDispatch": _OPERATE,
        },
        INTERNAL: {"DeliverWake": _DELIVER},
        WORKER: {"Session": _SESSION, "ReportResult": _REPORT},
    }.items()
    for method, row in rows.items()
}
