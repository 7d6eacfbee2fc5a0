"""What can go wrong, said once for every service.

A domain error names its *kind* (which fixes the gRPC code), its *reason* (the machine-readable
contract, a value of the service's ``ErrorReason`` enum) and the facts of this occurrence as
metadata. ``rpc_status`` renders it; nothing else turns an exception into a status.

    DomainError
    ├── InvalidRequestError      INVALID_ARGUMENT, all violations at once
    ├── IdempotencyConflictError ALREADY_EXISTS
    ├── StoreUnavailableError    UNAVAILABLE
    └── … one class per reason, in each service's core/errors.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, ClassVar


class ErrorKind(Enum):
    """The situations of the error contract; each maps to exactly one gRPC code."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    PRECONDITION = "precondition"
    CONFLICT = "conflict"
    STALE = "stale"
    DENIED = "denied"
    UNAUTHENTICATED = "unauthenticated"
    EXHAUSTED = "exhausted"
    OUT_OF_RANGE = "out_of_range"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    UNIMPLEMENTED = "unimplemented"
    DATA_LOSS = "data_loss"


class Retry(StrEnum):
    """What the caller can do about an error; published as ``metadata["retry"]``."""

    RETRYABLE = "retryable"
    NOT_RETRYABLE = "not_retryable"
    REPAIR_NEEDED = "repair_needed"
    USER_ACTION_NEEDED = "user_action_needed"
    HOST_CONFIGURATION_NEEDED = "host_configuration_needed"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request.

    Attributes:
        field: Path in the request as the caller wrote it, ``resources[2].model.provider_id``.
        description: What is wrong and what would be right; lower case, no final full stop.
        reason: Stable code of the rule, ``model_missing_provider``; empty for plain field rules.
    """

    field: str
    description: str
    reason: str = ""


class DomainError(Exception):
    """Base of every error that a caller is meant to see.

    Args:
        message: Lower case, no final full stop, nothing internal or secret; every dynamic word
            of it is also in ``metadata``.
        violations: Everything that is wrong with the request, never just the first.
        retry_after_s: When a repeat has a chance, in seconds; None when unknown.
        metadata: The facts, as strings.

    Attributes:
        details: Messages of the contract that a servicer adds; one that is too large is left out.
    """

    kind: ClassVar[ErrorKind]
    reason: ClassVar[str]
    retry: ClassVar[Retry] = Retry.NOT_RETRYABLE

    def __init__(
        self,
        message: str,
        *,
        violations: Iterable[Violation] = (),
        retry_after_s: float | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.metadata = metadata
        self.details: Sequence[Any] = ()


class InvalidRequestError(DomainError):
    """The request is malformed; ``violations`` lists every reason."""

    kind = ErrorKind.INVALID
    reason = "INVALID_REQUEST"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, violations: Iterable[Violation]) -> InvalidRequestError:
        found = sorted(set(violations), key=lambda v: (v.field, v.reason, v.description))
        text = "; ".join(f"{v.field}: {v.description}" for v in found[:3])
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        return cls(
            f"{len(found)} violation(s): {text}{more}", violations=found, count=str(len(found))
        )


class IdempotencyConflictError(DomainError):
    """A request id or domain key was used before with other content."""

    kind = ErrorKind.CONFLICT
    reason = "IDEMPOTENCY_CONFLICT"


class StoreUnavailableError(DomainError):
    """The database did not take the work; nothing was applied."""

    kind = ErrorKind.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"
    retry = Retry.RETRYABLE


class UnimplementedError(DomainError):
    """The contract reserves this call; this version does not serve it."""

    kind = ErrorKind.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"
