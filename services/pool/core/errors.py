"""Why the pool refuses a call; one class per reason of ``runyard.pool.v1.ErrorReason``."""

from __future__ import annotations

from collections.abc import Iterable

from services.chassis.errors import DomainError, ErrorKind, IdempotencyConflictError, Retry
from services.pool.core.model import DeliveryState


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

    @classmethod
    def of(cls, pool_id: str, fields: Iterable[str]) -> ConfigConflictError:
        differing = ", ".join(fields)
        return cls(
            f"pool {pool_id!r} is open with another configuration: {differing}",
            pool_id=pool_id,
            fields=differing,
        )


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

    @classmethod
    def of(cls, run_id: str, agent_id: str, wanted: str) -> AgentMismatchError:
        return cls(
            f"run {run_id!r} is a member as agent {agent_id!r}, not {wanted!r}",
            run_id=run_id,
            agent_id=agent_id,
            wanted=wanted,
        )


class NotARecipientError(DomainError):
    """Only a run to which a message was delivered can answer it."""

    kind = ErrorKind.PRECONDITION
    reason = "NOT_A_RECIPIENT"

    @classmethod
    def of(cls, message_id: str, run_id: str) -> NotARecipientError:
        return cls(
            f"message {message_id!r} was not delivered to run {run_id!r}",
            message_id=message_id,
            run_id=run_id,
        )


class AlreadyRespondedError(DomainError):
    """The run has answered this message with other content."""

    kind = ErrorKind.PRECONDITION
    reason = "ALREADY_RESPONDED"

    @classmethod
    def of(cls, run_id: str, message_id: str, reply_message_id: str) -> AlreadyRespondedError:
        return cls(
            f"run {run_id!r} has answered message {message_id!r} with {reply_message_id!r}",
            run_id=run_id,
            message_id=message_id,
            reply_message_id=reply_message_id,
        )


class ContractUnsatisfiableError(DomainError):
    """More answers are asked for than there are recipients."""

    kind = ErrorKind.PRECONDITION
    reason = "CONTRACT_UNSATISFIABLE"

    @classmethod
    def of(cls, message_id: str, expected: int, recipients: int) -> ContractUnsatisfiableError:
        return cls(
            f"{expected} answer(s) are expected of {recipients} recipient(s)",
            message_id=message_id,
            expected=str(expected),
            recipients=str(recipients),
        )


class IllegalTransitionError(DomainError):
    """The state of a delivery does not allow the transition."""

    kind = ErrorKind.PRECONDITION
    reason = "ILLEGAL_TRANSITION"

    @classmethod
    def of(
        cls, message_id: str, state: DeliveryState, wanted: DeliveryState
    ) -> IllegalTransitionError:
        return cls(
            f"the delivery of message {message_id!r} has {state.value}",
            message_id=message_id,
            state=state.value,
            wanted=wanted.value,
        )


class StaleLeaseError(DomainError):
    """The delivery was fetched again since this token was handed out."""

    kind = ErrorKind.STALE
    reason = "STALE_LEASE"

    @classmethod
    def of(cls, message_id: str, attempt: int) -> StaleLeaseError:
        return cls(
            f"the lease token is not that of attempt {attempt}",
            message_id=message_id,
            attempt=str(attempt),
        )


class RunNotOwnedError(DomainError):
    """The run is bound to another principal."""

    kind = ErrorKind.DENIED
    reason = "RUN_NOT_OWNED"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, run_id: str) -> RunNotOwnedError:
        return cls(f"run {run_id!r} is bound to another principal", run_id=run_id)


class CursorOutOfRangeError(DomainError):
    """The cursor lies before the oldest record or beyond the newest."""

    kind = ErrorKind.OUT_OF_RANGE
    reason = "CURSOR_OUT_OF_RANGE"

    @classmethod
    def of(cls, sequence: int, oldest: int, head: int) -> CursorOutOfRangeError:
        return cls(
            f"cursor {sequence} is not within {oldest} to {head}",
            cursor=str(sequence),
            oldest=str(oldest),
            head=str(head),
        )


def already_used(what: str, id: str) -> IdempotencyConflictError:
    """The refusal of a key or an id, named by its field, that was used with other content."""
    return IdempotencyConflictError(
        f"{what} {id!r} was used before with other content", what=what, id=id
    )
