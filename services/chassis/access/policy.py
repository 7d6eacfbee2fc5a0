"""Access policy: one row per RPC method with its roles and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.chassis.caller import DEFAULT_TENANT, Principal, Role
from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.startup import StartupRefusedError

ANY_ROLE = frozenset(Role)
# A worker sees of a tenant what it is called with, an approver what it has to decide about.
READERS = ANY_ROLE - {Role.WORKER, Role.APPROVER}
# Of most requests.
SMALL_REQUEST_BYTES = 64 << 10
# Of any request.
MAX_REQUEST_BYTES = 16 << 20
# The caller of methods that are served without credentials.
ANONYMOUS = Principal(tenant=DEFAULT_TENANT, roles=frozenset(), name="anonymous")


@dataclass(frozen=True, slots=True)
class MethodPolicy:
    """The policy of one method.

    Attributes:
        roles: The caller needs one of them.
        deadline_cap_s: Longest duration of a call, whatever deadline the client set; None for
            streams, which the client ends.
        anonymous: Serve calls without credentials, for health probes.
        concurrent_per_principal: How many open calls one principal may have; None = unlimited.
            Calls without credentials count as calls of one principal.
        max_request_bytes: Of each message of the caller, as it is encoded.
    """

    roles: frozenset[Role]
    deadline_cap_s: float | None
    anonymous: bool = False
    concurrent_per_principal: int | None = None
    max_request_bytes: int = SMALL_REQUEST_BYTES


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
    def authenticate(self, metadata: Mapping[str, str | bytes]) -> Principal:
        """Return the principal that makes the call. Called before each call: it must not block.

        Args:
            metadata: Metadata of the call; keys are lower case.

        Raises:
            UnauthenticatedError: The call carries no valid credential.
        """


def denied(method: str, policy: MethodPolicy) -> PermissionDeniedError:
    """The refusal of a caller that has none of the roles in the row."""
    needed = ", ".join(sorted(policy.roles))
    return PermissionDeniedError(
        f"{method} needs one of the roles {needed}", method=method, roles=needed
    )


def open_call_limits(policy: Mapping[str, MethodPolicy]) -> dict[str, int]:
    """Return the limits on open calls by the names that ``GetServerInfo`` lists.

    Example: ``max_open_calls_per_principal:runyard.pool.v1.PoolService/WatchPool``.
    """
    return {
        f"max_open_calls_per_principal:{method.removeprefix('/')}": row.concurrent_per_principal
        for method, row in policy.items()
        if row.concurrent_per_principal is not None
    }


def check_policy(methods: Iterable[str], policy: Mapping[str, MethodPolicy]) -> None:
    """Check that every served method has a row, and every row a served method.

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
