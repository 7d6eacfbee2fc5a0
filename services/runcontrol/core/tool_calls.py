"""The transitions of a tool call.

PLANNED -> (GATED) -> READY -> DISPATCHED -> SUCCEEDED | FAILED | CANCELLED | UNKNOWN
                           \\-> SUSPENDED -/

The calls of workers go on from READY by ``worker_calls``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from services.content.model import Approval, EffectClass, ToolCall
from services.runcontrol.core.builtin_tools import (
    BadArgumentsError,
    pool_command,
    question,
)
from services.runcontrol.core.child_runs import start_child
from services.runcontrol.core.commands import Effect, JoinCommand, SuspendCommand
from services.runcontrol.core.events import ToolCallDispatched, ToolCallPlanned
from services.runcontrol.core.exchange import Call, CallState, TicketKind
from services.runcontrol.core.finishing import settle_call
from services.runcontrol.core.forbidding import forbid
from services.runcontrol.core.gating import argument_digest, gate
from services.runcontrol.core.specs import Builtin, Specs
from services.runcontrol.core.tickets import apply_decision, ask_approval, open_ticket
from services.runcontrol.core.waking import Fetched, take_wake, to_fetch
from services.runcontrol.core.work import Work
from services.runcontrol.core.worker_calls import offer

JOIN_CALL_INDEX = 0
_DECIDABLE = frozenset({CallState.GATED, CallState.SUSPENDED, CallState.UNKNOWN})


def call_id(run_id: str, step: int, index: int) -> str:
    """The id of a call, never used again: the idempotency key of its effect."""
    return f"{run_id}.{step}.{index}"


def plan_calls(
    work: Work, requested: tuple[ToolCall, ...], refusals: tuple[str, ...], specs: Specs
) -> Work:
    """Add the calls that the model asks for to the run, before any of them is gated or started.

    Args:
        refusals: For each call why it fails at once, "" for the others.
    """
    for index, wanted in enumerate(requested):
        tool = specs.tool(wanted.tool_id)
        version = tool.version if tool else ""
        call = Call(
            tenant=work.run.tenant,
            call_id=call_id(work.run.run_id, work.run.step, index),
            run_id=work.run.run_id,
            step=work.run.step,
            index=index,
            model_call_id=wanted.call_id,
            tool_id=wanted.tool_id,
            arguments_json=wanted.arguments_json,
            digest=argument_digest(wanted.tool_id, version, wanted.arguments_json),
            effect_class=tool.effect_class if tool else EffectClass.AT_MOST_ONCE,
            planned_at=work.now,
        )
        work = replace(work, calls=(*work.calls, call)).emit(ToolCallPlanned(call))
    for call, refusal in zip(work.calls, refusals, strict=True):
        if refusal:
            work = settle_call(work, call, CallState.FAILED, refusal)
    return work


def advance_call(work: Work, call: Call, specs: Specs, trace: str) -> Work:
    """Take every transition that needs no further event; one of them may end the run."""
    if call.state is CallState.PLANNED:
        work = _gate(work, call, specs, trace)
    call = work.call(call.call_id)
    ticket = work.ticket_of(call.call_id)
    if call.state in _DECIDABLE and ticket is not None:
        work = apply_decision(work, call, ticket, specs, trace)
    elif call.state is CallState.SUSPENDED:
        work = _take_wake_without_messages(work, call, trace)
    call = work.call(call.call_id)
    if call.state is not CallState.READY:
        return work
    work = _start(work, call, specs, trace)
    # The wake may have arrived before the wait: no other one will come for it.
    return _take_wake_without_messages(work, work.call(call.call_id), trace)


def _gate(work: Work, call: Call, specs: Specs, trace: str) -> Work:
    tool = specs.require(call.tool_id)
    if tool.denied_by:
        return forbid(work, call, tool)
    match gate(specs.agent, tool):
        case Approval.DENY:
            return settle_call(work, call, CallState.FAILED, "denied by policy")
        case Approval.ASK:
            return ask_approval(work, call, specs.agent, tool, trace)
        case Approval.ALLOW:
            return work.with_call(replace(call, state=CallState.READY))
        case never:
            assert_never(never)


def _start(work: Work, call: Call, specs: Specs, trace: str) -> Work:
    """Start the effect of a call; the outbox delivers it after the commit."""
    tool = specs.require(call.tool_id)
    if tool.denied_by:
        return forbid(work, call, tool)
    builtin = tool.builtin
    if builtin is None:
        return offer(work, call, tool, trace)
    started = replace(call, attempt=call.attempt + 1, fence=work.thread.fence, traceparent=trace)
    try:
        if builtin is Builtin.ASK_HUMAN:
            return open_ticket(work, started, TicketKind.QUESTION, question(started), trace)
        if builtin is Builtin.START_RUN:
            return start_child(work, started, trace)
        return _send(work, started, builtin, trace)
    except BadArgumentsError as error:
        return settle_call(work, call, CallState.FAILED, f"bad arguments: {error}")


def _send(work: Work, call: Call, builtin: Builtin, trace: str) -> Work:
    command = pool_command(builtin, call, work)
    sent = replace(
        call, state=CallState.DISPATCHED, pool_id=command.pool_id, dispatched_at=work.now
    )
    if isinstance(command, SuspendCommand):
        sent = replace(sent, state=CallState.SUSPENDED, condition_id=command.condition_id)
    work = work.with_call(sent).effect(Effect(command, trace))
    return work.emit(ToolCallDispatched(call.call_id, sent.attempt))


def _take_wake_without_messages(work: Work, call: Call, trace: str) -> Work:
    """Let the call take its wake, if one is there that needs nothing to be fetched."""
    arrived = work.wake_of(call.condition_id) if call.condition_id else None
    if arrived is None or to_fetch(call, arrived) is not None:
        return work
    return take_wake(work, call, arrived, Fetched(), trace)


def join_call(work: Work, pool_id: str, topics: tuple[str, ...], trace: str) -> Work:
    """Start the join that the submission requests: the only call of step 0, and not a model's."""
    run = work.run
    identity = call_id(run.run_id, 0, JOIN_CALL_INDEX)
    command = JoinCommand(
        run.tenant, run.principal, run.run_id, identity, pool_id, run.agent_id, topics
    )
    call = Call(
        tenant=run.tenant,
        call_id=identity,
        run_id=run.run_id,
        step=0,
        index=JOIN_CALL_INDEX,
        model_call_id="",
        tool_id=Builtin.POOL_JOIN.value,
        arguments_json="{}",
        digest=b"",
        effect_class=EffectClass.IDEMPOTENT,
        state=CallState.DISPATCHED,
        attempt=1,
        fence=work.thread.fence,
        pool_id=pool_id,
        traceparent=trace,
        planned_at=work.now,
        dispatched_at=work.now,
    )
    return replace(work, calls=(call,)).effect(Effect(command, trace))
