"""Tickets: opening one for a call, deciding it once, and applying the decision once.

OPEN -- decide --> DECIDED -- the effect starts --> CONSUMED
OPEN, DECIDED -- the run ends, or new input comes instead --> VOID
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from services.chassis.errors import IdempotencyConflictError
from services.chassis.ids import IdSource
from services.runcontrol.core.errors import VerdictNotApplicableError
from services.runcontrol.core.events import (
    RunWoken,
    TicketDecided,
    TicketOpened,
    TicketVoided,
    ToolCallGated,
)
from services.runcontrol.core.exchange import (
    Call,
    CallState,
    Decision,
    Ticket,
    TicketKind,
    TicketState,
    Verdict,
    VerdictKind,
)
from services.runcontrol.core.finishing import finish, settle_call
from services.runcontrol.core.gating import argument_digest
from services.runcontrol.core.model import Cause, RunState, Termination, TerminationReason
from services.runcontrol.core.parking import resolve
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.work import Work

APPLICABLE: Mapping[TicketKind, frozenset[VerdictKind]] = {
    TicketKind.APPROVAL: frozenset(
        {
            VerdictKind.APPROVE,
            VerdictKind.PASS_TO_TOOL,
            VerdictKind.ANSWER,
            VerdictKind.DENY,
            VerdictKind.CANCEL_CALL,
            VerdictKind.CANCEL_RUN,
        }
    ),
    TicketKind.QUESTION: frozenset(
        {
            VerdictKind.ANSWER,
            VerdictKind.DENY,
            VerdictKind.CANCEL_CALL,
            VerdictKind.CANCEL_RUN,
        }
    ),
    TicketKind.RECONCILE: frozenset(
        {
            VerdictKind.HAPPENED,
            VerdictKind.DID_NOT_HAPPEN,
            VerdictKind.ABANDON,
            VerdictKind.CANCEL_RUN,
        }
    ),
    TicketKind.TOOL_INPUT: frozenset(
        {
            VerdictKind.ANSWER,
            VerdictKind.PASS_TO_TOOL,
            VerdictKind.CANCEL_CALL,
            VerdictKind.CANCEL_RUN,
        }
    ),
}
# The state of a call while its ticket is open.
_STOPPED = {
    TicketKind.APPROVAL: CallState.GATED,
    TicketKind.QUESTION: CallState.SUSPENDED,
    TicketKind.RECONCILE: CallState.UNKNOWN,
    TicketKind.TOOL_INPUT: CallState.SUSPENDED,
}
_APPROVALS = frozenset({VerdictKind.APPROVE, VerdictKind.PASS_TO_TOOL})
_ANSWERS = frozenset({VerdictKind.ANSWER, VerdictKind.PASS_TO_TOOL})


class DecisionOutcome(Enum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome of a decision; ``why`` is set for STALE only."""

    outcome: DecisionOutcome
    ticket: Ticket
    why: str = ""


def decision_digest(verdict: Verdict, comment: str) -> bytes:
    text = "\x00".join((verdict.kind.value, verdict.text, comment))
    return hashlib.sha256(text.encode()).digest()


def ticket_id(call: Call, kind: TicketKind) -> str:
    """Derived from the call: a call that is gated again gets the same ticket, not a second one."""
    name = f"{call.call_id}\x00{call.generation}\x00{kind.value}"
    return f"t-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def open_ticket(work: Work, call: Call, kind: TicketKind, question: str, trace: str) -> Work:
    """Open a ticket for ``call`` and stop the call until it is decided."""
    ticket = Ticket(
        tenant=call.tenant,
        ticket_id=ticket_id(call, kind),
        kind=kind,
        run_id=call.run_id,
        thread_id=work.run.thread_id,
        agent_id=work.run.agent_id,
        call_id=call.call_id,
        model_call_id=call.model_call_id,
        tool_id=call.tool_id,
        arguments_json=call.arguments_json,
        digest=call.digest,
        created_at=work.now,
        question=question,
        traceparent=trace,
    )
    stopped = replace(call, state=_STOPPED[kind], traceparent=trace)
    work = work.with_call(stopped).with_ticket(ticket)
    if kind is TicketKind.APPROVAL:
        work = work.emit(ToolCallGated(call.call_id, ticket.ticket_id))
    return work.emit(TicketOpened(ticket))


def judge(
    ticket: Ticket, decision: Decision, earlier: Decision | None, expected_digest: bytes
) -> Decided:
    """The outcome of ``decision`` and the ticket as it stands afterwards.

    Args:
        earlier: The decision that is stored for this ticket under the same decision id.
        expected_digest: Digest of the arguments that the decider saw; empty = not checked.

    Raises:
        IdempotencyConflictError: The decision id was used with other content.
        VerdictNotApplicableError: A ticket of this kind does not accept the verdict.
    """
    if earlier is not None and earlier.digest != decision.digest:
        raise IdempotencyConflictError(
            "the decision id was used before with other content",
            ticket_id=ticket.ticket_id,
            decision_id=decision.decision_id,
        )
    if earlier is not None and earlier.won:
        return Decided(DecisionOutcome.DUPLICATE, ticket)
    if ticket.winner is not None:
        return Decided(DecisionOutcome.CONFLICT, ticket)
    if ticket.state is not TicketState.OPEN:
        return Decided(DecisionOutcome.STALE, ticket, ticket.void_reason or ticket.state.value)
    if expected_digest and expected_digest != ticket.digest:
        return Decided(DecisionOutcome.STALE, ticket, "digest_differs")
    if decision.verdict.kind not in APPLICABLE[ticket.kind]:
        raise VerdictNotApplicableError.of(decision.verdict.kind, ticket.kind)
    won = replace(ticket, state=TicketState.DECIDED, winner=replace(decision, won=True))
    return Decided(DecisionOutcome.ACCEPTED, won)


def refuse_payload(ticket: Ticket, verdict: Verdict, specs: Specs | None) -> None:
    """Refuse to pass something to a tool that cannot be given anything but its arguments.

    Raises:
        VerdictNotApplicableError: It is a built-in tool.
    """
    tool = specs.tool(ticket.tool_id) if specs else None
    if verdict.kind is VerdictKind.PASS_TO_TOOL and tool is not None and tool.builtin is not None:
        raise VerdictNotApplicableError.of(verdict.kind, ticket.kind)


def accept(work: Work, ticket: Ticket, winner: Decision, ids: IdSource) -> Work:
    """Store the winning decision; queue the continuation of a run that waits for it."""
    waiting = work.run.state is RunState.WAITING
    work = work.with_ticket(ticket).emit(TicketDecided(ticket.ticket_id, winner))
    if waiting:
        work = work.emit(RunWoken("decision", ticket.call_id, None, winner.traceparent))
    cause = Cause("decision", winner.traceparent, ticket.traceparent)
    return resolve(work, ticket.call_id, cause, ids)


def apply_decision(work: Work, call: Call, ticket: Ticket, version: str) -> Work:
    """Consume a decided ticket, in the transaction in which its effect starts.

    If the call's arguments differ from those that were approved, the ticket becomes void and the
    call fails.

    Args:
        version: The version of the tool in the pinned specification.
    """
    decision = ticket.winner
    if decision is None:
        return work
    verdict = decision.verdict
    digest = argument_digest(call.tool_id, version, call.arguments_json)
    approved = ticket.kind is TicketKind.APPROVAL and verdict.kind in _APPROVALS
    if approved and digest != ticket.digest:
        void = replace(ticket, state=TicketState.VOID, void_reason="args_changed")
        work = work.with_ticket(void).emit(TicketVoided(ticket.ticket_id, "args_changed"))
        return settle_call(work, call, CallState.FAILED, "the approval was for another call")
    work = work.with_ticket(replace(ticket, state=TicketState.CONSUMED))
    ready = _made_ready(call, ticket.kind, verdict)
    if ready is not None:
        return work.with_call(ready)
    if verdict.kind is VerdictKind.CANCEL_RUN:
        return finish(work, Termination(TerminationReason.CANCELLED, verdict.text))
    state, text = _settlement(verdict)
    return settle_call(work, call, state, text)


def _made_ready(call: Call, asked: TicketKind, verdict: Verdict) -> Call | None:
    """The call as it may be executed now; None when it is not to be."""
    # Another generation: the effect of an attempt may happen once more, and the next question of
    # the call has another ticket.
    again = replace(call, state=CallState.READY, generation=call.generation + 1, tries=0)
    again = replace(again, timeout_at=None)
    passed = verdict.text if verdict.kind is VerdictKind.PASS_TO_TOOL else ""
    if verdict.kind is VerdictKind.DID_NOT_HAPPEN:
        return again
    if asked is TicketKind.APPROVAL and verdict.kind in _APPROVALS:
        return replace(call, state=CallState.READY, answer_json=passed)
    if asked is TicketKind.TOOL_INPUT and verdict.kind in _ANSWERS:
        text = json.dumps(verdict.text, ensure_ascii=False)
        return replace(again, answer_json=passed or text)
    return None


def _settlement(verdict: Verdict) -> tuple[CallState, str]:
    """The final state and the result of a call whose verdict starts no effect."""
    if verdict.kind in (VerdictKind.ANSWER, VerdictKind.HAPPENED):
        return CallState.SUCCEEDED, verdict.text
    if verdict.kind is VerdictKind.ABANDON:
        return CallState.FAILED, "given up: nobody knows whether it took effect"
    if verdict.kind is VerdictKind.DENY:
        return CallState.FAILED, f"denied: {verdict.text}" if verdict.text else "denied"
    return CallState.CANCELLED, "cancelled by a person"
