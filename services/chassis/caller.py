"""Who calls, how, and under which key: what every use case receives beside its command.

Pure: ``core`` may import it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from services.chassis.errors import DomainError, InvalidRequestError, Violation

DEFAULT_TENANT = "default"

T = TypeVar("T")


def in_tenant(tenant: str, name: str) -> str:
    """One text for a name of a tenant: a lane, a lock, a channel. No other pair has the same.

    The length of the tenant comes first because both can contain any separator.
    """
    return f"{len(tenant)}:{tenant}/{name}"


def tenant_of(text: str) -> str:
    """The tenant of a text that ``in_tenant`` made."""
    length, _, rest = text.partition(":")
    return rest[: int(length)]


class Role(StrEnum):
    VIEWER = "viewer"
    AGENT = "agent"
    WORKER = "worker"
    APPROVER = "approver"
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
        tools: The tools that it may serve as a worker; empty = every tool.
    """

    tenant: str
    roles: frozenset[Role]
    name: str
    on_behalf_of: str | None = None
    tools: frozenset[str] = frozenset()

    @property
    def subject(self) -> str:
        """Name of the one who wants it: whom the caller acts for, else the caller."""
        return self.on_behalf_of or self.name


# Without credentials (loopback only) every caller is this one.
LOCAL_PRINCIPAL = Principal(tenant=DEFAULT_TENANT, roles=frozenset(Role), name="local")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The ``request_id`` of a mutating call, bound to who asks and to what is asked.

    Two calls have the same key only if all but ``digest`` are equal: nobody is answered what
    another subject, or a run, was answered.

    Attributes:
        subject: ``Principal.subject``.
        acting_run: The run that acts through a sibling service; empty when none does.
        method: Full gRPC method name, ``/runyard.registry.v1.RegistryService/ApplyResources``.
        key: The caller's ``request_id``, never empty (an empty one makes no RequestKey).
        digest: Version byte + SHA-256 of the deterministic serialisation with the key cleared.
    """

    tenant: str
    subject: str
    acting_run: str
    method: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request whose answer is stored for repeats.

    Attributes:
        encode: The bytes of the response, made of the use case's result.
    """

    key: RequestKey
    encode: Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call, and how.

    Attributes:
        method: Full gRPC method name; empty when no call causes what is done.
        acting_run: The run that acts through a sibling service; empty when none does.
        request: None when the caller sent no ``request_id``, or an illegal one.
        request_violations: What is wrong with the ``request_id``.
        traceparent: Of the call's span; empty when there is none.
    """

    principal: Principal
    method: str = ""
    acting_run: str = ""
    request: KeyedRequest | None = None
    traceparent: str = ""
    request_violations: tuple[Violation, ...] = ()

    @property
    def tenant(self) -> str:
        return self.principal.tenant

    @property
    def request_id(self) -> str:
        """Empty when the caller sent none."""
        return self.request.key.key if self.request else ""


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


def once(log: RequestLog, caller: Caller, effect: Callable[[], T]) -> T | Replay:
    """Run ``effect`` unless the caller's request was answered before; errors are not stored.

    Call it inside the write transaction, around everything the command decides.

    Raises:
        IdempotencyConflictError: The key was used with another digest.
        InvalidRequestError: The ``request_id`` is illegal; with whatever else ``effect`` finds to
            be wrong with the request. Raising undoes what it did.
    """
    request = caller.request
    if caller.request_violations:
        raise InvalidRequestError.of([*caller.request_violations, *_violations_of(effect)])
    if request is None:
        return effect()
    answered = replay(log, caller)
    if answered is not None:
        return answered
    result = effect()
    log.remember(request.key, request.encode(result))
    return result


def _violations_of(effect: Callable[[], object]) -> Sequence[Violation]:
    try:
        effect()
    except DomainError as error:
        return tuple(error.violations)
    return ()


def replay(log: RequestLog, caller: Caller) -> Replay | None:
    """The stored answer to the caller's request; None when there is none.

    Raises:
        IdempotencyConflictError: The key was used with another digest.
    """
    stored = log.recall(caller.request.key) if caller.request else None
    return None if stored is None else Replay(stored)
