"""Deciding tickets: the use case of those who answer for people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from services.chassis.caller import Caller, Replay, Role, once
from services.chassis.clock import Clock
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import IdSource
from services.runcontrol.core.arguments import Budget, violations
from services.runcontrol.core.errors import (
    OwnRunError,
    TicketAmbiguousError,
    TicketNotFoundError,
)
from services.runcontrol.core.exchange import Decision, Ticket, Verdict, VerdictKind
from services.runcontrol.core.gating import argument_digest
from services.runcontrol.core.ports import Store, Tx
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tickets import (
    Decided,
    DecisionOutcome,
    accept,
    check_applicable,
    decision_digest,
    expire_ticket,
    has_expired,
    judge,
    refuse_payload,
)
from services.runcontrol.core.work import commit, current_run, load, pinned_specs

# They may decide everything.
_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class DecideCommand:
    """A decision and the ticket it is for.

    Attributes:
        ticket_id: The ticket; "" when ``call_id`` and a run or thread identify it.
        expected_digest: Digest of the arguments that the decider saw; empty = not checked.
    """

    decision_id: str
    verdict: Verdict
    ticket_id: str = ""
    call_id: str = ""
    run_id: str = ""
    thread_id: str = ""
    expected_digest: bytes = b""
    comment: str = ""


class Decisions:
    """Decides tickets within the caller's tenant."""

    def __init__(self, store: Store, clock: Clock, ids: IdSource) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def decide(self, caller: Caller, command: DecideCommand) -> Decided | Replay:
        """Decide a ticket. The first applicable decision wins, and its run continues with it.

        Raises:
            TicketNotFoundError: There is no such ticket, or none waits for the call.
            TicketAmbiguousError: Several tickets wait for calls with this id.
            ThreadNotFoundError: The call's thread does not exist.
            OwnRunError: The caller decides as an approver, and has submitted the run.
            VerdictNotApplicableError: A ticket of this kind does not accept the verdict.
            InvalidRequestError: The arguments of an approver violate the schema of the tool.
            IdempotencyConflictError: The decision id was used with other content.
        """
        edited = command.verdict.kind is VerdictKind.APPROVE_EDITED
        digest = await self._digest_of_edit(caller, command) if edited else b""
        return await self._store.write(
            lambda tx: once(tx, caller, lambda: self._decide(tx, caller, command, digest))
        )

    async def _digest_of_edit(self, caller: Caller, command: DecideCommand) -> bytes:
        """The digest of a call with the arguments that an approver has written."""
        tool_id, tool = await self._store.write(lambda tx: _tool_of(tx, caller, command))
        text = command.verdict.text
        if tool is not None:
            # In a thread of the store, and not in a transaction that others wait for.
            found = await self._store.read(lambda _: violations(tool, text, Budget()))
            if found:
                field = "verdict.approve_edited.arguments_json"
                raise InvalidRequestError.of(Violation(field, each) for each in found)
        return argument_digest(tool_id, tool.version if tool else "", text)

    def _decide(
        self, tx: Tx, caller: Caller, command: DecideCommand, edited_digest: bytes
    ) -> Decided:
        ticket = _locked(tx, caller.tenant, _ticket(tx, caller.tenant, command))
        _refuse_own_run(tx, caller, ticket)
        now = self._clock.now()
        if has_expired(ticket, now):
            # Nobody has swept it yet.
            work = load(tx, caller.tenant, ticket.run_id, now)
            after = commit(tx, work, expire_ticket(work, ticket, self._ids))
            ticket = next(each for each in after.tickets if each.ticket_id == ticket.ticket_id)
        decision = _decision(command, caller, now)
        earlier = tx.decision(caller.tenant, ticket.ticket_id, command.decision_id)
        decided = judge(ticket, decision, earlier, command.expected_digest, edited_digest)
        won = decided.outcome is DecisionOutcome.ACCEPTED
        decision = replace(decision, won=won)
        if earlier is None or won:
            tx.add_decision(caller.tenant, ticket.ticket_id, decision)
        if won:
            before = load(tx, caller.tenant, ticket.run_id, now)
            refuse_payload(ticket, decision.verdict, pinned_specs(tx, before))
            commit(tx, before, accept(before, decided.ticket, decision, self._ids))
        return decided


def _ticket(tx: Tx, tenant: str, command: DecideCommand) -> Ticket:
    if not command.ticket_id:
        return _ticket_of_call(tx, tenant, command)
    ticket = tx.ticket(tenant, command.ticket_id)
    wanted = (command.run_id, command.thread_id)
    if ticket is None or any(
        name and name != of
        for name, of in zip(wanted, (ticket.run_id, ticket.thread_id), strict=True)
    ):
        raise TicketNotFoundError.of(command.ticket_id)
    return ticket


def _tool_of(tx: Tx, caller: Caller, command: DecideCommand) -> tuple[str, ToolSpec | None]:
    """The tool of the ticket's call, as the run has it pinned; None when that is lost."""
    ticket = _ticket(tx, caller.tenant, command)
    _refuse_own_run(tx, caller, ticket)
    check_applicable(ticket, command.verdict)
    specs = pinned_specs(tx, load(tx, caller.tenant, ticket.run_id, ticket.created_at))
    return ticket.tool_id, specs.tool(ticket.tool_id) if specs else None


def _refuse_own_run(tx: Tx, caller: Caller, ticket: Ticket) -> None:
    """Let nobody who decides as an approver decide for a run of its own."""
    if caller.principal.roles & _OPERATORS:
        return
    run = load(tx, caller.tenant, ticket.run_id, ticket.created_at).run
    if run.principal == caller.principal.subject:
        raise OwnRunError.of(run.run_id, run.principal)


def _ticket_of_call(tx: Tx, tenant: str, command: DecideCommand) -> Ticket:
    run_id = command.run_id or current_run(tx, tenant, command.thread_id)
    found = tx.live_tickets(tenant, run_id, command.call_id)
    if not found:
        raise TicketNotFoundError.of_call(command.call_id)
    if len(found) > 1:
        raise TicketAmbiguousError.of(command.call_id, len(found))
    return found[0]


def _locked(tx: Tx, tenant: str, ticket: Ticket) -> Ticket:
    """Lock the ticket's thread and read the ticket again: it was found without the lock."""
    tx.thread(tenant, ticket.thread_id)
    found = tx.ticket(tenant, ticket.ticket_id)
    if found is None:
        raise TicketNotFoundError.of(ticket.ticket_id)
    return found


def _decision(command: DecideCommand, caller: Caller, now: datetime) -> Decision:
    return Decision(
        decision_id=command.decision_id,
        verdict=command.verdict,
        digest=decision_digest(command.verdict, command.comment),
        decided_by=caller.principal.subject,
        comment=command.comment,
        decided_at=now,
        won=False,
        traceparent=caller.traceparent,
    )
