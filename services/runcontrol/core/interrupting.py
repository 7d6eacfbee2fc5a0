"""Interrupting a thread: what executes, waits or is queued on it ends, under a new epoch.

The epoch rises first, so that nothing that was queued under the older one can be claimed. What
executes is asked to end; everything else ends in the same transaction. Input that was not read is
dropped: it was said before the interrupt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from services.runcontrol.core.cancelling import cancel
from services.runcontrol.core.finishing import finish
from services.runcontrol.core.model import RunState, Termination, TerminationReason, Thread
from services.runcontrol.core.ports import ThreadTx
from services.runcontrol.core.succeeding import drop_inputs
from services.runcontrol.core.work import Work, commit, load

REASON = "the thread was interrupted"


@dataclass(frozen=True, slots=True)
class Interruption:
    """What an interrupt stopped.

    Attributes:
        thread: The thread afterwards, under its new epoch.
        superseded: Ids of the dispatches that were queued, in the order of the queue.
        run_id: The run that executed or was open; "" when none did or was.
    """

    thread: Thread
    superseded: tuple[str, ...]
    run_id: str


def interrupt_thread(tx: ThreadTx, thread: Thread, now: datetime) -> Interruption:
    """Interrupt a thread that exists, locked by the transaction, whether or not it has work."""
    current = thread.active_run_id or thread.open_run_id
    queued = tx.queued(thread)
    tx.put_thread(replace(thread, epoch=thread.epoch + 1, updated_at=now))
    ids = dict.fromkeys([*([current] if current else []), *(each.run_id for each in queued)])
    for run_id in ids:
        before = load(tx, thread.tenant, run_id, now)
        commit(tx, before, interrupt(before))
    after = tx.thread(thread.tenant, thread.thread_id) or thread
    return Interruption(after, tuple(each.dispatch_id for each in queued), current)


def interrupt(work: Work) -> Work:
    """End the run as superseded, or ask its owner to end it if it executes."""
    work = drop_inputs(work)
    if work.run.state in (RunState.QUEUED, RunState.WAITING):
        return finish(work, Termination(TerminationReason.SUPERSEDED, REASON))
    return cancel(work, REASON)[0]
