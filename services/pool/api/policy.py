"""One row per RPC: which roles may call it, and how long a call may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.chassis.access.policy import READERS, MethodPolicy
from services.chassis.caller import Role
from services.pool.core.limits import MAX_CONDITION_BYTES

FULL_NAME = "runyard.pool.v1.PoolService"

_ACTORS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN, Role.SERVICE})
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})

# A command needs a few commits; the store has failed if it takes longer.
_COMMAND_CAP_S = 10.0
_READ_CAP_S = 10.0
_LONG_POLL_CAP_S = 300.0

_READ = MethodPolicy(READERS, _READ_CAP_S)
# One process may host thousands of members, each with a stream or a long poll of its own.
_OPEN = 5_000
_WAIT = MethodPolicy(READERS, _LONG_POLL_CAP_S, concurrent_per_principal=_OPEN)
_STREAM = MethodPolicy(READERS, None, concurrent_per_principal=_OPEN)
_COMMAND = MethodPolicy(_ACTORS, _COMMAND_CAP_S)
# One with a body of 64 KiB, or with 64 policies and as many topics.
_LONG = replace(_COMMAND, max_request_bytes=256 << 10)
# Of a condition that is a little too large the refusal says so.
_SUSPEND = replace(_COMMAND, max_request_bytes=2 * MAX_CONDITION_BYTES)
_OPERATE = MethodPolicy(_OPERATORS, _COMMAND_CAP_S)

_ROWS: Mapping[str, MethodPolicy] = {
    "OpenPool": _LONG,
    "GetPool": _READ,
    "ListPools": _READ,
    "UpdatePool": _COMMAND,
    "ClosePool": _COMMAND,
    "GetPoolSnapshot": _STREAM,
    "VerifyPool": _OPERATE,
    "JoinPool": _LONG,
    "LeavePool": _COMMAND,
    "Heartbeat": _COMMAND,
    "UpdateMember": _COMMAND,
    "ListMembers": _READ,
    "StartMember": _COMMAND,
    "SendMessage": _LONG,
    "SendMessages": _COMMAND,
    "Request": MethodPolicy(_ACTORS, _LONG_POLL_CAP_S, concurrent_per_principal=_OPEN),
    "Respond": _LONG,
    "GetMessage": _READ,
    "ListMessages": _READ,
    "CancelMessage": _COMMAND,
    "FetchInbox": _COMMAND,
    "StreamInbox": MethodPolicy(_ACTORS, None, concurrent_per_principal=_OPEN),
    "AckDelivery": _COMMAND,
    "NackDelivery": _COMMAND,
    "ExtendDelivery": _COMMAND,
    "ListDeadDeliveries": _READ,
    "RequeueDelivery": _OPERATE,
    "SuspendUntil": _SUSPEND,
    "WaitWake": _WAIT,
    "GetWake": _READ,
    "ListWakes": _READ,
    "CancelWake": _COMMAND,
    "SubscribeEvents": _STREAM,
    "WatchPool": _STREAM,
    "PublishEvents": _COMMAND,
    "ValidateFilter": _READ,
}

POLICY: Mapping[str, MethodPolicy] = {
    f"/{FULL_NAME}/{name}": policy for name, policy in _ROWS.items()
}
