"""Runs that a run starts with the tool ``start_run``.

start   a command of the parent's outbox submits the child, under an id made of the call's
end     the child's last transaction sends its answer to the call that waits for it
cancel  the end of the parent cancels the children that its calls wait for
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from services.runcontrol.core.builtin_tools import BadArgumentsError, arguments_of, text_of
from services.runcontrol.core.commands import (
    CancelRunCommand,
    Effect,
    RunEndedCommand,
    StartRunCommand,
)
from services.runcontrol.core.events import ToolCallDispatched
from services.runcontrol.core.exchange import Call, CallState
from services.runcontrol.core.limits import MAX_BODY_BYTES, MAX_RUN_DEPTH
from services.runcontrol.core.model import Termination, TerminationReason
from services.runcontrol.core.specs import Builtin
from services.runcontrol.core.work import Work

_ANSWERED = frozenset(
    {
        TerminationReason.NATURAL_END,
        TerminationReason.MAX_ROUNDS,
        TerminationReason.TOKEN_BUDGET,
    }
)


def child_run_id(call: Call) -> str:
    """Derived from the call: a start that is repeated finds the run of the first."""
    return f"r-{hashlib.sha256(call.call_id.encode()).hexdigest()[:32]}"


def start_child(work: Work, call: Call, trace: str) -> Work:
    """Start the run that a call of ``start_run`` asks for.

    Raises:
        BadArgumentsError: The arguments do not match the schema, or runs are nested too deep.
    """
    arguments = arguments_of(Builtin.START_RUN, call)
    if work.run.depth >= MAX_RUN_DEPTH:
        raise BadArgumentsError(f"{MAX_RUN_DEPTH} runs are above this one, which is the limit")
    wait = arguments.get("wait", True)
    if not isinstance(wait, bool):
        raise BadArgumentsError("wait must be true or false")
    started = replace(
        call,
        state=CallState.DISPATCHED,
        child_run_id=child_run_id(call),
        dispatched_at=work.now,
    )
    command = StartRunCommand(
        tenant=call.tenant,
        principal=work.run.principal,
        run_id=call.run_id,
        call_id=call.call_id,
        child_run_id=started.child_run_id,
        agent_id=text_of(arguments, "agent_id", required=True),
        input=_input(arguments),
        depth=work.run.depth + 1,
        deadline_s=(work.run.deadline_at - work.now).total_seconds(),
        pool_id=text_of(arguments, "pool_id"),
        wait=wait,
    )
    work = work.with_call(started).effect(Effect(command, trace))
    return work.emit(ToolCallDispatched(call.call_id, started.attempt))


def _input(arguments: dict[str, Any]) -> str:
    if "input" not in arguments:
        raise BadArgumentsError("input is required")
    value = arguments["input"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not text:
        raise BadArgumentsError("input must not be empty")
    if len(text.encode()) > MAX_BODY_BYTES:
        raise BadArgumentsError(f"input is larger than {MAX_BODY_BYTES} bytes")
    return text


def cancel_child(work: Work, call: Call) -> Work:
    """Cancel the run that an unsettled call has started, if it has."""
    if not call.child_run_id:
        return work
    run = work.run
    command = CancelRunCommand(
        tenant=call.tenant,
        principal=run.principal,
        run_id=call.run_id,
        call_id=call.call_id,
        child_run_id=call.child_run_id,
        reason=f"the run that started it, {run.run_id}, has ended",
    )
    return work.effect(Effect(command, call.traceparent))


def tell_parent(work: Work, termination: Termination) -> Work:
    """Send the answer of a run that has ended to the call that waits for it, if one does."""
    run = work.run
    if not run.parent_call_id:
        return work
    command = RunEndedCommand(
        tenant=run.tenant,
        principal=run.principal,
        run_id=run.parent_run_id,
        call_id=run.parent_call_id,
        completed=termination.reason in _ANSWERED,
        result=_answer(work, termination),
    )
    return work.effect(Effect(command, run.traceparent))


def _answer(work: Work, termination: Termination) -> str:
    """What the model of the parent reads: an object with the answer, or a sentence."""
    run, reason = work.run, termination.reason
    if reason in _ANSWERED:
        facts = {"run_id": run.run_id, "ended": reason.value, "output": run.output_text}
        return json.dumps(facts, ensure_ascii=False)
    why = ", ".join(text for text in (termination.error_reason, termination.message) if text)
    ended = f"run {run.run_id} ended without an answer: {reason.value.replace('_', ' ')}"
    return f"{ended}, {why}" if why else ended
