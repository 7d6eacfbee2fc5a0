"""What each RPC demands and is allowed: one row per method, and no method without a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.chassis.caller import DEFAULT_TENANT, LOCAL_PRINCIPAL, Principal, Role
from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.startup import StartupRefusedError

ANY_ROLE = frozenset(Role)
# Who calls a method that asks for no credentials.
ANONYMOUS = Principal(tenant=DEFAULT_TENANT, roles=frozenset(), name="anonymous")


@dataclass(frozen=True, slots=True)
class MethodPolicy:
    """One row.

    Attributes:
        roles: The caller needs one of them.
        deadline_cap_s: The longest a call may run, whatever the client asked for; None for streams
            that last as long as their reader.
        idempotent: A repeat has no further effect, by itself or through its request id.
        retry_safe: Channels may repeat it on UNAVAILABLE without asking.
        anonymous: Served without credentials: probes have none.
        concurrent_per_principal: How many calls one caller may have open; None for calls that end
            by themselves. Calls without credentials count as those of one caller.
    """

    roles: frozenset[Role]
    deadline_cap_s: float | None
    idempotent: bool = False
    retry_safe: bool = False
    anonymous: bool = False
    concurrent_per_principal: int | None = None


class UnauthenticatedError(DomainError):
    """The call carries no valid credential."""

    kind = ErrorKind.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"
    retry = Retry.USER_ACTION_NEEDED


class PermissionDeniedError(DomainError):
    """The caller has none of the roles that the method asks for."""

    kind = ErrorKind.DENIED
    reason = "PERMISSION_DENIED"
    retry = Retry.USER_ACTION_NEEDED


class Authenticator(Protocol):
    async def authenticate(self, metadata: Mapping[str, str | bytes], peer: str) -> Principal:
        """Who calls.

        Args:
            metadata: Of the call; keys are lower case.
            peer: Address of the other end as gRPC writes it, ``ipv4:127.0.0.1:50000``.

        Raises:
            UnauthenticatedError: No valid credential.
        """


class LocalAuthenticator:
    """Every caller is the local principal: loopback listeners, and those started as insecure."""

    async def authenticate(self, metadata: Mapping[str, str | bytes], peer: str) -> Principal:
        return LOCAL_PRINCIPAL


def admit(principal: Principal, method: str, policy: MethodPolicy) -> None:
    """Let ``principal`` call ``method``, or refuse.

    Raises:
        PermissionDeniedError: None of its roles is in the row.
    """
    if principal.roles & policy.roles:
        return
    needed = ", ".join(sorted(policy.roles))
    raise PermissionDeniedError(
        f"{method} needs one of the roles {needed}", method=method, roles=needed
    )


def open_call_limits(policy: Mapping[str, MethodPolicy]) -> dict[str, int]:
    """What rows limit, by the names that ``GetServerInfo`` lists.

    ``max_open_calls_per_principal:runyard.pool.v1.PoolService/WatchPool``.
    """
    return {
        f"max_open_calls_per_principal:{method.removeprefix('/')}": row.concurrent_per_principal
        for method, row in policy.items()
        if row.concurrent_per_principal is not None
    }


def check_policy(methods: Iterable[str], policy: Mapping[str, MethodPolicy]) -> None:
    """Refuse to start unless rows and served methods are the same set.

    Raises:
        StartupRefusedError: Names every method without a row and every row without a method.
    """
    served = set(methods)
    unlisted = sorted(served - policy.keys())
    unserved = sorted(policy.keys() - served)
    if unlisted:
        raise StartupRefusedError(f"no policy row for {', '.join(unlisted)}: add one to POLICY")
    if unserved:
        raise StartupRefusedError(
            f"policy row for {', '.join(unserved)}, which is not served: remove the row or "
            "register its servicer"
        )
