"""Tickets: opening one for a call, deciding it once, and applying the decision once.

OPEN -- decide --> DECIDED -- the effect starts --> CONSUMED
OPEN -- its time runs out --> EXPIRED, which denies the call
OPEN, DECIDED -- the run ends, or new input comes instead --> VOID
DECIDED -- the call is not the one that was approved any more --> VOID, and another one OPEN
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from services.chassis.errors import IdempotencyConflictError
from services.chassis.ids import IdSource
from services.content.verdicts import misfit
from services.runcontrol.core.errors import VerdictNotApplicableError
from services.runcontrol.core.events import (
    RunWoken,
    TicketDecided,
    TicketExpired,
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
from services.runcontrol.core.forbidding import forbid
from services.runcontrol.core.gating import approval_timeout_s, argument_digest
from services.runcontrol.core.model import Cause, RunState, Termination, TerminationReason
from services.runcontrol.core.parking import resolve
from services.runcontrol.core.specs import AgentSpec, Specs, ToolSpec
from services.runcontrol.core.work import Work

# The state of a call while its ticket is open.
_STOPPED = {
    TicketKind.APPROVAL: CallState.GATED,
    TicketKind.QUESTION: CallState.SUSPENDED,
    TicketKind.RECONCILE: CallState.UNKNOWN,
    TicketKind.TOOL_INPUT: CallState.SUSPENDED,
}
_APPROVALS = frozenset({VerdictKind.APPROVE, VerdictKind.APPROVE_EDITED, VerdictKind.PASS_TO_TOOL})
_ANSWERS = frozenset({VerdictKind.ANSWER, VerdictKind.PASS_TO_TOOL})
# Why a ticket is void whose call has changed.
_CHANGED = "args_changed"


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


def ask_approval(work: Work, call: Call, agent: AgentSpec, tool: ToolSpec, trace: str) -> Work:
    """Open a ticket for a call that needs approval."""
    timeout_s = approval_timeout_s(agent, tool)
    expires_at = work.now + timedelta(seconds=timeout_s) if timeout_s else None
    return open_ticket(work, call, TicketKind.APPROVAL, "", trace, expires_at)


def open_ticket(
    work: Work,
    call: Call,
    kind: TicketKind,
    question: str,
    trace: str,
    expires_at: datetime | None = None,
) -> Work:
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
        expires_at=expires_at,
    )
    stopped = replace(call, state=_STOPPED[kind], traceparent=trace)
    work = work.with_call(stopped).with_ticket(ticket)
    if kind is TicketKind.APPROVAL:
        work = work.emit(ToolCallGated(call.call_id, ticket.ticket_id))
    return work.emit(TicketOpened(ticket))


def judge(
    ticket: Ticket,
    decision: Decision,
    earlier: Decision | None,
    expected_digest: bytes,
    edited_digest: bytes,
) -> Decided:
    """The outcome of ``decision`` and the ticket as it stands afterwards.

    Args:
        earlier: The decision that is stored for this ticket under the same decision id.
        expected_digest: Digest of the arguments that the decider saw; empty = not checked.
        edited_digest: Digest of the arguments that the decider wrote; empty for other verdicts.

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
    check_applicable(ticket, decision.verdict)
    won = replace(ticket, state=TicketState.DECIDED, winner=replace(decision, won=True))
    if decision.verdict.kind is VerdictKind.APPROVE_EDITED:
        won = replace(won, arguments_json=decision.verdict.text, digest=edited_digest)
    return Decided(DecisionOutcome.ACCEPTED, won)


def check_applicable(ticket: Ticket, verdict: Verdict) -> None:
    """Refuse a verdict that does not decide tickets of this kind.

    Raises:
        VerdictNotApplicableError: It does not.
    """
    if misfit(verdict.kind.value, ticket.kind.value):
        raise VerdictNotApplicableError.of(verdict.kind, ticket.kind)


def refuse_payload(ticket: Ticket, verdict: Verdict, specs: Specs | None) -> None:
    """Refuse to pass something to a tool that cannot be given anything but its arguments.

    Raises:
        VerdictNotApplicableError: It is a built-in tool.
    """
    tool = specs.tool(ticket.tool_id) if specs else None
    if verdict.kind is VerdictKind.PASS_TO_TOOL and tool is not None and tool.builtin is not None:
        raise VerdictNotApplicableError.of_builtin(verdict.kind, ticket.kind, ticket.tool_id)


def accept(work: Work, ticket: Ticket, winner: Decision, ids: IdSource) -> Work:
    """Store the winning decision; queue the continuation of a run that waits for it."""
    waiting = work.run.state is RunState.WAITING
    work = work.with_ticket(ticket).emit(TicketDecided(ticket.ticket_id, winner))
    if waiting:
        work = work.emit(RunWoken("decision", ticket.call_id, None, winner.traceparent))
    cause = Cause("decision", winner.traceparent, ticket.traceparent)
    return resolve(work, ticket.call_id, cause, ids)


def has_expired(ticket: Ticket, now: datetime) -> bool:
    """Whether the time of a ticket that nobody has decided has run out."""
    expires_at = ticket.expires_at
    return ticket.state is TicketState.OPEN and expires_at is not None and expires_at <= now


def expire_ticket(work: Work, ticket: Ticket, ids: IdSource) -> Work:
    """Deny the call of a ticket whose time has run out; let a run that waits for it continue."""
    waited = work.now - ticket.created_at
    work = work.with_ticket(replace(ticket, state=TicketState.EXPIRED))
    work = work.emit(TicketExpired(ticket.ticket_id))
    text = f"denied by policy: nobody decided within {waited.total_seconds():.0f} s"
    work = settle_call(work, work.call(ticket.call_id), CallState.FAILED, text)
    if work.run.state is RunState.WAITING:
        work = work.emit(RunWoken("timer", ticket.call_id))
    return resolve(work, ticket.call_id, Cause("timer", "", ticket.traceparent), ids)


def apply_decision(work: Work, call: Call, ticket: Ticket, specs: Specs, trace: str) -> Work:
    """Consume a decided ticket, in the transaction in which its effect starts."""
    decision = ticket.winner
    if decision is None:
        return work
    verdict = decision.verdict
    if ticket.kind is TicketKind.APPROVAL and verdict.kind in _APPROVALS:
        return _approve(work, call, ticket, decision, specs, trace)
    work = work.with_ticket(replace(ticket, state=TicketState.CONSUMED))
    again = _again(call, ticket.kind, verdict)
    if again is not None:
        return work.with_call(again)
    if verdict.kind is VerdictKind.CANCEL_RUN:
        return finish(work, Termination(TerminationReason.CANCELLED, verdict.text))
    state, text = _settlement(verdict)
    return settle_call(work, call, state, text)


def _approve(
    work: Work, call: Call, ticket: Ticket, decision: Decision, specs: Specs, trace: str
) -> Work:
    """Let the call start with the arguments that were approved.

    If it is not the one that was approved any more, another ticket asks about it as it is.
    """
    tool = specs.require(call.tool_id)
    if tool.denied_by:
        return forbid(work, call, tool)
    edited = decision.verdict.kind is VerdictKind.APPROVE_EDITED
    arguments = decision.verdict.text if edited else call.arguments_json
    if argument_digest(call.tool_id, tool.version, arguments) != ticket.digest:
        void = replace(ticket, state=TicketState.VOID, void_reason=_CHANGED)
        work = work.with_ticket(void).emit(TicketVoided(ticket.ticket_id, _CHANGED))
        digest = argument_digest(call.tool_id, tool.version, call.arguments_json)
        changed = replace(call, digest=digest, generation=call.generation + 1)
        return ask_approval(work, changed, specs.agent, tool, trace)
    work = work.with_ticket(replace(ticket, state=TicketState.CONSUMED))
    ready = replace(call, state=CallState.READY, arguments_json=arguments, digest=ticket.digest)
    by = decision.decided_by if edited else call.arguments_by
    passed = decision.verdict.text if decision.verdict.kind is VerdictKind.PASS_TO_TOOL else ""
    return work.with_call(replace(ready, arguments_by=by, answer_json=passed))


def _again(call: Call, asked: TicketKind, verdict: Verdict) -> Call | None:
    """A call that was executed before, ready for another attempt; None when there is to be none.

    In another generation: the effect of an attempt may happen once more, and the next question of
    the call has another ticket.
    """
    again = replace(call, state=CallState.READY, generation=call.generation + 1, tries=0)
    again = replace(again, timeout_at=None)
    if verdict.kind is VerdictKind.DID_NOT_HAPPEN:
        return again
    if asked is TicketKind.TOOL_INPUT and verdict.kind in _ANSWERS:
        is_json = verdict.kind is VerdictKind.PASS_TO_TOOL
        text = verdict.text if is_json else json.dumps(verdict.text, ensure_ascii=False)
        return replace(again, answer_json=text)
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
