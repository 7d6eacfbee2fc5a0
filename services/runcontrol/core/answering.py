"""What the pool's answer to a command means for the call that sent it."""

from __future__ import annotations

import json

from services.chassis.ids import IdSource
from services.runcontrol.core.commands import (
    AckCommand,
    Answer,
    Answered,
    JoinCommand,
    PoolCommand,
    SuspendCommand,
)
from services.runcontrol.core.events import RunWoken
from services.runcontrol.core.exchange import Call, CallState, Membership
from services.runcontrol.core.finishing import settle_call
from services.runcontrol.core.model import Cause, RunState
from services.runcontrol.core.parking import resolve
from services.runcontrol.core.work import Work


def answer_call(work: Work, command: PoolCommand, answer: Answer, ids: IdSource) -> Work:
    """Settle the call with the pool's answer and let a waiting run continue.

    A registered wait stays open: its end arrives as a wake. An acknowledgement concerns no call.
    A call that has its result keeps it: answers may come twice, or after a cancel.
    """
    call = work.find_call(command.call_id)
    if call is None or call.settled or isinstance(command, AckCommand):
        return work
    if isinstance(command, SuspendCommand) and _still_waits(call, command, answer):
        return work
    if isinstance(answer, Answered):
        work = _remember_join(work, command, answer)
        work = settle_call(work, call, CallState.SUCCEEDED, answer.result)
    else:
        facts = {"error": answer.reason, "message": answer.message}
        work = settle_call(work, call, CallState.FAILED, json.dumps(facts))
    if work.run.state is RunState.WAITING:
        work = work.emit(RunWoken("tool_result", call.call_id, None, call.traceparent))
    return resolve(work, call.call_id, Cause("tool_result", "", call.traceparent), ids)


def _still_waits(call: Call, command: SuspendCommand, answer: Answer) -> bool:
    registered = isinstance(answer, Answered)
    return registered or call.condition_id != command.condition_id


def _remember_join(work: Work, command: PoolCommand, answer: Answered) -> Work:
    if not isinstance(command, JoinCommand) or work.membership(command.pool_id) is not None:
        return work
    run = work.run
    joined = Membership(run.tenant, run.run_id, command.pool_id, answer.cursor)
    return work.with_membership(joined)
