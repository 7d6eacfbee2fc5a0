"""Why run control refuses a call; one class per reason of ``runyard.runcontrol.v1.ErrorReason``."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.errors import DomainError, ErrorKind, Retry
from services.content.verdicts import APPLICABLE, misfit
from services.runcontrol.core.exchange import TicketKind, VerdictKind
from services.runcontrol.core.model import InputState, Thread


class ThreadBusyError(DomainError):
    """The request requires an idle thread, and the thread has work."""

    kind = ErrorKind.PRECONDITION
    reason = "THREAD_BUSY"

    @classmethod
    def of(cls, thread_id: str, run_id: str, dispatch_id: str) -> ThreadBusyError:
        """Name the run that keeps the thread busy, and its dispatch, "" if it has none."""
        return cls(
            f"thread {thread_id} has work",
            thread_id=thread_id,
            run_id=run_id,
            dispatch_id=dispatch_id,
        )


class ThreadNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "THREAD_NOT_FOUND"

    @classmethod
    def of(cls, thread_id: str) -> ThreadNotFoundError:
        return cls(f"no thread {thread_id}", thread_id=thread_id)


class RunNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "RUN_NOT_FOUND"

    @classmethod
    def of(cls, run_id: str) -> RunNotFoundError:
        return cls(f"no run {run_id}", run_id=run_id)


def _deleted(what: str, thread: Thread) -> str:
    by = thread.deleted_by or "the retention of its tenant"
    return f"{what} was deleted at {_time(thread)} by {by}"


def _time(thread: Thread) -> str:
    return thread.deleted_at.isoformat() if thread.deleted_at else ""


class ThreadDeletedError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "THREAD_DELETED"

    @classmethod
    def of(cls, thread: Thread) -> ThreadDeletedError:
        return cls(
            _deleted(f"thread {thread.thread_id}", thread),
            thread_id=thread.thread_id,
            delete_time=_time(thread),
            deleted_by=thread.deleted_by,
        )


class RunDeletedError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "RUN_DELETED"

    @classmethod
    def of(cls, run_id: str, thread: Thread) -> RunDeletedError:
        return cls(
            _deleted(f"run {run_id}", thread),
            run_id=run_id,
            thread_id=thread.thread_id,
            delete_time=_time(thread),
            deleted_by=thread.deleted_by,
        )


class ThreadClosedError(DomainError):
    """The thread was deleted, and its id takes no more work."""

    kind = ErrorKind.PRECONDITION
    reason = "THREAD_CLOSED"

    @classmethod
    def of(cls, thread: Thread) -> ThreadClosedError:
        text = _deleted(f"thread {thread.thread_id}", thread)
        return cls(
            f"{text}, and takes no more work; use another id",
            thread_id=thread.thread_id,
            delete_time=_time(thread),
            deleted_by=thread.deleted_by,
        )


class DispatchNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "DISPATCH_NOT_FOUND"

    @classmethod
    def of(cls, dispatch_id: str) -> DispatchNotFoundError:
        return cls(f"no dispatch {dispatch_id}", dispatch_id=dispatch_id)


class TicketNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "TICKET_NOT_FOUND"

    @classmethod
    def of(cls, ticket_id: str) -> TicketNotFoundError:
        return cls(f"no ticket {ticket_id}", ticket_id=ticket_id)

    @classmethod
    def of_call(cls, call_id: str) -> TicketNotFoundError:
        return cls(f"no ticket waits for call {call_id}", tool_call_id=call_id)


class TicketAmbiguousError(DomainError):
    """The id of a call matches more than one open or decided ticket."""

    kind = ErrorKind.PRECONDITION
    reason = "TICKET_AMBIGUOUS"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, call_id: str, count: int) -> TicketAmbiguousError:
        return cls(
            f"{count} tickets wait for calls named {call_id}",
            tool_call_id=call_id,
            count=str(count),
        )


class VerdictNotApplicableError(DomainError):
    """A ticket of this kind does not accept the verdict."""

    kind = ErrorKind.PRECONDITION
    reason = "VERDICT_NOT_APPLICABLE"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, verdict: VerdictKind, kind: TicketKind) -> VerdictNotApplicableError:
        return cls(
            misfit(verdict.value, kind.value),
            verdict=verdict.value,
            kind=kind.value,
            applicable=", ".join(APPLICABLE[kind.value]),
        )

    @classmethod
    def of_builtin(
        cls, verdict: VerdictKind, kind: TicketKind, tool_id: str
    ) -> VerdictNotApplicableError:
        """Tools of other kinds accept the verdict."""
        others = ", ".join(each for each in APPLICABLE[kind.value] if each != verdict.value)
        return cls(
            f"{verdict.value} does not decide a ticket of {tool_id}, a built-in tool, which takes "
            f"nothing but its arguments; these do: {others}",
            verdict=verdict.value,
            kind=kind.value,
            applicable=others,
        )


class OwnRunError(DomainError):
    """The caller, an approver, has submitted the run that the ticket is of."""

    kind = ErrorKind.DENIED
    reason = "OWN_RUN"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, run_id: str, subject: str) -> OwnRunError:
        return cls(
            f"{subject} submitted run {run_id}, and an approver does not decide for runs of its "
            "own: ask another one, or an operator",
            run_id=run_id,
            submitted_by=subject,
        )


class DispatchNotDeadError(DomainError):
    """The dispatch is no dead letter, or was redriven before."""

    kind = ErrorKind.PRECONDITION
    reason = "DISPATCH_NOT_DEAD"
    retry = Retry.NOT_RETRYABLE

    @classmethod
    def of(cls, dispatch_id: str, state: str, redriven_run_id: str) -> DispatchNotDeadError:
        why = f"was redriven as run {redriven_run_id}" if redriven_run_id else f"is {state}"
        return cls(
            f"dispatch {dispatch_id} {why}",
            dispatch_id=dispatch_id,
            state=state,
            redriven_run_id=redriven_run_id,
        )


class ToolNotAllowedError(DomainError):
    """The caller's token does not let it serve these tools."""

    kind = ErrorKind.DENIED
    reason = "PERMISSION_DENIED"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, name: str, tool_ids: Sequence[str]) -> ToolNotAllowedError:
        tools = ", ".join(tool_ids)
        return cls(
            f"{name} may not serve {tools}: its token names the tools that it may serve; "
            "add these to tools= of its line in the token file",
            tool_ids=tools,
        )


class CallNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "CALL_NOT_FOUND"

    @classmethod
    def of(cls, call_id: str) -> CallNotFoundError:
        return cls(f"no call {call_id}", tool_call_id=call_id)


class OutOfSequenceError(DomainError):
    """A message of a worker's session came where it may not."""

    kind = ErrorKind.PRECONDITION
    reason = "OUT_OF_SEQUENCE"

    @classmethod
    def of(cls) -> OutOfSequenceError:
        return cls("Hello must be the first message of a session, and only the first")


class ProtocolUnsupportedError(DomainError):
    kind = ErrorKind.PRECONDITION
    reason = "PROTOCOL_UNSUPPORTED"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(cls, oldest: int, newest: int, supported: int) -> ProtocolUnsupportedError:
        return cls(
            f"the worker speaks versions {oldest} to {newest} of the protocol, "
            f"this server version {supported}",
            supported=str(supported),
        )


class SessionFencedError(DomainError):
    """A newer session of the same start of the worker took over."""

    kind = ErrorKind.STALE
    reason = "SESSION_FENCED"
    retry = Retry.NOT_RETRYABLE

    @classmethod
    def of(cls, instance_id: str) -> SessionFencedError:
        return cls(f"a newer session of worker instance {instance_id} took over")


class AgentNotFoundError(DomainError):
    """The registry snapshot in use has no such agent."""

    kind = ErrorKind.NOT_FOUND
    reason = "AGENT_NOT_FOUND"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(cls, agent_id: str, version: int) -> AgentNotFoundError:
        """Args:
        version: That of the registry snapshot in use.
        """
        return cls(
            f"no agent {agent_id} in registry version {version}",
            agent_id=agent_id,
            version=str(version),
        )


class ToolNotSupportedError(DomainError):
    """The agent has a tool that no worker has ever served."""

    kind = ErrorKind.PRECONDITION
    reason = "TOOL_NOT_SUPPORTED"
    retry = Retry.REPAIR_NEEDED

    @classmethod
    def of(cls, tool_id: str, label: str, agent_id: str) -> ToolNotSupportedError:
        with_label = f" with label {label!r}" if label else ""
        return cls(
            f"agent {agent_id} has tool {tool_id}, which no worker{with_label} has ever served: "
            "start a worker that announces it, then submit again",
            tool_id=tool_id,
            agent_id=agent_id,
            label=label,
        )


class InputNotFoundError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "INPUT_NOT_FOUND"

    @classmethod
    def of(cls, input_id: str) -> InputNotFoundError:
        return cls(f"no input {input_id}", input_id=input_id)


class NoOpenRunError(DomainError):
    """The mode continues a waiting run, and none waits."""

    kind = ErrorKind.PRECONDITION
    reason = "NO_OPEN_RUN"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, thread_id: str) -> NoOpenRunError:
        return cls(
            f"thread {thread_id} has no waiting run that the input could resume: "
            "send it with INJECT_MODE_QUEUE, which starts a run when none waits",
            thread_id=thread_id,
        )


class AlreadyConsumedError(DomainError):
    """A run has read the input."""

    kind = ErrorKind.PRECONDITION
    reason = "ALREADY_CONSUMED"

    @classmethod
    def of(cls, input_id: str, run_id: str, step: int) -> AlreadyConsumedError:
        """Name the run and the step that read it."""
        return cls(
            f"step {step} of run {run_id} has read input {input_id}",
            input_id=input_id,
            run_id=run_id,
            step=str(step),
        )


class InputNotPendingError(DomainError):
    """The input was taken back, or dropped with its run."""

    kind = ErrorKind.PRECONDITION
    reason = "INPUT_NOT_PENDING"

    @classmethod
    def of(cls, input_id: str, state: InputState) -> InputNotPendingError:
        return cls(f"input {input_id} is {state.value}", input_id=input_id, state=state.value)


class StaleRevisionError(DomainError):
    """The input was edited since the caller read it."""

    kind = ErrorKind.STALE
    reason = "STALE_REVISION"
    retry = Retry.USER_ACTION_NEEDED

    @classmethod
    def of(cls, input_id: str, revision: int) -> StaleRevisionError:
        """Args:
        revision: The current one.
        """
        return cls(
            f"input {input_id} is at revision {revision}",
            input_id=input_id,
            revision=str(revision),
        )


class TooManyInputsError(DomainError):
    """The run has as many inputs to read as it may have."""

    kind = ErrorKind.EXHAUSTED
    reason = "LIMIT_EXCEEDED"

    @classmethod
    def of(cls, run_id: str, limit: int) -> TooManyInputsError:
        return cls(
            f"run {run_id} has {limit} inputs to read, which is the limit",
            run_id=run_id,
            limit="pending_inputs",
            value=str(limit),
        )


class CursorOutOfRangeError(DomainError):
    """The cursor is beyond the newest committed event."""

    kind = ErrorKind.OUT_OF_RANGE
    reason = "CURSOR_OUT_OF_RANGE"

    @classmethod
    def of(cls, after: int, head: int) -> CursorOutOfRangeError:
        return cls(
            f"the cursor names event {after}, the newest is {head}",
            oldest="1",
            head=str(head),
            after=str(after),
        )


class FencedError(Exception):
    """The writer does not own the run any more. Its write changed nothing, and it must stop.

    Only loops of this service write as owners, so no caller receives this error.
    """
