"""The use cases of a server that executes runs. Each is one transaction unless it says otherwise.

A method that takes a ``Claim`` writes as the owner of its run, under the fence of the claim. It
raises ``FencedError`` if the run has another owner by now, or none; nothing was written then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from services.chassis.clock import Clock
from services.chassis.each_row import each_row
from services.chassis.ids import IdSource
from services.runcontrol.core.answering import answer_call
from services.runcontrol.core.cancelling import expire
from services.runcontrol.core.claiming import LEASE_S, claim
from services.runcontrol.core.commands import (
    CheckCommand,
    Command,
    CommandOutcome,
    CommandResult,
    FetchedMessage,
)
from services.runcontrol.core.events import Kind
from services.runcontrol.core.forbidding import in_force
from services.runcontrol.core.limits import SWEEP_LIMIT
from services.runcontrol.core.model import Cause, Lease, Run, RunState, StoredMessage
from services.runcontrol.core.ports import (
    Catalogs,
    DueRun,
    LeaseKey,
    Store,
    ThreadTx,
    TicketKey,
    Tx,
)
from services.runcontrol.core.retrying import Failure, RetryClass, fail_attempt, hand_off
from services.runcontrol.core.sharing import in_turns, room, turn_order
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.stepping import (
    Ended,
    ModelAnswer,
    Next,
    advance,
    commit_answer,
    record,
)
from services.runcontrol.core.tickets import expire_ticket, has_expired
from services.runcontrol.core.waking import Fetched, FetchRequest, take_wake
from services.runcontrol.core.work import Work, commit, load_owned, pinned_specs


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to execute a run.

    Attributes:
        specs: The specifications the run was submitted with; None when they are lost.
        attempt: How often the dispatch was claimed, hand-offs not counted.
        causes: Why the run continues; empty on its first start.
        dispatch_traceparent: Trace context of what queued the dispatch.
    """

    run: Run
    fence: int
    specs: Specs | None
    attempt: int
    causes: tuple[Cause, ...]
    dispatch_traceparent: str


class Execution:
    """The use cases of an executing server.

    Args:
        instance_id: Names the server in its leases.
        draw: Returns a random number from 0 to 1; spreads the pauses before attempts.
        most_per_tenant: How many runs of one tenant all servers execute; 0 = any number.
    """

    def __init__(
        self,
        store: Store,
        catalogs: Catalogs,
        clock: Clock,
        ids: IdSource,
        instance_id: str,
        draw: Callable[[], float],
        most_per_tenant: int = 0,
    ) -> None:
        self._store = store
        self._catalogs = catalogs
        self._clock = clock
        self._ids = ids
        self._instance_id = instance_id
        self._draw = draw
        self._most_per_tenant = most_per_tenant
        self._served_last = ""

    async def claim(self, limit: int) -> list[Claim]:
        """Claim the first dispatch of up to ``limit`` threads that have one to claim.

        Tenants take turns. Each claim raises the fence of its thread and leases it for 15 s.
        """
        ready = await self._store.write(lambda tx: self._next(tx, limit))
        if ready:
            self._served_last = ready[-1][0]

        async def claim_one(key: tuple[str, str]) -> Claim | None:
            return await self._store.write(partial(self._claim, *key))

        return await each_row(ready, claim_one, _thread_named)

    def _next(self, tx: Tx, limit: int) -> list[tuple[str, str]]:
        """Tenant and id of up to ``limit`` threads to claim."""
        now, most = self._clock.now(), self._most_per_tenant
        executing = tx.executing() if most else {}
        ready: dict[str, Sequence[str]] = {}
        for tenant in turn_order(tx.ready_tenants(now), self._served_last):
            left = room(executing.get(tenant, 0), limit, most)
            if left and (found := tx.ready_threads(tenant, now, left)):
                ready[tenant] = found
            if len(ready) == limit:
                break
        return in_turns(ready, limit)

    def _claim(self, tenant: str, thread_id: str, tx: Tx) -> Claim | None:
        now = self._clock.now()
        thread = tx.thread(tenant, thread_id) if tx.try_lock(tenant, thread_id) else None
        # Another server may have claimed it since it was found.
        if thread is None or thread.ready_at is None or thread.ready_at > now:
            return None
        head = tx.head(thread, now)
        before = tx.load(tenant, head.run_id, now) if head else None
        if head is None or before is None:
            return None
        after = commit(tx, before, claim(before, self._instance_id))
        return Claim(
            run=after.run,
            fence=after.thread.fence,
            specs=pinned_specs(tx, after),
            attempt=after.claimed().attempt,
            causes=head.causes,
            dispatch_traceparent=head.traceparent,
        )

    async def advance(self, claimed: Claim, trace: str) -> Next:
        """Move the run on as far as it goes without input from outside; return what it needs next.

        A run whose pinned specifications are lost ends with the error PIN_LOST.
        """
        pinned = claimed.specs
        if pinned is None:
            lost = Failure(RetryClass.FATAL, "PIN_LOST", "the pinned specification is gone")
            await self.fail(claimed, lost)
            return Ended()
        specs = in_force(pinned, self._catalogs.newest())

        def fn(tx: Tx) -> Next:
            before = self._owned(tx, claimed)
            after, following = advance(before, claimed.fence, specs, trace)
            commit(tx, before, after)
            return following

        return await self._store.write(fn)

    async def record(self, claimed: Claim, kinds: tuple[Kind, ...]) -> int:
        """Append events of a model call in progress; return the run's newest event sequence."""

        def fn(tx: Tx) -> int:
            before = self._owned(tx, claimed)
            return commit(tx, before, record(before, claimed.fence, kinds)).run.event_seq

        return await self._store.write(fn)

    async def commit_answer(
        self, claimed: Claim, specs: Specs, answer: ModelAnswer, trace: str
    ) -> Next:
        """Commit the model's answer, then move the run on as ``advance`` does."""
        specs = in_force(specs, self._catalogs.newest())

        def fn(tx: Tx) -> Next:
            before = self._owned(tx, claimed)
            committed = commit_answer(before, claimed.fence, answer, specs, trace)
            after, following = advance(committed, claimed.fence, specs, trace)
            commit(tx, before, after)
            return following

        return await self._store.write(fn)

    async def take_wake(
        self,
        claimed: Claim,
        request: FetchRequest,
        messages: tuple[FetchedMessage, ...],
        trace: str,
    ) -> None:
        """Give the waiting call its wake and the messages that were fetched for it.

        Does nothing when the wake was taken already.
        """

        def fn(tx: Tx) -> None:
            before = self._owned(tx, claimed)
            before.require_owner(claimed.fence)
            call = before.find_call(request.call_id)
            arrived = before.wake_of(call.condition_id) if call else None
            if call is None or arrived is None:
                return
            seen = tx.shown(call.tenant, call.run_id, request.pool_id, request.message_ids)
            commit(tx, before, take_wake(before, call, arrived, Fetched(messages, seen), trace))

        await self._store.write(fn)

    async def fail(self, claimed: Claim, failure: Failure) -> None:
        """End the attempt: queue the run for another one, or end it when none is left."""
        draw = self._draw()

        def fn(tx: Tx) -> None:
            before = self._owned(tx, claimed)
            before.require_owner(claimed.fence)
            commit(tx, before, fail_attempt(before, failure, draw))

        await self._store.write(fn)

    async def hand_back(self, claimed: Claim) -> None:
        """Queue the run for another server; this attempt does not count."""

        def fn(tx: Tx) -> None:
            before = self._owned(tx, claimed)
            before.require_owner(claimed.fence)
            commit(tx, before, hand_off(before))

        await self._store.write(fn)

    async def conversation(self, claimed: Claim, after: int) -> list[StoredMessage]:
        """The messages of the run's thread after the sequence ``after``, oldest first."""
        run = claimed.run
        return await self._store.read(
            lambda reads: reads.conversation(run.tenant, run.thread_id, after)
        )

    async def renew(self, held: frozenset[LeaseKey]) -> list[Lease]:
        """Extend those of the leases ``held`` that this server still has, by 15 s from now.

        Other writes wait for it: a lease that lapses behind them would end their runs.

        Returns:
            The leases that were extended; each says whether a cancel was requested. Other leases
            of this server lapse, which frees the runs that it does not execute any more.
        """
        until = self._clock.now() + timedelta(seconds=LEASE_S)
        return await self._store.write_first(lambda tx: tx.renew(self._instance_id, held, until))

    async def reclaim_all(self) -> int:
        """End the attempts under all leases; return how many.

        Only for the sole server of a database, before it claims.
        """
        return await self._store.write(lambda tx: self._reclaim(tx, tx.leases()))

    async def reclaim_lapsed(self, held: frozenset[LeaseKey] = frozenset()) -> int:
        """End the attempts whose lease has lapsed; return how many.

        Args:
            held: The leases of the runs that this server executes. It knows by the time that passes
                that it renews them: they lapse for others, not for itself, when its clock is set.
        """
        found = await self._store.write(lambda tx: tx.lapsed(self._clock.now(), SWEEP_LIMIT))
        lapsed = [each for each in found if (each.tenant, each.thread_id, each.fence) not in held]

        async def reclaim(lease: Lease) -> int:
            return await self._store.write(partial(self._reclaim_lapsed, lease))

        return sum(await each_row(lapsed, reclaim, _lease_named))

    def _reclaim_lapsed(self, lapsed: Lease, tx: Tx) -> int:
        if not tx.try_lock(lapsed.tenant, lapsed.thread_id):
            return 0
        before = load_owned(tx, lapsed.tenant, lapsed.run_id, self._clock.now())
        # Another server may have ended the attempt or claimed the run, or its owner renewed, since.
        if before.lease is None or before.lease.until >= before.now:
            return 0
        return self._reclaim(tx, [before.lease])

    def _reclaim(self, tx: Tx, leases: list[Lease]) -> int:
        lost = Failure(RetryClass.CRASH, "LEASE_LOST", "the executing server was lost")
        for lease in leases:
            before = load_owned(tx, lease.tenant, lease.run_id, self._clock.now())
            commit(tx, before, fail_attempt(before, lost, self._draw()))
        return len(leases)

    async def expire_due(self) -> int:
        """End queued and waiting runs whose deadline has passed; return how many."""
        due = await self._store.write(lambda tx: tx.due_runs(self._clock.now(), SWEEP_LIMIT))

        async def end(key: DueRun) -> int:
            return await self._store.write(partial(self._expire, key))

        return sum(await each_row(due, end, _run_named))

    def _expire(self, due: DueRun, tx: Tx) -> int:
        tenant, thread_id, run_id = due
        if not tx.try_lock(tenant, thread_id):
            return 0
        before = load_owned(tx, tenant, run_id, self._clock.now())
        after = expire(before)
        if after is before:
            return 0  # continued or ended since it was found
        commit(tx, before, after)
        return 1

    async def expire_tickets(self) -> int:
        """Deny the calls of tickets whose time has run out; return how many."""
        due = await self._store.write(lambda tx: tx.expired_tickets(self._clock.now(), SWEEP_LIMIT))

        async def end(key: TicketKey) -> int:
            return await self._store.write(partial(self._expire_ticket, key))

        return sum(await each_row(due, end, _ticket_named))

    def _expire_ticket(self, due: TicketKey, tx: Tx) -> int:
        tenant, thread_id, run_id, ticket_id = due
        if not tx.try_lock(tenant, thread_id):
            return 0
        before = load_owned(tx, tenant, run_id, self._clock.now())
        ticket = tx.ticket(tenant, ticket_id)
        if ticket is None or not has_expired(ticket, before.now):
            return 0  # decided since it was found
        commit(tx, before, expire_ticket(before, ticket, self._ids))
        return 1

    def apply_outcome(self, tx: Tx, command: Command, outcome: CommandOutcome) -> None:
        """Apply the answer to a command, within the transaction that closes its outbox row.

        Does nothing when the run is done or does not exist any more.
        """
        before = tx.load(command.tenant, command.run_id, self._clock.now())
        if before is None or before.run.state is RunState.DONE:
            return
        seen = frozenset[str]()
        if isinstance(command, CheckCommand) and isinstance(outcome, CommandResult):
            ids = tuple(message.message_id for message in outcome.messages)
            seen = tx.shown(command.tenant, command.run_id, command.pool_id, ids)
        commit(tx, before, answer_call(before, command, outcome, self._ids, seen))

    def _owned(self, tx: ThreadTx, claimed: Claim) -> Work:
        return load_owned(tx, claimed.run.tenant, claimed.run.run_id, self._clock.now())


def _thread_named(key: tuple[str, str]) -> dict[str, object]:
    return {"thread_id": key[1], "work": "claim"}


def _lease_named(lease: Lease) -> dict[str, object]:
    return {"run_id": lease.run_id, "work": "lapsed lease"}


def _ticket_named(key: TicketKey) -> dict[str, object]:
    return {"run_id": key[2], "ticket_id": key[3], "work": "expired ticket"}


def _run_named(key: DueRun) -> dict[str, object]:
    return {"run_id": key[2], "work": "deadline"}
