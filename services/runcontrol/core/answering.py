"""Applying the answer to a command to the call that sent the command."""

from __future__ import annotations

import json

from services.chassis.ids import IdSource
from services.runcontrol.core.commands import (
    AckCommand,
    CancelRunCommand,
    CancelWakeCommand,
    Command,
    CommandOutcome,
    CommandRefusal,
    CommandResult,
    JoinCommand,
    RunEndedCommand,
    StartRunCommand,
    SuspendCommand,
)
from services.runcontrol.core.events import RunWoken
from services.runcontrol.core.exchange import Call, CallState, Membership
from services.runcontrol.core.finishing import settle_call
from services.runcontrol.core.model import Cause, RunState
from services.runcontrol.core.parking import resolve
from services.runcontrol.core.work import Work


def answer_call(work: Work, command: Command, outcome: CommandOutcome, ids: IdSource) -> Work:
    """Settle the call with the answer; queue the continuation of a run that waits for it.

    The answer to a wait's registration settles nothing, since the wait ends with a wake; nor does
    the start of a run whose end is waited for, nor the answer to an acknowledgement or a cancel. A
    settled call keeps its result: an answer may arrive twice, or after a cancel.
    """
    call = work.find_call(command.call_id)
    silent = isinstance(command, AckCommand | CancelRunCommand | CancelWakeCommand)
    if call is None or call.settled or silent:
        return work
    if _still_waits(call, command, outcome):
        return work
    if isinstance(command, RunEndedCommand):
        state = CallState.SUCCEEDED if command.completed else CallState.FAILED
        work = settle_call(work, call, state, command.result)
    elif isinstance(outcome, CommandResult):
        work = _remember_join(work, command, outcome)
        work = settle_call(work, call, CallState.SUCCEEDED, outcome.result)
    else:
        work = settle_call(work, call, CallState.FAILED, _refusal(call, outcome))
    if work.run.state is RunState.WAITING:
        work = work.emit(RunWoken("tool_result", call.call_id, None, call.traceparent))
    return resolve(work, call.call_id, Cause("tool_result", "", call.traceparent), ids)


def _refusal(call: Call, refused: CommandRefusal) -> str:
    """What a model reads of a refusal; of a call that no model made, what people read."""
    if not call.model_call_id:
        return f"the pool refused the join: {refused.message} ({refused.reason})"
    return json.dumps({"error": refused.reason, "message": refused.message})


def _still_waits(call: Call, command: Command, outcome: CommandOutcome) -> bool:
    carried_out = isinstance(outcome, CommandResult)
    if isinstance(command, StartRunCommand):
        return carried_out and command.wait
    if isinstance(command, SuspendCommand):
        return carried_out or call.condition_id != command.condition_id
    return False


def _remember_join(work: Work, command: Command, outcome: CommandResult) -> Work:
    if not isinstance(command, JoinCommand) or work.membership(command.pool_id) is not None:
        return work
    run = work.run
    joined = Membership(run.tenant, run.run_id, command.pool_id, outcome.cursor)
    return work.with_membership(joined)
