"""Tool calls, tickets and their decisions, wakes, deliveries and pool memberships, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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


# A call that is UNKNOWN has its result once it is known, or nobody waits for that any more.
SETTLED = frozenset({CallState.SUCCEEDED, CallState.FAILED, CallState.CANCELLED, CallState.UNKNOWN})


# Of these a second execution is a second effect: they start once their acceptance is durable.
REPEATS_ARE_EFFECTS = frozenset({EffectClass.RECONCILABLE, EffectClass.AT_MOST_ONCE})


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
    TOOL_INPUT = "tool_input"


class VerdictKind(Enum):
    APPROVE = "approve"
    APPROVE_EDITED = "approve_edited"
    DENY = "deny"
    ANSWER = "answer"
    PASS_TO_TOOL = "pass_to_tool"  # noqa: S105  # the name of a verdict, not a secret
    CANCEL_CALL = "cancel_call"
    CANCEL_RUN = "cancel_run"
    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    ABANDON = "abandon"


class WakeStatus(Enum):
    TRIGGERED = "triggered"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LateResult:
    """What a worker reported of an attempt, and what is not the result of the call.

    Attributes:
        reported_by: Name of the worker's principal.
        worker_id: "" for a result that was reported outside a session.
    """

    attempt: int
    fence: int
    reported_by: str
    worker_id: str
    state: CallState
    text: str
    received_at: datetime


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
        label: What its worker must have announced; "" for any worker.
        timeout_ms: Of an attempt by a worker; 0 for a call that no worker executes.
        due_at: READY: when it may be dispatched; DISPATCHED: until when it must be accepted;
            ACCEPTED: the end of the worker's lease. None for a call that no worker executes.
        timeout_at: READY: until when a worker is waited for; later: the end of the attempt.
        tries: Attempts that a worker has accepted since the effect was last known.
        worker_id: The worker of the newest attempt.
        worker_instance: The start of that worker.
        progress_seq: Of the newest progress of the attempt.
        probe_until: Until when a worker is asked whether a lost attempt took effect.
        arguments_by: The approver who wrote the arguments; "" when the model did.
        asked: The attempt that asked a person last; 0 when none did.
        sealed_state: What that attempt left for the next one.
        answer_json: What a person hands to the tool, as JSON; "" for nothing.
        planned_at: When the model asked for it.
        dispatched_at: When its newest attempt was sent to what executes it.
        accepted_at: When a worker accepted that attempt.
        settled_at: When it got its result.
        schema_digest: Of the schema of its tool; "" = any worker of the tool may have it.
        withheld_from: The worker that serves the tool with another schema; "" unless READY.
        late_results: The newest, in the order of their arrival.
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
    label: str = ""
    timeout_ms: int = 0
    due_at: datetime | None = None
    timeout_at: datetime | None = None
    tries: int = 0
    worker_id: str = ""
    worker_instance: str = ""
    progress_seq: int = 0
    probe_until: datetime | None = None
    arguments_by: str = ""
    asked: int = 0
    sealed_state: bytes | None = None
    answer_json: str = ""
    planned_at: datetime | None = None
    dispatched_at: datetime | None = None
    accepted_at: datetime | None = None
    settled_at: datetime | None = None
    schema_digest: str = ""
    withheld_from: str = ""
    late_results: tuple[LateResult, ...] = ()

    @property
    def settled(self) -> bool:
        return self.state in SETTLED and not self.reconciling

    @property
    def timeout(self) -> timedelta:
        """Of an attempt by a worker."""
        return timedelta(milliseconds=self.timeout_ms)

    @property
    def reconciling(self) -> bool:
        """Whether it waits for somebody to say what has become of it."""
        return self.state is CallState.UNKNOWN and not self.result


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a decision.

    Attributes:
        text: The reason of a denial, the content of an answer, or the arguments of an approver.
    """

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
    """A question to a person that a run waits for; an approval is bound to ``digest``.

    Attributes:
        arguments_json: Those that are used if it is approved: an approver may have written them.
        expires_at: When it is denied unless somebody has decided; None = never.
    """

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
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WakeEvent:
    """An event of a pool that a wait was for; ids that do not apply to its kind are empty."""

    kind: str
    message_id: str = ""
    from_run_id: str = ""
    from_agent_id: str = ""


@dataclass(frozen=True, slots=True)
class Wake:
    """The end of a wait on a pool.

    Attributes:
        message_ids: Messages that matched, to be fetched and shown.
        after: The pool's cursor after the newest match; "" when nothing matched.
        taken: Whether the waiting call has taken it.
        events: What matched, oldest first, messages included.
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
    events: tuple[WakeEvent, ...] = ()


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
