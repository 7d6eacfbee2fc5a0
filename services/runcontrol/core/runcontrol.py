"""What callers can do with runs: submit, read, cancel, decide, wake. One transaction each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from services.chassis.caller import Principal, Replay, RequestKey, once
from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.runcontrol.core.cancelling import CancelOutcome, cancel
from services.runcontrol.core.committing import commit, load
from services.runcontrol.core.errors import (
    AgentNotFoundError,
    DispatchNotFoundError,
    RunNotFoundError,
    ThreadNotFoundError,
    TicketAmbiguousError,
    TicketNotFoundError,
)
from services.runcontrol.core.exchange import Decision, Ticket, Verdict, Wake
from services.runcontrol.core.model import Run, RunState, Thread
from services.runcontrol.core.ports import (
    Catalogs,
    Feed,
    RunControlStore,
    RunControlTx,
    RunView,
    TicketFilter,
)
from services.runcontrol.core.submission import (
    Pinned,
    SubmitCommand,
    Submitted,
    check_busy,
    check_tools,
    choose_agent,
    submit,
)
from services.runcontrol.core.tickets import (
    Decided,
    DecisionOutcome,
    accept,
    decision_digest,
    judge,
)
from services.runcontrol.core.waking import WakeOutcome, wake


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """Exactly one of the ids is set."""

    run_id: str = ""
    dispatch_id: str = ""
    thread_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    outcome: CancelOutcome
    run: Run | None


@dataclass(frozen=True, slots=True)
class DecideCommand:
    """A decision and which ticket it is for.

    Attributes:
        ticket_id: The ticket, or "" when ``call_id`` names it together with a run or thread.
        expected_digest: What the decider looked at; empty = unchecked.
    """

    decision_id: str
    verdict: Verdict
    ticket_id: str = ""
    call_id: str = ""
    run_id: str = ""
    thread_id: str = ""
    expected_digest: bytes = b""
    comment: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Encoders:
    """How stored answers are written down; given by main, in the terms of the wire."""

    submitted: Callable[[Submitted], bytes]
    cancelled: Callable[[Cancelled], bytes]
    decided: Callable[[Decided], bytes]
    woken: Callable[[WakeOutcome], bytes]


class RunControl:
    """The use cases of callers."""

    def __init__(
        self,
        store: RunControlStore,
        catalogs: Catalogs,
        clock: Clock,
        ids: IdSource,
        encode: Encoders,
    ) -> None:
        self._store = store
        self._catalogs = catalogs
        self._clock = clock
        self._ids = ids
        self._encode = encode

    async def submit(
        self, principal: Principal, command: SubmitCommand, request: RequestKey | None
    ) -> Submitted | Replay:
        """Accept input and queue a run of it.

        Raises:
            AgentNotFoundError, ToolNotSupportedError, ThreadBusyError, InvalidRequestError.
        """
        catalog = await self._catalogs.at_least(command.min_registry_version)
        version, specs_of = catalog.version, catalog.specs

        def effect(tx: RunControlTx) -> Submitted:
            thread = tx.thread(principal.tenant, command.thread_id) if command.thread_id else None
            agent_id = choose_agent(command, thread)
            specs = specs_of(agent_id)
            if specs is None:
                raise AgentNotFoundError(
                    f"no agent {agent_id} in registry version {version}",
                    agent_id=agent_id,
                    version=str(version),
                )
            check_tools(specs)
            pinned = Pinned(specs, specs.digest(), version)
            return self._queue(tx, principal, command, pinned, thread)

        def fn(tx: RunControlTx) -> Submitted | Replay:
            return once(tx, request, lambda: effect(tx), self._encode.submitted)

        return await self._store.write(fn)

    def _queue(
        self,
        tx: RunControlTx,
        principal: Principal,
        command: SubmitCommand,
        pinned: Pinned,
        found: Thread | None,
    ) -> Submitted:
        now = self._clock.now()
        thread_id = command.thread_id or self._ids.new_id()
        thread = found or Thread(principal.tenant, thread_id, now, now)
        check_busy(thread, command.busy_policy)
        tx.pin(principal.tenant, pinned.digest, pinned.specs)
        work = submit(thread, command, pinned, principal.subject, self._ids, now)
        commit(tx, None, work)
        run, said = work.run, work.inputs[0]
        return Submitted(
            run.run_id, thread_id, run.dispatch_id, said.input_id, running=not thread.busy
        )

    async def view(self, principal: Principal, run_id: str) -> RunView:
        """The run as of its newest commit.

        Raises:
            RunNotFoundError: There is none.
        """
        found = await self._store.read(lambda view: view.view(principal.tenant, run_id))
        if found is None:
            raise RunNotFoundError(f"no run {run_id}", run_id=run_id)
        return found

    async def events(self, principal: Principal, run_id: str, after: int, limit: int) -> Feed:
        """Encoded events of a run after a sequence.

        Raises:
            RunNotFoundError: There is none.
        """
        feed = await self._store.read(
            lambda view: view.events(principal.tenant, run_id, after, limit)
        )
        if feed is None:
            raise RunNotFoundError(f"no run {run_id}", run_id=run_id)
        return feed

    async def ticket(self, principal: Principal, ticket_id: str) -> Ticket:
        """A ticket.

        Raises:
            TicketNotFoundError: There is none.
        """
        found = await self._store.read(lambda view: view.ticket(principal.tenant, ticket_id))
        if found is None:
            raise TicketNotFoundError(f"no ticket {ticket_id}", ticket_id=ticket_id)
        return found

    async def list_tickets(self, principal: Principal, wanted: TicketFilter) -> list[Ticket]:
        """A page of tickets, oldest first."""
        return await self._store.list_tickets(principal.tenant, wanted)

    async def cancel(
        self, principal: Principal, command: CancelCommand, request: RequestKey | None
    ) -> Cancelled | Replay:
        """End a run, a dispatch's run, or what a thread does now.

        Raises:
            RunNotFoundError, DispatchNotFoundError, ThreadNotFoundError.
        """

        def effect(tx: RunControlTx) -> Cancelled:
            run_id = _target(tx, principal.tenant, command)
            if not run_id:
                return Cancelled(CancelOutcome.NOTHING_ACTIVE, None)
            before = load(tx, principal.tenant, run_id, self._clock.now())
            after, outcome = cancel(before, command.reason)
            return Cancelled(outcome, commit(tx, before, after).run)

        return await self._store.write(
            lambda tx: once(tx, request, lambda: effect(tx), self._encode.cancelled)
        )

    async def decide(
        self, principal: Principal, command: DecideCommand, request: RequestKey | None
    ) -> Decided | Replay:
        """Hand in a decision; the outcome tells whether it won.

        Raises:
            TicketNotFoundError, TicketAmbiguousError, VerdictNotApplicableError,
            IdempotencyConflictError, ThreadNotFoundError.
        """
        return await self._store.write(
            lambda tx: once(
                tx, request, lambda: self._decide(tx, principal, command), self._encode.decided
            )
        )

    def _decide(self, tx: RunControlTx, principal: Principal, command: DecideCommand) -> Decided:
        ticket = _locked(tx, principal.tenant, _ticket(tx, principal.tenant, command))
        now = self._clock.now()
        decision = _decision(command, principal, now)
        earlier = tx.decision(principal.tenant, ticket.ticket_id, command.decision_id)
        decided = judge(ticket, decision, earlier, command.expected_digest)
        won = decided.outcome is DecisionOutcome.ACCEPTED
        decision = replace(decision, won=won)
        if earlier is None or won:
            tx.add_decision(principal.tenant, ticket.ticket_id, decision)
        if won:
            before = load(tx, principal.tenant, ticket.run_id, now)
            commit(tx, before, accept(before, decided.ticket, decision, self._ids))
        return decided

    async def deliver_wake(
        self, principal: Principal, arrived: Wake, request: RequestKey | None
    ) -> WakeOutcome | Replay:
        """Take the end of a wait from the pool, in any state of the run.

        Raises:
            RunNotFoundError: There is no such run.
        """

        def effect(tx: RunControlTx) -> WakeOutcome:
            return self._wake(tx, principal.tenant, arrived)

        return await self._store.write(
            lambda tx: once(tx, request, lambda: effect(tx), self._encode.woken)
        )

    def _wake(self, tx: RunControlTx, tenant: str, arrived: Wake) -> WakeOutcome:
        now = self._clock.now()
        before = load(tx, tenant, arrived.run_id, now)
        if tx.find_wake(tenant, arrived.pool_id, arrived.condition_id) is not None:
            return WakeOutcome.DUPLICATE
        if before.run.state is RunState.DONE:
            return WakeOutcome.RUN_FINISHED
        known = tx.waiting_call(tenant, arrived.run_id, arrived.condition_id)
        if known is not None and known.settled:
            return WakeOutcome.DROPPED
        named = replace(arrived, tenant=tenant, received_at=now)
        commit(tx, before, wake(before, named, self._ids))
        return WakeOutcome.ACCEPTED


def _target(tx: RunControlTx, tenant: str, command: CancelCommand) -> str:
    """Id of the run that is meant; "" when a thread does nothing."""
    if command.run_id:
        return command.run_id
    if command.dispatch_id:
        run_id = tx.run_of_dispatch(tenant, command.dispatch_id)
        if run_id is None:
            text = f"no dispatch {command.dispatch_id}"
            raise DispatchNotFoundError(text, dispatch_id=command.dispatch_id)
        return run_id
    return _current_run(tx, tenant, command.thread_id)


def _current_run(tx: RunControlTx, tenant: str, thread_id: str) -> str:
    thread = tx.thread(tenant, thread_id)
    if thread is None:
        raise ThreadNotFoundError(f"no thread {thread_id}", thread_id=thread_id)
    return thread.active_run_id or thread.open_run_id


def _ticket(tx: RunControlTx, tenant: str, command: DecideCommand) -> Ticket:
    if not command.ticket_id:
        return _ticket_of_call(tx, tenant, command)
    ticket = tx.ticket(tenant, command.ticket_id)
    wanted = (command.run_id, command.thread_id)
    if ticket is None or any(
        name and name != of
        for name, of in zip(wanted, (ticket.run_id, ticket.thread_id), strict=True)
    ):
        text = f"no ticket {command.ticket_id}"
        raise TicketNotFoundError(text, ticket_id=command.ticket_id)
    return ticket


def _ticket_of_call(tx: RunControlTx, tenant: str, command: DecideCommand) -> Ticket:
    run_id = command.run_id or _current_run(tx, tenant, command.thread_id)
    found = tx.live_tickets(tenant, run_id, command.call_id)
    if not found:
        text = f"no ticket waits for call {command.call_id}"
        raise TicketNotFoundError(text, tool_call_id=command.call_id)
    if len(found) > 1:
        text = f"{len(found)} tickets wait for calls named {command.call_id}"
        raise TicketAmbiguousError(text, tool_call_id=command.call_id, count=str(len(found)))
    return found[0]


def _locked(tx: RunControlTx, tenant: str, ticket: Ticket) -> Ticket:
    """The ticket as it is now that nobody else can decide it: it was found before its lock."""
    tx.thread(tenant, ticket.thread_id)
    return tx.ticket(tenant, ticket.ticket_id) or ticket


def _decision(command: DecideCommand, principal: Principal, now: datetime) -> Decision:
    return Decision(
        decision_id=command.decision_id,
        verdict=command.verdict,
        digest=decision_digest(command.verdict, command.comment),
        decided_by=principal.subject,
        comment=command.comment,
        decided_at=now,
        won=False,
        traceparent=command.traceparent,
    )
