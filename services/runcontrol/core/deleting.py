"""Deleting a thread: its content goes, and a tombstone says when and by whom it was deleted.

    tombstone ──► runs that were queued end, in slices ──► rows go, in slices ──► purged

Once the tombstone is committed nothing of the thread is found, claimed or added; a deletion that
is broken off goes on at any server. Epoch and fence stay in the tombstone and never restart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from services.chassis.caller import Caller, Replay, once
from services.chassis.clock import Clock
from services.chassis.each_row import each_row
from services.runcontrol.core.errors import ThreadNotFoundError
from services.runcontrol.core.finishing import finish
from services.runcontrol.core.limits import MAX_CANCELLED_IDS
from services.runcontrol.core.model import Termination, TerminationReason, Thread
from services.runcontrol.core.ports import Store, ThreadKey, Tx
from services.runcontrol.core.succeeding import drop_inputs
from services.runcontrol.core.work import Work, commit, load

# Of one transaction: others wait meanwhile.
RUNS_AT_ONCE = 20
ROWS_AT_ONCE = 200
THREADS_AT_ONCE = 100

REASON = "the thread was deleted"


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted thread, and the runs that were not done.

    Attributes:
        cancelled: Their ids, oldest first; 1,000 at most.
        count: How many there were.
    """

    thread: Thread
    cancelled: tuple[str, ...]
    count: int


class Deletion:
    """Deletes threads, on request and what is left of earlier deletions."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def delete(self, caller: Caller, thread_id: str) -> Deleted | Replay:
        """Cancel what the thread does and has queued, and delete all but a tombstone.

        To delete a thread again changes nothing.

        Raises:
            ThreadNotFoundError: There is no such thread.
        """
        by = caller.principal.subject
        answer = await self._store.write(
            lambda tx: once(tx, caller, lambda: self._bury(tx, caller.tenant, thread_id, by))
        )
        await self._purge((caller.tenant, thread_id), wait=True)
        await self._store.scrub()
        return answer

    def _bury(self, tx: Tx, tenant: str, thread_id: str, by: str) -> Deleted:
        thread = tx.thread(tenant, thread_id)
        if thread is None:
            raise ThreadNotFoundError.of(thread_id)
        if thread.deleted_at is not None:
            return Deleted(thread, (), 0)
        ids = tx.unfinished(tenant, thread_id, MAX_CANCELLED_IDS)
        count = tx.count_unfinished(tenant, thread_id)
        return Deleted(bury(tx, thread, by, self._clock.now()), tuple(ids), count)

    async def resume(self) -> int:
        """Go on with deletions that were broken off; return how many threads are purged now."""
        left = await self._store.write(lambda tx: tx.deleted_threads(THREADS_AT_ONCE))
        purged = sum(await each_row(left, self._purge, _thread_named))
        if purged:
            await self._store.scrub()
        return purged

    async def _purge(self, key: ThreadKey, *, wait: bool = False) -> int:
        """Delete the rows of a deleted thread; 0 if another server has it and is not waited for."""
        while True:
            done = await self._store.write(partial(self._purge_slice, key, wait))
            if done is not False:
                return 1 if done else 0

    def _purge_slice(self, key: ThreadKey, wait: bool, tx: Tx) -> bool | None:
        """Whether nothing is left; None if another transaction has the thread."""
        thread = tx.thread(*key) if wait or tx.try_lock(*key) else None
        if thread is None or thread.deleted_at is None:
            return None
        if thread.purged:
            return True
        now = self._clock.now()
        unfinished = tx.unfinished(*key, RUNS_AT_ONCE)
        for before in filter(None, (tx.load(key[0], each, now, True) for each in unfinished)):
            commit(tx, before, end(before))
        if unfinished or not tx.purge(thread, now, ROWS_AT_ONCE, RUNS_AT_ONCE):
            return False
        # The runs that ended last have moved it on.
        left = tx.thread(*key) or thread
        tx.put_thread(replace(left, purged=True))
        return True


def bury(tx: Tx, thread: Thread, by: str, now: datetime) -> Thread:
    """Make a tombstone of a thread, locked by the transaction; return it.

    The run that executes or waits ends in this transaction: its owner is fenced, and its lease,
    its wait in a pool and the runs that it has started are let go.
    """
    current = thread.active_run_id or thread.open_run_id
    if current:
        before = load(tx, thread.tenant, current, now)
        thread = commit(tx, before, end(before)).thread
    tombstone = replace(
        thread,
        epoch=thread.epoch + 1,
        agent_id="",
        latest_run_id="",
        ready_at=None,
        updated_at=now,
        deleted_at=now,
        deleted_by=by,
    )
    tx.put_thread(tombstone)
    return tombstone


def end(work: Work) -> Work:
    """End a run of a deleted thread, in any state, and tell those who wait for it."""
    return finish(drop_inputs(work), Termination(TerminationReason.CANCELLED, REASON))


def _thread_named(key: ThreadKey) -> dict[str, object]:
    return {"thread_id": key[1], "work": "deletion"}
