"""Who calls, and under which key: what every use case receives beside its command.

Pure: ``core`` may import it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

DEFAULT_TENANT = "default"

T = TypeVar("T")


class Role(StrEnum):
    VIEWER = "viewer"
    AGENT = "agent"
    OPERATOR = "operator"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller.

    Attributes:
        tenant: First column of every tenant-scoped key; never taken from a request body.
        on_behalf_of: Name of the principal a sibling service acts for; only role ``service``
            may set it.
        run_id: The run that acts through the sibling service, when one does.
    """

    tenant: str
    roles: frozenset[Role]
    name: str
    on_behalf_of: str | None = None
    run_id: str | None = None

    @property
    def subject(self) -> str:
        """Name of the one who wants it: whom the caller acts for, else the caller."""
        return self.on_behalf_of or self.name


# Without credentials (loopback only) every caller is this one.
LOCAL_PRINCIPAL = Principal(tenant=DEFAULT_TENANT, roles=frozenset(Role), name="local")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The ``request_id`` of a mutating call, scoped and bound to what was asked.

    Attributes:
        method: Full gRPC method name, ``/runyard.registry.v1.RegistryService/ApplyResources``.
        key: The caller's ``request_id``, never empty (an empty one makes no RequestKey).
        digest: Version byte + SHA-256 of the deterministic serialisation with the key cleared.
    """

    tenant: str
    method: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored, encoded response of the first success of a repeated request."""

    body: bytes


class RequestLog(Protocol):
    """The part of a transaction that remembers answered requests."""

    def recall(self, request: RequestKey) -> bytes | None:
        """The stored response; None when new.

        Raises:
            IdempotencyConflictError: The key was used with another digest.
        """

    def remember(self, request: RequestKey, body: bytes) -> None:
        """Store the response of a success, in the transaction of its effect."""


def once(
    log: RequestLog,
    request: RequestKey | None,
    effect: Callable[[], T],
    encode: Callable[[T], bytes],
) -> T | Replay:
    """Run ``effect`` unless ``request`` was answered before; errors are not stored.

    Call it inside the write transaction, around everything the command decides.
    """
    if request is None:
        return effect()
    stored = log.recall(request)
    if stored is not None:
        return Replay(stored)
    result = effect()
    log.remember(request, encode(result))
    return result
