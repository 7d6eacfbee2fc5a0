"""The use cases of callers: submit, read, cancel, wake. Each is one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.chassis.caller import Caller, Replay, once, replay
from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.ids import IdSource
from services.runcontrol.core.cancelling import CancelOutcome, cancel
from services.runcontrol.core.errors import (
    DispatchNotFoundError,
    RunDeletedError,
    TicketNotFoundError,
)
from services.runcontrol.core.exchange import Ticket, Wake
from services.runcontrol.core.interrupting import interrupt_thread
from services.runcontrol.core.listing import Page, Place
from services.runcontrol.core.model import Run, RunState, Thread
from services.runcontrol.core.ports import (
    CallView,
    Catalogs,
    Feed,
    Reads,
    RunView,
    Store,
    TicketFeed,
    TicketFilter,
    Tx,
)
from services.runcontrol.core.specs import Catalog
from services.runcontrol.core.submission import (
    BusyPolicy,
    StartedBy,
    SubmitCommand,
    Submitted,
    check_busy,
    check_served,
    choose_agent,
    pinned_agent,
    start_at,
    submit,
)
from services.runcontrol.core.ticket_pages import page_of_tickets
from services.runcontrol.core.waking import WakeOutcome, wake
from services.runcontrol.core.work import (
    commit,
    current_run,
    load,
    missing_run,
    open_thread,
)


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """Which run to cancel; exactly one of the ids is set."""

    run_id: str = ""
    dispatch_id: str = ""
    thread_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The outcome of a cancel; ``run`` is None for a thread that executes nothing."""

    outcome: CancelOutcome
    run: Run | None


class RunControl:
    """The use cases of callers.

    Each acts within the caller's tenant. A mutating one returns a ``Replay`` when the request was
    answered before, and raises ``IdempotencyConflictError`` when its request id was used with
    other content.
    """

    def __init__(
        self,
        store: Store,
        catalogs: Catalogs,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._store = store
        self._catalogs = catalogs
        self._clock = clock
        self._ids = ids

    async def submit(self, caller: Caller, command: SubmitCommand) -> Submitted | Replay:
        """Queue a run of an agent with the request's messages as input.

        Raises:
            InvalidRequestError: The request names no agent, and the thread has had none.
            AgentNotFoundError: The registry snapshot in use has no such agent.
            ToolNotSupportedError: Nothing can execute one of the agent's tools.
            ThreadBusyError: The thread has work, and the request requires an idle one.
            ThreadClosedError: The thread was deleted.
            DomainError: SNAPSHOT_BEHIND, the requested registry version has not arrived.
        """
        try:
            catalog = await self._catalogs.at_least(
                command.min_registry_version, command.min_registry_incarnation
            )
        except DomainError:
            # A repeated request gets its stored answer even if the registry is unavailable.
            answered = await self._store.write(lambda tx: replay(tx, caller))
            if answered is None:
                raise
            return answered
        return await self._store.write(
            lambda tx: once(tx, caller, lambda: self._submit(tx, caller, command, catalog))
        )

    async def start_child(self, caller: Caller, command: SubmitCommand, by: StartedBy) -> str:
        """Submit a run for another one, unless an earlier attempt has; return its thread's id.

        One that was started and then deleted is not started again: its end was told already.

        Raises:
            RunDeletedError: The run that starts it was deleted.
            DomainError: As of ``submit``.
        """
        catalog = await self._catalogs.at_least(0, "")
        tenant = caller.tenant

        def effect(tx: Tx) -> str:
            found = tx.load(tenant, by.child_run_id, self._clock.now())
            thread = found.thread if found else tx.deleted_thread_of(tenant, by.child_run_id)
            if thread is not None:
                return thread.thread_id
            gone = tx.deleted_thread_of(tenant, by.run_id)
            if gone is not None:
                raise RunDeletedError.of(by.run_id, gone)
            return self._submit(tx, caller, replace(command, started_by=by), catalog).thread_id

        return await self._store.write(effect)

    def _submit(
        self, tx: Tx, caller: Caller, command: SubmitCommand, catalog: Catalog
    ) -> Submitted:
        found = tx.thread(caller.tenant, command.thread_id) if command.thread_id else None
        if found is not None:
            open_thread(found, command.thread_id)
        pinned = pinned_agent(catalog, choose_agent(command.agent_id, found))
        now = self._clock.now()
        thread_id = command.thread_id or self._ids.new_id()
        thread = found or Thread(caller.tenant, thread_id, now, now)
        check_busy(tx, thread, command.busy_policy, now)
        not_before = start_at(command, now)
        check_served(tx, caller.tenant, pinned.specs)
        if found and command.busy_policy is BusyPolicy.INTERRUPT:
            thread = interrupt_thread(tx, found, now).thread
        tx.pin(caller.tenant, pinned.digest, pinned.specs)
        work = submit(thread, command, pinned, caller, self._ids, now)
        commit(tx, None, work)
        run, input_id = work.run, work.inputs[0].input_id
        running = not_before == now and thread.free_at(now)
        return Submitted(run.run_id, thread_id, run.dispatch_id, input_id, running=running)

    async def view(self, caller: Caller, run_id: str) -> RunView:
        """The run as of its newest commit.

        Raises:
            RunNotFoundError: There is no such run.
        """

        def read(reads: Reads) -> RunView:
            found = reads.view(caller.tenant, run_id)
            if found is None:
                raise missing_run(reads, caller.tenant, run_id)
            return found

        return await self._store.read(read)

    async def events(self, caller: Caller, run_id: str, after: int, limit: int) -> Feed:
        """Up to ``limit`` encoded events of a run, those after the sequence ``after``.

        Raises:
            RunNotFoundError: There is no such run.
        """

        def read(reads: Reads) -> Feed:
            feed = reads.events(caller.tenant, run_id, after, limit)
            if feed is None:
                raise missing_run(reads, caller.tenant, run_id)
            return feed

        return await self._store.read(read)

    async def ticket(self, caller: Caller, ticket_id: str) -> tuple[Ticket, CallView | None]:
        """The ticket with this id, in any state, and the call that it is about.

        Raises:
            TicketNotFoundError: There is no such ticket.
        """

        def read(reads: Reads) -> tuple[Ticket, CallView | None]:
            found = reads.ticket(caller.tenant, ticket_id)
            if found is None:
                raise TicketNotFoundError.of(ticket_id)
            return found, reads.call_view(caller.tenant, found.run_id, found.call_id, 0, 0)

        return await self._store.read(read)

    async def list_tickets(self, caller: Caller, wanted: TicketFilter) -> Page[Ticket, Place]:
        """A page of the tickets that match ``wanted``, oldest first."""
        return await page_of_tickets(self._store, caller.tenant, wanted)

    async def ticket_head(self, caller: Caller) -> int:
        """The sequence of the newest change of the tenant's tickets; 0 when there was none."""
        return await self._store.read(lambda reads: reads.ticket_head(caller.tenant))

    async def ticket_changes(self, caller: Caller, after: int, limit: int) -> TicketFeed:
        """Up to ``limit`` tickets that changed after the sequence ``after``."""
        return await self._store.read(
            lambda reads: reads.ticket_changes(caller.tenant, after, limit)
        )

    async def cancel(self, caller: Caller, command: CancelCommand) -> Cancelled | Replay:
        """Cancel a run, the run of a dispatch, or the current run of a thread.

        A run that executes ends when its owner has seen the request; any other ends at once.

        Raises:
            RunNotFoundError: There is no such run.
            DispatchNotFoundError: There is no such dispatch.
            ThreadNotFoundError: There is no such thread.
        """

        def effect(tx: Tx) -> Cancelled:
            run_id = _target(tx, caller.tenant, command)
            if not run_id:
                return Cancelled(CancelOutcome.NOTHING_ACTIVE, None)
            before = load(tx, caller.tenant, run_id, self._clock.now())
            after, outcome = cancel(before, command.reason)
            return Cancelled(outcome, commit(tx, before, after).run)

        return await self._store.write(lambda tx: once(tx, caller, lambda: effect(tx)))

    async def deliver_wake(self, caller: Caller, arrived: Wake) -> WakeOutcome | Replay:
        """Store the end of a wait that the pool reports, whatever the state of the run.

        A run that waits for it is queued to continue. A wake that came before, or that no call
        waits for any more, changes nothing; the outcome says so.

        Raises:
            RunNotFoundError: There is no such run.
        """

        def effect(tx: Tx) -> WakeOutcome:
            return self._wake(tx, caller.tenant, arrived)

        return await self._store.write(lambda tx: once(tx, caller, lambda: effect(tx)))

    def _wake(self, tx: Tx, tenant: str, arrived: Wake) -> WakeOutcome:
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


def _target(tx: Tx, tenant: str, command: CancelCommand) -> str:
    """Id of the run to cancel; "" when the thread executes nothing."""
    if command.run_id:
        return command.run_id
    if command.dispatch_id:
        run_id = tx.run_of_dispatch(tenant, command.dispatch_id)
        if run_id is None:
            raise DispatchNotFoundError.of(command.dispatch_id)
        return run_id
    return current_run(tx, tenant, command.thread_id)
