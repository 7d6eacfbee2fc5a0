"""What can go wrong in a pool; one class per reason of ``runyard.pool.v1.ErrorReason``."""

from __future__ import annotations

from services.chassis.errors import DomainError, ErrorKind, Retry


class PoolNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "POOL_NOT_FOUND"
    retry = Retry.HOST_CONFIGURATION_NEEDED

    @classmethod
    def of(cls, pool_id: str) -> PoolNotFoundError:
        return cls(f"pool {pool_id!r} was never opened", pool_id=pool_id)


class MessageNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "MESSAGE_NOT_FOUND"

    @classmethod
    def of(cls, pool_id: str, message_id: str) -> MessageNotFoundError:
        return cls(
            f"pool {pool_id!r} has no message {message_id!r}",
            pool_id=pool_id,
            message_id=message_id,
        )


class DeliveryNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "DELIVERY_NOT_FOUND"

    @classmethod
    def of(cls, pool_id: str, message_id: str, run_id: str) -> DeliveryNotFoundError:
        return cls(
            f"message {message_id!r} was not delivered to run {run_id!r}",
            pool_id=pool_id,
            message_id=message_id,
            run_id=run_id,
        )


class WakeNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "WAKE_NOT_FOUND"

    @classmethod
    def of(cls, pool_id: str, condition_id: str) -> WakeNotFoundError:
        return cls(
            f"pool {pool_id!r} has no wake {condition_id!r}",
            pool_id=pool_id,
            condition_id=condition_id,
        )


class ConfigConflictError(DomainError):
    """The pool is open with another configuration."""

    kind = ErrorKind.PRECONDITION
    reason = "CONFIG_CONFLICT"
    retry = Retry.REPAIR_NEEDED


class NotAMemberError(DomainError):
    kind = ErrorKind.PRECONDITION
    reason = "NOT_A_MEMBER"

    @classmethod
    def of(cls, pool_id: str, run_id: str) -> NotAMemberError:
        return cls(
            f"run {run_id!r} is not a member of pool {pool_id!r}", pool_id=pool_id, run_id=run_id
        )


class AgentMismatchError(DomainError):
    """A member cannot become another agent."""

    kind = ErrorKind.PRECONDITION
    reason = "AGENT_MISMATCH"


class NotARecipientError(DomainError):
    """Only a run that got a message can answer it."""

    kind = ErrorKind.PRECONDITION
    reason = "NOT_A_RECIPIENT"


class AlreadyRespondedError(DomainError):
    """The run has answered this message, with other content."""

    kind = ErrorKind.PRECONDITION
    reason = "ALREADY_RESPONDED"


class ContractUnsatisfiableError(DomainError):
    """More answers are asked for than there are recipients."""

    kind = ErrorKind.PRECONDITION
    reason = "CONTRACT_UNSATISFIABLE"


class IllegalTransitionError(DomainError):
    """The state of a delivery does not allow what was asked."""

    kind = ErrorKind.PRECONDITION
    reason = "ILLEGAL_TRANSITION"


class StaleLeaseError(DomainError):
    """The delivery was fetched again since this token was handed out."""

    kind = ErrorKind.STALE
    reason = "STALE_LEASE"


class RunNotOwnedError(DomainError):
    """The run is bound to another principal."""

    kind = ErrorKind.DENIED
    reason = "RUN_NOT_OWNED"
    retry = Retry.USER_ACTION_NEEDED


class CursorOutOfRangeError(DomainError):
    """The cursor lies before the oldest record or beyond the newest."""

    kind = ErrorKind.OUT_OF_RANGE
    reason = "CURSOR_OUT_OF_RANGE"
