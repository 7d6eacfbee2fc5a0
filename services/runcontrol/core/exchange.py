"""Tool calls, tickets and their decisions, wakes, deliveries and pool memberships, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from services.content.model import EffectClass


class CallState(Enum):
    PLANNED = "planned"
    GATED = "gated"
    READY = "ready"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


SETTLED = frozenset({CallState.SUCCEEDED, CallState.FAILED, CallState.CANCELLED, CallState.UNKNOWN})


class TicketState(Enum):
    OPEN = "open"
    DECIDED = "decided"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    VOID = "void"


LIVE_TICKETS = frozenset({TicketState.OPEN, TicketState.DECIDED})


class TicketKind(Enum):
    APPROVAL = "approval"
    RECONCILE = "reconcile"
    QUESTION = "question"


class VerdictKind(Enum):
    APPROVE = "approve"
    DENY = "deny"
    ANSWER = "answer"
    CANCEL_CALL = "cancel_call"
    CANCEL_RUN = "cancel_run"


class WakeStatus(Enum):
    TRIGGERED = "triggered"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as run control executes it.

    Attributes:
        call_id: ``run.step.index``, never used again: the idempotency key of the effect.
        model_call_id: The id that the model gave it; "" for the join that a submission requests.
        fence: The fence of the claim under which it was started; 0 before.
        generation: Rises when a wait is registered again; part of ``condition_id``.
        condition_id: Id of the wait that it registered with a pool; "" unless it waits there.
        pool_id: The pool that it acts in; "" for other tools.
        traceparent: Trace context in which it was started.
        child_run_id: The run that it starts; "" for other tools.
    """

    tenant: str
    call_id: str
    run_id: str
    step: int
    index: int
    model_call_id: str
    tool_id: str
    arguments_json: str
    digest: bytes
    effect_class: EffectClass
    state: CallState = CallState.PLANNED
    attempt: int = 0
    fence: int = 0
    generation: int = 0
    condition_id: str = ""
    pool_id: str = ""
    result: str = ""
    traceparent: str = ""
    child_run_id: str = ""

    @property
    def settled(self) -> bool:
        return self.state in SETTLED


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a decision; ``text`` is the reason of a denial or the content of an answer."""

    kind: VerdictKind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A submitted verdict.

    Attributes:
        digest: Over verdict and comment: equal for a repeat, unequal for a conflict.
        won: Whether it decided the ticket.
    """

    decision_id: str
    verdict: Verdict
    digest: bytes
    decided_by: str
    comment: str
    decided_at: datetime
    won: bool
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A question to a person that a run waits for; an approval is bound to ``digest``."""

    tenant: str
    ticket_id: str
    kind: TicketKind
    run_id: str
    thread_id: str
    agent_id: str
    call_id: str
    model_call_id: str
    tool_id: str
    arguments_json: str
    digest: bytes
    created_at: datetime
    question: str = ""
    state: TicketState = TicketState.OPEN
    winner: Decision | None = None
    void_reason: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Wake:
    """The end of a wait on a pool.

    Attributes:
        message_ids: Messages that matched, to be fetched and shown.
        after: The pool's cursor after the newest match; "" when nothing matched.
        taken: Whether the waiting call has taken it.
    """

    tenant: str
    pool_id: str
    condition_id: str
    run_id: str
    status: WakeStatus
    message_ids: tuple[str, ...]
    after: str
    summary: str
    cause_traceparent: str
    suspension_traceparent: str
    received_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A pool message that a run has fetched.

    Attributes:
        receipt: The token that is needed to acknowledge it; "" when none is.
        body: The JSON object that the model reads.
        shown: Whether it is part of the conversation; a later delivery is acknowledged only.
        position: The order in which the messages that are not shown yet were fetched.
    """

    tenant: str
    run_id: str
    pool_id: str
    message_id: str
    receipt: str
    body: str
    shown: bool = False
    position: int = 0


@dataclass(frozen=True, slots=True)
class Membership:
    """A pool that the run has joined; ``cursor`` is how far the run has read its log."""

    tenant: str
    run_id: str
    pool_id: str
    cursor: str
