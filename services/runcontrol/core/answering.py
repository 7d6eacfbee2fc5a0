"""Applying the answer to a command to the call that sent the command."""

from __future__ import annotations

import json

from services.chassis.ids import IdSource
from services.runcontrol.core.commands import (
    AckCommand,
    CancelRunCommand,
    CancelWakeCommand,
    CheckCommand,
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
from services.runcontrol.core.waking import Fetched, move_cursor, take_messages
from services.runcontrol.core.work import Work


def answer_call(
    work: Work,
    command: Command,
    outcome: CommandOutcome,
    ids: IdSource,
    seen: frozenset[str] = frozenset(),
) -> Work:
    """Settle the call with the answer; queue the continuation of a run that waits for it.

    The answer to a wait's registration settles nothing, since the wait ends with a wake; nor does
    the start of a run whose end is waited for, nor the answer to an acknowledgement or a cancel. A
    settled call keeps its result: an answer may arrive twice, or after a cancel.

    Args:
        seen: Ids of those messages of the outcome that are in the run's conversation already.
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
        work, result = _carried_out(work, call, command, outcome, seen)
        work = settle_call(work, call, CallState.SUCCEEDED, result)
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


def _carried_out(
    work: Work, call: Call, command: Command, outcome: CommandResult, seen: frozenset[str]
) -> tuple[Work, str]:
    """What the run keeps of the answer, and the result of the call."""
    if isinstance(command, JoinCommand):
        return _remember_join(work, command, outcome), outcome.result
    if isinstance(command, CheckCommand):
        return _take_checked(work, call, command, outcome, seen)
    return work, outcome.result


def _remember_join(work: Work, command: JoinCommand, outcome: CommandResult) -> Work:
    if work.membership(command.pool_id) is not None:
        return work
    run = work.run
    joined = Membership(run.tenant, run.run_id, command.pool_id, outcome.cursor)
    return work.with_membership(joined)


def _take_checked(
    work: Work, call: Call, command: CheckCommand, outcome: CommandResult, seen: frozenset[str]
) -> tuple[Work, str]:
    fetched = Fetched(outcome.messages, seen)
    work, new = take_messages(work, call, command.pool_id, fetched, call.traceparent)
    work = move_cursor(work, command.pool_id, outcome.cursor)
    facts = {**json.loads(outcome.result), "message_ids": [each.message_id for each in new]}
    return work, json.dumps(facts)
