"""The agent loop as transitions; each is decided within one transaction.

    INFER: the model is called; its answer is committed with the tool calls it asks for.
    CALLS: every call is moved on as far as it goes. If all are settled, their results become a
    message and the next step begins. If some are not, the run parks. Without calls the run ends,
    unless it has input to read.

Step 0 comes before the first model call; it has the join that a submission requests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.content.model import FinishReason, Message, Role, Text, Usage
from services.runcontrol.core.events import (
    InputConsumed,
    Kind,
    StepEnded,
    StepStarted,
    UsageReported,
)
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.finishing import append_results, finish
from services.runcontrol.core.model import (
    Checkpoint,
    InputState,
    MessageOrigin,
    Phase,
    Run,
    RunState,
    Termination,
    TerminationReason,
)
from services.runcontrol.core.parking import park
from services.runcontrol.core.prompting import has_content
from services.runcontrol.core.resuming import make_way_for_input
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.tool_calls import advance_call, join_call, plan_calls
from services.runcontrol.core.waking import FetchRequest, show_deliveries, to_fetch
from services.runcontrol.core.work import Work


@dataclass(frozen=True, slots=True)
class Infer:
    """The next action is a model call, whose answer is committed as that of ``step``."""

    step: int


@dataclass(frozen=True, slots=True)
class Parked:
    """The run waits until a cause arrives."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is done."""


Next = Infer | FetchRequest | Parked | Ended


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The complete answer of a model call.

    Attributes:
        covers: Run sequences of the first and last delta it repeats; (0, 0) = none.
        model_id: The model that the router chose; "" when it named none.
        refusals: For each call that it asks for why it fails at once, "" for the others.
    """

    message: Message
    finish_reason: FinishReason
    usage: Usage
    covers: tuple[int, int] = (0, 0)
    model_id: str = ""
    refusals: tuple[str, ...] = ()


def advance(work: Work, fence: int, specs: Specs, trace: str) -> tuple[Work, Next]:
    """Move the run on as far as it goes without input from outside; return what it needs next."""
    work.require_owner(fence)
    if work.run.state is RunState.CANCELLING:
        cancelled = Termination(TerminationReason.CANCELLED, work.run.cancel_reason)
        return finish(work, cancelled), Ended()
    if work.now >= work.run.deadline_at:
        text = "the run's deadline passed"
        return finish(work, Termination(TerminationReason.DEADLINE, text)), Ended()
    if work.run.phase is Phase.INFER:
        # The model is called with the conversation as it stands then.
        return _read_inputs(work), Infer(work.run.step)
    if work.run.step == 0 and not work.calls and work.run.pool is not None:
        pool = work.run.pool
        work = join_call(work, pool.pool_id, pool.topics, trace)
    return _settle_calls(work, specs, trace)


def _settle_calls(work: Work, specs: Specs, trace: str) -> tuple[Work, Next]:
    for call in work.calls:
        work = advance_call(work, call, specs, trace)
        if work.run.state is RunState.DONE:
            return work, Ended()
    if (request := _messages_to_fetch(work)) is not None:
        return work, request
    work = make_way_for_input(work, trace)
    if any(not call.settled for call in work.calls):
        return park(work), Parked()
    return _end_step(work, trace)


def _messages_to_fetch(work: Work) -> FetchRequest | None:
    for call in work.calls:
        arrived = work.wake_of(call.condition_id) if call.state is CallState.SUSPENDED else None
        if arrived is not None:
            return to_fetch(call, arrived)
    return None


def _end_step(work: Work, trace: str) -> tuple[Work, Next]:
    run = work.run
    refused = next((c for c in work.calls if c.state is not CallState.SUCCEEDED), None)
    if run.step == 0 and refused is not None:
        ended = Termination(TerminationReason.ERROR, refused.result, "JOIN_REFUSED")
        return finish(work, ended), Ended()
    if run.step > 0:
        work = _show(append_results(work), trace).emit(StepEnded())
    if run.step > 0 and not work.calls and not work.inputs:
        return finish(work, _natural_end(work)), Ended()
    return _start_step(replace(work, calls=(), past_calls=(*work.past_calls, *work.calls)))


def _natural_end(work: Work) -> Termination:
    if work.run.output_text:
        return Termination(TerminationReason.NATURAL_END)
    text = "the model ended its answer without a text or a call"
    # Why it did: it was cut off, or filtered.
    said = [each.finish_reason for each in work.checkpoints if each.step == work.run.step]
    return Termination(TerminationReason.NO_ANSWER, ": ".join([text, *said]))


def _show(work: Work, trace: str) -> Work:
    """Append fetched pool messages to the conversation, after the results of the calls."""
    work, shown = show_deliveries(work, trace)
    for delivery in shown:
        work = work.append(MessageOrigin.POOL, Message(Role.USER, (Text(delivery.body),)))
    return work


def _start_step(work: Work) -> tuple[Work, Next]:
    run = work.run
    if run.rounds >= run.max_rounds:
        text = f"the limit of {run.max_rounds} model calls is reached"
        return finish(work, Termination(TerminationReason.MAX_ROUNDS, text)), Ended()
    spent = run.usage.input_tokens + run.usage.output_tokens
    if run.max_total_tokens and spent >= run.max_total_tokens:
        text = f"the budget of {run.max_total_tokens} tokens is used up"
        return finish(work, Termination(TerminationReason.TOKEN_BUDGET, text)), Ended()
    work = work.on_run(step=run.step + 1, phase=Phase.INFER)
    work = _read_inputs(work).emit(StepStarted())
    return work.on_run(step_seq=work.run.event_seq), Infer(work.run.step)


def _read_inputs(work: Work) -> Work:
    """Append the messages of pending inputs to the conversation and mark them as consumed."""
    consumed = []
    for pending in work.inputs:
        read = replace(pending, state=InputState.CONSUMED, consumed_step=work.run.step)
        consumed.append(read)
        work = work.emit(InputConsumed(pending.input_id))
        for message in pending.messages:
            work = work.append(MessageOrigin.INPUT, message)
    return replace(work, inputs=tuple(consumed))


def record(work: Work, fence: int, kinds: tuple[Kind, ...]) -> Work:
    """Append events of a model call in progress: deltas, resets and the route."""
    work.require_owner(fence)
    for kind in kinds:
        work = work.emit(kind)
    return work


def commit_answer(work: Work, fence: int, answer: ModelAnswer, specs: Specs, trace: str) -> Work:
    """Append the model's answer to the conversation and plan the calls that it asks for."""
    work.require_owner(fence)
    run = work.run
    work = work.append(MessageOrigin.MODEL, answer.message, answer.covers)
    checkpoint = Checkpoint(
        tenant=run.tenant,
        run_id=run.run_id,
        step=run.step,
        message_seq=work.thread.message_seq,
        finish_reason=answer.finish_reason.value,
        usage=answer.usage,
        target_id=specs.agent.target_id,
        model_id=answer.model_id,
        committed_at=work.now,
        traceparent=trace,
    )
    work = replace(work, checkpoints=(*work.checkpoints, checkpoint))
    work = work.with_dispatch(replace(work.claimed(), crashes=0, errors=0, throttles=0))
    work = work.on_run(
        phase=Phase.CALLS,
        rounds=run.rounds + 1,
        usage=run.usage.plus(answer.usage),
        output_text=_output(run, answer.message),
    )
    work = work.emit(UsageReported(answer.usage))
    return plan_calls(work, answer.message.tool_calls, answer.refusals, specs)


def _output(run: Run, answer: Message) -> str:
    """What the run has said: its last text, which calls without a text leave as it is."""
    return (answer.text or run.output_text) if has_content(answer) else ""
