"""Why run control refuses; each class names one value of the contract's ``ErrorReason``."""

from __future__ import annotations

from services.chassis.errors import DomainError, ErrorKind, Retry


class ThreadBusyError(DomainError):
    """The caller wanted an idle thread."""

    kind = ErrorKind.PRECONDITION
    reason = "THREAD_BUSY"


class ThreadNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "THREAD_NOT_FOUND"


class RunNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "RUN_NOT_FOUND"


class DispatchNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "DISPATCH_NOT_FOUND"


class TicketNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "TICKET_NOT_FOUND"


class TicketAmbiguousError(DomainError):
    """More than one open ticket fits the name of a call."""

    kind = ErrorKind.PRECONDITION
    reason = "TICKET_AMBIGUOUS"
    retry = Retry.USER_ACTION_NEEDED


class VerdictNotApplicableError(DomainError):
    """The verdict does not answer what the ticket asks."""

    kind = ErrorKind.PRECONDITION
    reason = "VERDICT_NOT_APPLICABLE"
    retry = Retry.USER_ACTION_NEEDED


class AgentNotFoundError(DomainError):
    """The registry snapshot in use has no such agent."""

    kind = ErrorKind.NOT_FOUND
    reason = "AGENT_NOT_FOUND"
    retry = Retry.REPAIR_NEEDED


class ToolNotSupportedError(DomainError):
    """The agent uses a tool this version cannot run."""

    kind = ErrorKind.PRECONDITION
    reason = "TOOL_NOT_SUPPORTED"
    retry = Retry.REPAIR_NEEDED


class CursorOutOfRangeError(DomainError):
    """The cursor is beyond the head of what was committed."""

    kind = ErrorKind.OUT_OF_RANGE
    reason = "CURSOR_OUT_OF_RANGE"


class FencedError(Exception):
    """The writer no longer owns the run; its write changed nothing and it must stop at once.

    Never reaches a caller: owners are loops of this service.
    """
