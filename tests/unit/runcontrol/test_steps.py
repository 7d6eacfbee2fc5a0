"""The agent loop: model calls, answers, tool calls of every kind, and the ends of runs."""

from __future__ import annotations

import pytest

from services.content.model import Approval, Role, ToolResult
from services.runcontrol.core.cancelling import CancelOutcome
from services.runcontrol.core.commands import (
    CommandRefusal,
    CommandResult,
    JoinCommand,
    RespondCommand,
    SendCommand,
    SuspendCommand,
)
from services.runcontrol.core.errors import DispatchNotFoundError, ThreadNotFoundError
from services.runcontrol.core.events import RunFinished, RunResumed, ToolCallSettled
from services.runcontrol.core.exchange import CallState, TicketState
from services.runcontrol.core.model import InputState, RunState, TerminationReason, WaitingKind
from services.runcontrol.core.specs import Rule
from services.runcontrol.core.stepping import Ended, Infer, Parked
from tests.unit.runcontrol.in_memory_runcontrol import (
    GUARDED_SEND,
    JOINED,
    SEND,
    InMemoryRunControl,
    agent,
)

OK = CommandResult("{}")
NO_POOL = CommandRefusal("POOL_NOT_FOUND", "no such pool")


def test_a_plain_answer_ends_the_run(system: InMemoryRunControl) -> None:
    # given a run whose model answers
    # when it is executed
    _, following = system.start()

    # then it has ended naturally and its thread is free
    assert following == Ended()
    assert system.termination().reason is TerminationReason.NATURAL_END
    assert (system.run().output_text, system.run().rounds) == ("done", 1)
    assert (system.thread().active_run_id, system.thread().open_run_id) == ("", "")
    assert system.tables.leases == {}


def test_input_is_read_when_the_first_step_begins(system: InMemoryRunControl) -> None:
    # given a submitted run
    claimed = system.claim_new(text="what now?")

    # when it begins
    following = system.advance(claimed)

    # then its input is in the conversation once
    assert following == Infer(1)
    assert [m.text for m in system.prompt()] == ["what now?"]
    assert [i.state for i in system.tables.inputs.values()] == [InputState.CONSUMED]
    assert system.advance(claimed) == Infer(1)
    assert len(system.prompt()) == 1


@pytest.mark.parametrize(
    ("tool_id", "arguments", "result"),
    [
        ("unknown", "{}", "there is no tool unknown"),
        ("pool_send", "[1]", "the arguments are not a JSON object"),
        ("pool_send", "{", "the arguments are not a JSON object"),
        ("never", "{}", "denied by policy"),
        ("pool_send", "{}", "bad arguments: pool_id is required: the run has joined no pool"),
        ("ask_human", "{}", "bad arguments: question is required"),
    ],
)
def test_an_impossible_call_fails_and_the_model_is_called_again(
    system: InMemoryRunControl, tool_id: str, arguments: str, result: str
) -> None:
    # given a run whose model asks for an impossible call
    # when its answer is committed
    claimed, following = system.start((tool_id, arguments))

    # then the call has failed with the reason, and the model is called again
    assert following == Infer(2)
    assert (system.call().state, system.call().result) == (CallState.FAILED, result)
    last = system.prompt()[-1]
    assert (last.role, last.parts) == (Role.TOOL, (ToolResult("m0", result, is_error=True),))
    assert system.answer(claimed) == Ended()


def test_a_call_to_the_pool_parks_the_run_until_it_is_answered(system: InMemoryRunControl) -> None:
    # given a run that sends a message
    claimed, following = system.start(SEND)

    # when the pool answers
    assert following == Parked()
    assert [r.kind for r in system.run().waiting] == [WaitingKind.TOOL]
    command = system.command()
    system.settle(command, CommandResult('{"message_id": "m"}'))

    # then the call has its receipt, and the run continues
    assert isinstance(command, SendCommand)
    assert command.call_id == f"{claimed.run.run_id}.1.0"
    assert system.call().state is CallState.SUCCEEDED
    assert system.call().result == '{"message_id": "m"}'
    again = system.claim_one()
    assert system.last_event(RunResumed).causes == ("tool_result",)
    assert system.advance(again) == Infer(2)


def test_an_answer_is_applied_while_the_run_executes(system: InMemoryRunControl) -> None:
    # given a run whose two calls were sent, and which executes again for the first answer
    system.start(SEND, SEND)
    first, second = system.command(0), system.command(1)
    system.settle(first, OK)
    claimed = system.claim_one()

    # when the second answer comes now, and both once more
    system.settle(second, OK)
    for repeated in (first, second):
        system.settle(repeated, CommandRefusal("LATE", "late"))

    # then no continuation was queued, and each answer counts once
    assert system.run().state is RunState.RUNNING
    assert system.advance(claimed) == Infer(2)
    assert system.kinds().count("ToolCallSettled") == 2


def test_one_continuation_has_the_causes_of_both_answers(system: InMemoryRunControl) -> None:
    # given a parked run with two calls
    system.start(SEND, SEND)

    # when both are answered before it is claimed
    system.settle(system.command(0), OK)
    system.settle(system.command(1), OK)

    # then one continuation has both causes
    claimed = system.claim_one()
    assert [cause.kind for cause in claimed.causes] == ["tool_result", "tool_result"]
    assert system.claim() == []


def test_a_refused_command_fails_its_call(system: InMemoryRunControl) -> None:
    # given a run that sends a message
    system.start(SEND)

    # when the pool refuses it
    system.settle(system.command(), NO_POOL)

    # then the call has failed with the reason
    assert system.call().state is CallState.FAILED
    assert system.call().result == '{"error": "POOL_NOT_FOUND", "message": "no such pool"}'


def test_an_answer_for_a_finished_or_unknown_run_is_dropped(system: InMemoryRunControl) -> None:
    # given a run that was cancelled with a call under way
    system.start(SEND)
    command = system.command()
    system.cancel(run_id=system.run().run_id)
    before = system.tables.events

    # when the pool answers
    system.settle(command, OK)
    system.tables.runs.clear()
    system.settle(command, OK)

    # then nothing changes
    assert system.tables.events == before


def test_the_join_of_a_submission_precedes_the_first_step(system: InMemoryRunControl) -> None:
    # given a run that joins a pool at submit
    claimed = system.claim_new(pool="room")

    # when it is executed, and the join answered
    parked = system.advance(claimed)
    command = system.command()
    system.settle(command, JOINED)
    following = system.advance(system.claim_one())

    # then it has joined before its first model call, and the join is not in the conversation
    assert (parked, following) == (Parked(), Infer(1))
    assert isinstance(command, JoinCommand)
    assert (command.pool_id, command.agent_id) == ("room", "helper")
    assert [m.text for m in system.prompt()] == ["go"]
    (membership,) = system.tables.memberships.values()
    assert (membership.pool_id, membership.cursor) == ("room", "c0")


def test_a_refused_join_ends_the_run(system: InMemoryRunControl) -> None:
    # given a run that joins a pool at submit
    system.advance(system.claim_new(pool="room"))

    # when the pool refuses
    system.settle(system.command(), NO_POOL)
    following = system.advance(system.claim_one())

    # then the run ends before its first model call
    ended = system.termination()
    assert following == Ended()
    assert (ended.reason, ended.error_reason) == (TerminationReason.ERROR, "JOIN_REFUSED")
    assert ended.message == "the pool refused the join: no such pool (POOL_NOT_FOUND)"


def test_a_second_join_keeps_the_cursor(system: InMemoryRunControl) -> None:
    # given a run in a pool
    system.in_pool(("pool_join", '{"pool_id": "room", "topics": ["news"]}'))

    # when it joins again
    command = system.command()
    system.settle(command, CommandResult("{}", "c9"))

    # then its cursor is the first one
    assert isinstance(command, JoinCommand)
    assert command.topics == ("news",)
    (membership,) = system.tables.memberships.values()
    assert membership.cursor == "c0"


def test_the_pool_may_be_left_out_in_a_run_with_one_pool(system: InMemoryRunControl) -> None:
    # given a run in a pool
    # when it sends, responds and waits without naming the pool
    system.in_pool(
        ("pool_send", '{"body": {"a": 1}, "to": {"agent_id": "other"}}'),
        ("pool_respond", '{"message_id": "m", "body": "yes"}'),
        ("pool_wait", '{"reply_to": "m", "timeout_s": 2}'),
    )
    send, respond, wait = (system.command(i) for i in (-3, -2, -1))

    # then its commands name the pool it has joined
    assert isinstance(send, SendCommand)
    assert (send.pool_id, send.to_agent_id) == ("room", "other")
    assert (send.body, send.media_type) == ('{"a": 1}', "application/json")
    assert isinstance(respond, RespondCommand)
    assert (respond.message_id, respond.body, respond.media_type) == ("m", "yes", "text/plain")
    assert isinstance(wait, SuspendCommand)
    assert (wait.reply_to, wait.timeout_s, wait.after) == ("m", 2.0, "c0")
    assert wait.condition_id == wait.call_id


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_rounds": 1}, TerminationReason.MAX_ROUNDS),
        ({"max_total_tokens": 15}, TerminationReason.TOKEN_BUDGET),
        ({"max_total_tokens": 16}, None),
    ],
    ids=["last round", "used-up token budget", "token budget that is not used up"],
)
def test_a_run_ends_at_its_limits_once_its_calls_have_results(
    limit: dict[str, int], reason: TerminationReason | None
) -> None:
    # given an agent with a limit
    system = InMemoryRunControl(agent(**limit))

    # when one answer uses a round and fifteen tokens, and asks for a call
    _, following = system.start(("unknown", "{}"))

    # then the call has a result, and the run has ended if the limit is reached
    ended = system.run().termination
    assert following == (Ended() if reason else Infer(2))
    assert (ended and ended.reason) is reason
    assert system.prompt()[-1].role is Role.TOOL


@pytest.mark.parametrize(
    ("rules", "call", "state"),
    [
        ([Rule("pool_send", Approval.ASK)], SEND, CallState.GATED),
        ([Rule("*", Approval.DENY)], SEND, CallState.FAILED),
        ([Rule("pool_send", Approval.ALLOW), Rule("*", Approval.DENY)], SEND, CallState.DISPATCHED),
        ([Rule("other", Approval.DENY)], SEND, CallState.DISPATCHED),
        ([Rule("*", Approval.ALLOW)], GUARDED_SEND, CallState.GATED),
    ],
    ids=["rule asks", "rule denies", "first rule fits", "no rule fits", "tool is stricter"],
)
def test_the_stricter_approval_of_rule_and_tool_applies(
    rules: list[Rule], call: tuple[str, str], state: CallState
) -> None:
    # given an agent with rules
    system = InMemoryRunControl(agent(*rules))

    # when its model calls a tool
    system.start(call)

    # then the stricter approval of the first matching rule and the tool applies
    assert system.call().state is state


def test_a_cancel_settles_every_open_call(system: InMemoryRunControl) -> None:
    # given a run with a call under way, one that waits for approval and one that is settled
    system.start(SEND, GUARDED_SEND, ("unknown", "{}"))

    # when it is cancelled
    cancelled = system.cancel(run_id=system.run().run_id, reason="enough")

    # then the dispatched call is unknown, and every call has a result
    states = [c.state for c in system.tables.calls.values()]
    assert cancelled.outcome is CancelOutcome.CANCELLED
    assert states == [CallState.UNKNOWN, CallState.CANCELLED, CallState.FAILED]
    assert system.last_event(RunFinished).unknown_call_ids == (system.call(0).call_id,)
    assert (system.ticket().state, system.ticket().void_reason) == (TicketState.VOID, "cancelled")
    assert len(system.prompt()[-1].parts) == 3


def test_a_cancel_before_the_start_drops_the_input(system: InMemoryRunControl) -> None:
    # given a queued run
    submitted = system.submit()

    # when it is cancelled by its dispatch
    cancelled = system.cancel(dispatch_id=submitted.dispatch_id)

    # then the input is dropped
    assert cancelled.outcome is CancelOutcome.CANCELLED
    assert [i.state for i in system.tables.inputs.values()] == [InputState.DROPPED]
    assert system.prompt() == []


def test_cancelling_a_queued_run_leaves_the_running_one(system: InMemoryRunControl) -> None:
    # given a running run and a queued one behind it
    first = system.submit(thread_id="t")
    second = system.submit(thread_id="t")
    claimed = system.claim_one()

    # when the queued one is cancelled
    system.cancel(run_id=second.run_id)

    # then the running one is still the thread's current run
    assert system.thread().active_run_id == first.run_id
    assert system.advance(claimed) == Infer(1)


def test_a_running_run_ends_when_its_owner_sees_the_cancel(system: InMemoryRunControl) -> None:
    # given a run that executes
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)

    # when its thread is cancelled, twice
    first = system.cancel(thread_id="t", reason="enough")
    second = system.cancel(thread_id="t", reason="again")
    (lease,) = system.tables.leases.values()
    following = system.advance(claimed)
    third = system.cancel(run_id=claimed.run.run_id)
    idle = system.cancel(thread_id="t")

    # then its owner ends it, with the first reason
    assert first.outcome is second.outcome is CancelOutcome.CANCELLING
    assert lease.cancel_requested
    assert following == Ended()
    assert third.outcome is CancelOutcome.ALREADY_DONE
    assert (idle.outcome, idle.run) == (CancelOutcome.NOTHING_ACTIVE, None)
    assert system.termination().message == "enough"


def test_cancelling_an_unknown_dispatch_or_thread_is_not_found(system: InMemoryRunControl) -> None:
    # when a dispatch and a thread are cancelled
    # then each is refused as not found
    with pytest.raises(DispatchNotFoundError):
        system.cancel(dispatch_id="none")
    with pytest.raises(ThreadNotFoundError):
        system.cancel(thread_id="none")


def test_a_result_is_settled_only_once(system: InMemoryRunControl) -> None:
    # given a run with one call, which the pool answered
    system.start(SEND)
    system.settle(system.command(), CommandResult("first"))

    # when the run goes on to its end
    system.execute()

    # then there is one result
    assert system.last_event(ToolCallSettled).result == "first"
    assert system.kinds().count("ToolCallSettled") == 1
