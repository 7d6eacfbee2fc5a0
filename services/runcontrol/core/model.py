"""Threads, runs, dispatches, leases, inputs, messages and checkpoints, as frozen values.

Every entity belongs to a tenant; ids are unique within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum

from services.chassis.caller import in_tenant
from services.content.model import Message, Usage


class RunState(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    DONE = "done"


class Phase(Enum):
    """The part of the current step from which a claimed run continues.

    INFER: the model's answer is not committed. CALLS: it is, and its tool calls are executed.
    """

    INFER = "infer"
    CALLS = "calls"


class TerminationReason(Enum):
    NATURAL_END = "natural_end"
    MAX_ROUNDS = "max_rounds"
    TOKEN_BUDGET = "token_budget"  # noqa: S105  # a budget of tokens, not a secret
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    DEADLINE = "deadline"
    ERROR = "error"
    DEAD_LETTER = "dead_letter"
    NO_ANSWER = "no_answer"


class WaitingKind(Enum):
    APPROVAL = "approval"
    USER_INPUT = "user_input"
    TOOL = "tool"
    WAKE = "wake"
    RECONCILE = "reconcile"
    TOOL_INPUT = "tool_input"
    BACKOFF = "backoff"


class DispatchState(Enum):
    QUEUED = "queued"
    CLAIMED = "claimed"
    ACKED = "acked"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    DEAD = "dead"


class DispatchKind(Enum):
    START = "start"
    CONTINUE = "continue"


class InputState(Enum):
    PENDING = "pending"
    CONSUMED = "consumed"
    RETRACTED = "retracted"
    DROPPED = "dropped"


class InputMode(Enum):
    """What input does to work under way when it is accepted."""

    QUEUE = "queue"
    INTERRUPT_THEN_QUEUE = "interrupt_then_queue"
    RESUME_OPEN_RUN = "resume_open_run"
    LIVE_THEN_QUEUE = "live_then_queue"


class InputDisposition(Enum):
    """What became of input when it was accepted, or when the run that was to read it ended."""

    QUEUED = "queued"
    RESUMED = "resumed"
    LIVE = "live"
    BLOCKED_BY_TICKETS = "blocked_by_tickets"
    BLOCKED_BY_CALLS = "blocked_by_calls"


class MessageOrigin(Enum):
    INPUT = "input"
    MODEL = "model"
    TOOL = "tool"
    POOL = "pool"


class Priority(IntEnum):
    """The smaller value is claimed first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation. A transaction that writes to a run locks the run's thread.

    Attributes:
        epoch: Rises with every interrupt; queued dispatches of an older epoch are never claimed.
        fence: Rises with every claim; an owner's write under an older one is refused.
        event_seq: Sequence of the newest event of the thread; 0 before the first.
        input_seq: Sequence of the newest dispatch or input, which share one order of arrival.
        message_seq: Sequence of the newest message; 0 before the first.
        active_run_id: The run that executes under a lease; "" when none does.
        open_run_id: The started run that is not done; "" when there is none.
        ready_at: When the first dispatch can be claimed; None when none can.
        deleted_at: When it was deleted: all that is left of it is this row, which stays.
        deleted_by: Who deleted it; "" for the retention of its tenant.
        purged: Whether the rows of its runs are gone too.
    """

    tenant: str
    thread_id: str
    created_at: datetime
    updated_at: datetime
    epoch: int = 1
    fence: int = 0
    event_seq: int = 0
    input_seq: int = 0
    message_seq: int = 0
    agent_id: str = ""
    active_run_id: str = ""
    open_run_id: str = ""
    latest_run_id: str = ""
    ready_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_by: str = ""
    purged: bool = False

    @property
    def busy(self) -> bool:
        return bool(self.active_run_id or self.open_run_id) or self.ready_at is not None

    def free_at(self, now: datetime) -> bool:
        """Whether a run that is queued now has nothing before it."""
        due = self.ready_at is not None and self.ready_at <= now
        return not (self.active_run_id or self.open_run_id or due)


@dataclass(frozen=True, slots=True)
class WaitingReason:
    """One reason why a run waits; the kind decides which of the ids are set."""

    kind: WaitingKind
    call_id: str = ""
    ticket_id: str = ""
    condition_id: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Termination:
    """How a run ended; ``error_reason`` is a stable code, set for ERROR and DEAD_LETTER only."""

    reason: TerminationReason
    message: str = ""
    error_reason: str = ""


@dataclass(frozen=True, slots=True)
class PoolMembership:
    pool_id: str
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One activation of an agent.

    Attributes:
        step: Number of the current step; 0 before the first.
        step_seq: The run's event sequence at the start of the current step.
        rounds: Number of committed model calls.
        dispatch_id: The queued or claimed dispatch; "" while parked and when done.
        principal: The subject that submitted the run; other services are called on its behalf.
        deadline_at: When the run ends if it is not done, unless the deadline is paused.
        paused_at: Since when the run is parked; the next claim adds the pause to the deadline.
        max_total_tokens: 0 = no limit.
        parent_run_id: The run that started it with a tool; "" when a caller submitted it.
        parent_call_id: The call of that run that waits for its end; "" when none does.
        depth: How many runs are above it.
        labels: What the submitter said of it, as sorted pairs.
        not_before: When it may start; None = at once.
    """

    tenant: str
    run_id: str
    thread_id: str
    agent_id: str
    spec_digest: bytes
    registry_version: int
    deadline_at: datetime
    created_at: datetime
    max_rounds: int
    max_total_tokens: int = 0
    state: RunState = RunState.QUEUED
    phase: Phase = Phase.CALLS
    step: int = 0
    step_seq: int = 0
    rounds: int = 0
    usage: Usage = field(default_factory=Usage)
    output_text: str = ""
    termination: Termination | None = None
    waiting: tuple[WaitingReason, ...] = ()
    dispatch_id: str = ""
    pool: PoolMembership | None = None
    priority: Priority = Priority.NORMAL
    principal: str = ""
    event_seq: int = 0
    cancel_reason: str = ""
    paused_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    traceparent: str = ""
    parent_run_id: str = ""
    parent_call_id: str = ""
    depth: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a dispatch continues its run.

    Attributes:
        kind: ``decision``, ``tool_result``, ``wake``, ``timer``, ``input``, ``backoff`` or
            ``recovery``.
        traceparent: Trace context of the cause; "" when unknown.
        suspended_traceparent: Trace context in which the wait began; "" when unknown.
    """

    kind: str
    traceparent: str = ""
    suspended_traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The entry of a run in its thread's queue, for one start or continuation.

    Attributes:
        attempt: Number of claims, hand-offs not counted.
        crashes: Attempts lost with their server since the last committed step.
        errors: Attempts failed since the last committed step.
        throttles: Attempts refused because of load since the last committed step.
        handoffs: Attempts that a stopping server gave back.
        traceparent: Trace context of the first cause.
        redrive_of: The dead letter that its run repeats; "" for others.
        redriven_run_id: The run that repeats this dead letter; "" until it is redriven.
    """

    tenant: str
    dispatch_id: str
    thread_id: str
    run_id: str
    kind: DispatchKind
    epoch: int
    priority: Priority
    seq: int
    available_at: datetime
    created_at: datetime
    state: DispatchState = DispatchState.QUEUED
    attempt: int = 0
    crashes: int = 0
    errors: int = 0
    throttles: int = 0
    handoffs: int = 0
    causes: tuple[Cause, ...] = ()
    last_error: str = ""
    traceparent: str = ""
    redrive_of: str = ""
    redriven_run_id: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to execute a thread's claimed dispatch until ``until``."""

    tenant: str
    thread_id: str
    run_id: str
    dispatch_id: str
    fence: int
    instance_id: str
    until: datetime
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True)
class NextRun:
    """The run that is queued for input if the run that was to read it ends before.

    Its ids are made when the input is accepted, and so is its place in the queue of the thread.
    """

    run_id: str
    dispatch_id: str
    seq: int
    agent_id: str
    spec_digest: bytes
    registry_version: int
    max_rounds: int
    max_total_tokens: int
    priority: Priority
    principal: str
    traceparent: str


@dataclass(frozen=True, slots=True)
class Input:
    """Messages which become part of the conversation when their run reads them.

    Attributes:
        run_id: The run that reads it, or would have.
        agent_id: The agent of that run; with ``next_run``, that of the run which follows.
        blocked_by: Ids of the tickets or calls that blocked it when it was accepted.
        next_run: None for input that is dropped when its run ends without having read it.
        consumed_step: The step that read it; 0 before.
    """

    tenant: str
    input_id: str
    thread_id: str
    run_id: str
    seq: int
    messages: Sequence[Message]
    created_at: datetime
    state: InputState = InputState.PENDING
    revision: int = 1
    agent_id: str = ""
    mode: InputMode = InputMode.QUEUE
    disposition: InputDisposition = InputDisposition.QUEUED
    blocked_by: tuple[str, ...] = ()
    next_run: NextRun | None = None
    consumed_step: int = 0


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message with its sequence in the thread."""

    seq: int
    run_id: str
    origin: MessageOrigin
    message: Message
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The record of a committed model call: the sequence of its message, and its usage."""

    tenant: str
    run_id: str
    step: int
    message_seq: int
    finish_reason: str
    usage: Usage
    target_id: str
    model_id: str
    committed_at: datetime
    traceparent: str


def run_channel(tenant: str, run_id: str) -> str:
    """The notifier channel of a run's events."""
    return f"run/{in_tenant(tenant, run_id)}"


def tickets_channel(tenant: str) -> str:
    """The notifier channel of the tickets of a tenant."""
    return f"tickets/{tenant}"


def thread_channel(tenant: str, thread_id: str) -> str:
    """The notifier channel of the events of a thread's runs."""
    return f"thread/{in_tenant(tenant, thread_id)}"
