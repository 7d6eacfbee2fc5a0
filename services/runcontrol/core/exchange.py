"""What a run exchanges with tools, people and pools: calls, tickets and decisions, wakes."""

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
        call_id: ``run.step.index``: unique for ever, the idempotency key of the effect.
        model_call_id: The model's name for it; "" for the join asked for at submit.
        condition_id: The wait it registered with a pool; "" unless it waits for one.
        generation: Rises when a wait is registered again; part of ``condition_id``.
        pool_id: The pool it acts in; "" for other tools.
        traceparent: Context in which it was started.
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

    @property
    def settled(self) -> bool:
        return self.state in SETTLED


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided; ``text`` is the reason of a denial or the content of an answer."""

    kind: VerdictKind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict as somebody handed it in.

    Attributes:
        digest: Over verdict and comment; tells a repeat from a conflict.
        won: It decided the ticket.
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
    """A question to a person that a run waits on; an approval holds for ``digest`` only."""

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
    """The end of a wait on a pool, kept until its call has taken it.

    Attributes:
        after: The pool's cursor behind everything that matched; "" when nothing did.
        message_ids: Deliveries to fetch and show.
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
    """A pool message a run has fetched.

    Attributes:
        receipt: What acknowledging it takes, besides its id; "" when nothing does.
        body: The JSON object the model reads.
        shown: It is part of the thread; another delivery of it is acknowledged and forgotten.
        position: Among those that are not shown yet: the order in which they were fetched.
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
    """A pool the run has joined, and how far it has read its log."""

    tenant: str
    run_id: str
    pool_id: str
    cursor: str
