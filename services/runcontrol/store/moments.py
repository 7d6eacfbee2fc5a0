"""Failpoints of run control: moments in the life of a run, each in the transaction that holds it.

| moment | what the transaction holds |
|---|---|
| ``claim`` | a lease for a queued dispatch |
| ``checkpoint`` | a model's answer with its usage |
| ``park`` | a run that gives up its lease and waits |
| ``decide`` | the decision that wins a ticket |
| ``go`` | commands to the pool, which leave after the commit |
| ``result`` | the end of a call that was sent |

Of a process that is killed there, and of a caller who gets an error there, nothing is left.
``store.committed`` and ``store.answered`` are the same moments after the commit.
"""

from __future__ import annotations

from services.chassis.failpoints import failpoint
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.model import RunState
from services.runcontrol.core.work import Work

CLAIM = failpoint("runcontrol.claim")
CHECKPOINT = failpoint("runcontrol.checkpoint")
PARK = failpoint("runcontrol.park")
DECIDE = failpoint("runcontrol.decide")
GO = failpoint("runcontrol.go")
RESULT = failpoint("runcontrol.result")

ALL = (CLAIM, CHECKPOINT, PARK, DECIDE, GO, RESULT)
_SENT = (CallState.DISPATCHED, CallState.SUSPENDED)


def reach(before: Work, after: Work) -> None:
    """Reach the failpoint of every moment between two states of a run."""
    if before.lease is None and after.lease is not None:
        CLAIM.reach()
    if after.checkpoints != before.checkpoints:
        CHECKPOINT.reach()
    if after.run.state is RunState.WAITING and before.run.state is not RunState.WAITING:
        PARK.reach()
    if _decided(after) - _decided(before):
        DECIDE.reach()
    if after.effects:
        GO.reach()
    sent = {call.call_id for call in before.calls if call.state in _SENT}
    ended = {call.call_id for call in (*after.past_calls, *after.calls) if call.settled}
    if sent & ended:
        RESULT.reach()


def _decided(work: Work) -> set[str]:
    return {ticket.ticket_id for ticket in work.tickets if ticket.winner is not None}
