"""One row per RPC: who may call it, for how long, and whether a channel may repeat it."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.caller import Role
from services.chassis.policy import MethodPolicy

FULL_NAME = "runyard.pool.v1.PoolService"

_ACTORS = frozenset({Role.AGENT, Role.OPERATOR, Role.ADMIN, Role.SERVICE})
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
_READERS = frozenset(Role)

# The command is durable within a few commits, or the store is in trouble.
_COMMAND_CAP_S = 10.0
_READ_CAP_S = 10.0
_LONG_POLL_CAP_S = 300.0

_READ = MethodPolicy(_READERS, _READ_CAP_S, idempotent=True, retry_safe=True)
# One process may host thousands of members, each with a stream or a wait of its own.
_OPEN = 5_000
_WAIT = MethodPolicy(
    _READERS, _LONG_POLL_CAP_S, idempotent=True, retry_safe=True, concurrent_per_principal=_OPEN
)
_STREAM = MethodPolicy(_READERS, None, idempotent=True, concurrent_per_principal=_OPEN)
_COMMAND = MethodPolicy(_ACTORS, _COMMAND_CAP_S)
# A repeat answers what the first call did, by nature or by the key it has to carry.
_KEYED = MethodPolicy(_ACTORS, _COMMAND_CAP_S, idempotent=True, retry_safe=True)
_OPERATE = MethodPolicy(_OPERATORS, _COMMAND_CAP_S)

_ROWS: Mapping[str, MethodPolicy] = {
    "OpenPool": _KEYED,
    "GetPool": _READ,
    "ListPools": _READ,
    "UpdatePool": _COMMAND,
    "ClosePool": _COMMAND,
    "GetPoolSnapshot": _STREAM,
    "VerifyPool": _OPERATE,
    "JoinPool": _KEYED,
    "LeavePool": _COMMAND,
    "Heartbeat": _COMMAND,
    "UpdateMember": _COMMAND,
    "ListMembers": _READ,
    "StartMember": _COMMAND,
    "SendMessage": _KEYED,
    "SendMessages": _KEYED,
    "Request": MethodPolicy(
        _ACTORS, _LONG_POLL_CAP_S, idempotent=True, concurrent_per_principal=_OPEN
    ),
    "Respond": _KEYED,
    "GetMessage": _READ,
    "ListMessages": _READ,
    "CancelMessage": _COMMAND,
    "FetchInbox": _COMMAND,
    "StreamInbox": MethodPolicy(_ACTORS, None, concurrent_per_principal=_OPEN),
    "AckDelivery": _KEYED,
    "NackDelivery": _COMMAND,
    "ExtendDelivery": _COMMAND,
    "ListDeadDeliveries": _READ,
    "RequeueDelivery": _OPERATE,
    "SuspendUntil": _KEYED,
    "WaitWake": _WAIT,
    "GetWake": _READ,
    "ListWakes": _READ,
    "CancelWake": _KEYED,
    "SubscribeEvents": _STREAM,
    "WatchPool": _STREAM,
    "PublishEvents": _KEYED,
    "ValidateFilter": _READ,
}

POLICY: Mapping[str, MethodPolicy] = {
    f"/{FULL_NAME}/{name}": policy for name, policy in _ROWS.items()
}
