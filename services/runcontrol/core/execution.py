"""What an executing server does with runs: claim, advance, commit, hand back. One transaction each.

Every method but ``claim`` and the sweeps acts as an owner: it names the fence of its claim, and a
``FencedError`` means that somebody else owns the run now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.content.model import Message
from services.runcontrol.core.answering import answer_call
from services.runcontrol.core.cancelling import expire
from services.runcontrol.core.claiming import LEASE_S, claim
from services.runcontrol.core.commands import Answer, FetchedMessage, PoolCommand
from services.runcontrol.core.committing import commit, load_owned, pinned_specs
from services.runcontrol.core.events import Kind
from services.runcontrol.core.model import Cause, Lease, Run, RunState
from services.runcontrol.core.ports import LeaseKey, RunControlStore, RunControlTx, ThreadTx
from services.runcontrol.core.retrying import Failure, RetryClass, fail_attempt, hand_off
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.stepping import Answer as ModelAnswer
from services.runcontrol.core.stepping import Ended, Next, advance, commit_answer, record
from services.runcontrol.core.waking import FetchRequest, Take, take
from services.runcontrol.core.work import Work

SWEEP_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to execute a run.

    Attributes:
        specs: What the run is pinned to; None when that is lost.
        causes: Why it continues; empty on its first start.
        dispatch_traceparent: Context of what queued it.
    """

    run: Run
    fence: int
    specs: Specs | None
    attempt: int
    causes: tuple[Cause, ...]
    dispatch_traceparent: str


class Execution:
    """The use cases of an executing server; ``instance_id`` names it in its leases."""

    def __init__(
        self,
        store: RunControlStore,
        clock: Clock,
        ids: IdSource,
        instance_id: str,
        draw: Callable[[], float],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._instance_id = instance_id
        self._draw = draw

    async def claim(self, limit: int) -> list[Claim]:
        """Take up to ``limit`` threads that have work."""

        def fn(tx: RunControlTx) -> list[Claim]:
            ready = tx.ready_threads(self._clock.now(), limit)
            found = (self._claim(tx, tenant, thread_id) for tenant, thread_id in ready)
            return [claimed for claimed in found if claimed is not None]

        return await self._store.write(fn)

    def _claim(self, tx: RunControlTx, tenant: str, thread_id: str) -> Claim | None:
        now = self._clock.now()
        thread = tx.thread(tenant, thread_id)
        head = tx.head(thread) if thread else None
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
        """Move the run to the next point where something outside is needed."""
        specs = claimed.specs
        if specs is None:
            lost = Failure(RetryClass.FATAL, "PIN_LOST", "the pinned specification is gone")
            await self.fail(claimed, lost)
            return Ended()

        def fn(tx: RunControlTx) -> Next:
            before = self._owned(tx, claimed)
            after, following = advance(before, claimed.fence, specs, trace)
            commit(tx, before, after)
            return following

        return await self._store.write(fn)

    async def record(self, claimed: Claim, kinds: tuple[Kind, ...]) -> int:
        """Append what the model streams; answer the run's newest sequence."""

        def fn(tx: RunControlTx) -> int:
            before = self._owned(tx, claimed)
            return commit(tx, before, record(before, claimed.fence, kinds)).run.event_seq

        return await self._store.write(fn)

    async def answered(self, claimed: Claim, specs: Specs, answer: ModelAnswer, trace: str) -> Next:
        """Commit the model's answer and move on, in one transaction."""

        def fn(tx: RunControlTx) -> Next:
            before = self._owned(tx, claimed)
            committed = commit_answer(before, claimed.fence, answer, specs, trace)
            after, following = advance(committed, claimed.fence, specs, trace)
            commit(tx, before, after)
            return following

        return await self._store.write(fn)

    async def fetched(
        self,
        claimed: Claim,
        request: FetchRequest,
        messages: tuple[FetchedMessage, ...],
        trace: str,
    ) -> None:
        """Give a call what its wait came to."""

        def fn(tx: RunControlTx) -> None:
            before = self._owned(tx, claimed)
            before.require_owner(claimed.fence)
            call = before.find_call(request.call_id)
            arrived = before.wake_of(call.condition_id) if call else None
            if call is None or arrived is None:
                return
            seen = tx.shown(call.tenant, call.run_id, request.pool_id, request.message_ids)
            commit(tx, before, take(before, call, arrived, Take(messages, seen), trace))

        await self._store.write(fn)

    async def fail(self, claimed: Claim, failure: Failure) -> None:
        """End the attempt: the run is tried again later, or is over."""
        draw = self._draw()

        def fn(tx: RunControlTx) -> None:
            before = self._owned(tx, claimed)
            before.require_owner(claimed.fence)
            commit(tx, before, fail_attempt(before, failure, draw))

        await self._store.write(fn)

    async def hand_back(self, claimed: Claim) -> None:
        """Give the run back unfinished; the attempt does not count."""

        def fn(tx: RunControlTx) -> None:
            before = self._owned(tx, claimed)
            before.require_owner(claimed.fence)
            commit(tx, before, hand_off(before))

        await self._store.write(fn)

    async def conversation(self, claimed: Claim) -> list[Message]:
        """What the model is asked with, the agent's instructions excluded."""
        run = claimed.run
        return await self._store.read(lambda view: view.conversation(run.tenant, run.thread_id))

    async def renew(self, held: frozenset[LeaseKey]) -> list[Lease]:
        """Extend the leases of what this server executes; answer them, with the cancels asked for.

        A lease under which nothing executes any more is left to lapse: only then is its run freed.
        """
        until = self._clock.now() + timedelta(seconds=LEASE_S)
        return await self._store.write(lambda tx: tx.renew(self._instance_id, held, until))

    async def reclaim_all(self) -> int:
        """Free what a dead owner held; only for the sole owner of a store, before it claims."""
        return await self._store.write(lambda tx: self._reclaim(tx, tx.leases()))

    async def reclaim_lapsed(self) -> int:
        """Free what was not renewed in time; answer how many.

        Each in a transaction of its own: other servers sweep as well, and none may hold up another.
        """
        lapsed = await self._store.write(lambda tx: tx.lapsed(self._clock.now(), SWEEP_LIMIT))
        freed = [await self._store.write(partial(self._reclaim_lapsed, lease)) for lease in lapsed]
        return sum(freed)

    def _reclaim_lapsed(self, lapsed: Lease, tx: RunControlTx) -> int:
        before = load_owned(tx, lapsed.tenant, lapsed.run_id, self._clock.now())
        # Meanwhile another server may have freed it, the next owner hold it, or its own renew it.
        if before.lease is None or before.lease.until > before.now:
            return 0
        return self._reclaim(tx, [before.lease])

    def _reclaim(self, tx: RunControlTx, leases: list[Lease]) -> int:
        lost = Failure(RetryClass.CRASH, "LEASE_LOST", "the executing server was lost")
        for lease in leases:
            before = load_owned(tx, lease.tenant, lease.run_id, self._clock.now())
            commit(tx, before, fail_attempt(before, lost, self._draw()))
        return len(leases)

    async def expire_due(self) -> int:
        """End idle runs whose deadline has passed; answer how many were due."""

        def fn(tx: RunControlTx) -> int:
            now = self._clock.now()
            due = tx.due_runs(now, SWEEP_LIMIT)
            for tenant, run_id in due:
                before = load_owned(tx, tenant, run_id, now)
                commit(tx, before, expire(before))
            return len(due)

        return await self._store.write(fn)

    def settle(self, tx: ThreadTx, command: PoolCommand, answer: Answer) -> None:
        """Apply the pool's answer to a command, in the transaction that closes its row."""
        before = tx.load(command.tenant, command.run_id, self._clock.now())
        if before is None or before.run.state is RunState.DONE:
            return
        commit(tx, before, answer_call(before, command, answer, self._ids))

    def _owned(self, tx: ThreadTx, claimed: Claim) -> Work:
        return load_owned(tx, claimed.run.tenant, claimed.run.run_id, self._clock.now())
