"""The agent loop: questions, answers, tool calls of every sort, and how runs end."""

from __future__ import annotations

import pytest

from services.content.model import Approval, Role, ToolResult
from services.runcontrol.core.cancelling import CancelOutcome
from services.runcontrol.core.commands import (
    Answered,
    JoinCommand,
    RefusedForGood,
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
from tests.unit.runcontrol.world import ASK_TOOL, World, agent

SEND = ("pool_send", '{"body": "hi", "pool_id": "room"}')


def termination(world: World) -> TerminationReason:
    ended = world.run().termination
    assert ended is not None
    return ended.reason


def test_a_plain_answer_ends_the_run() -> None:
    # given a run whose model answers
    world = World()

    # when it is executed
    _, following = world.start()

    # then it has ended naturally and its thread is free
    assert following == Ended()
    assert termination(world) is TerminationReason.NATURAL_END
    assert (world.run().output_text, world.run().rounds) == ("done", 1)
    assert (world.thread().active_run_id, world.thread().open_run_id) == ("", "")
    assert world.store.tables.leases == {}


def test_input_is_read_when_the_first_step_begins() -> None:
    # given a submitted run
    world = World()
    world.submit(text="what now?")
    claimed = world.claim_one()

    # when it begins
    following = world.advance(claimed)

    # then its input is part of the conversation, once
    assert following == Infer(1)
    assert [m.text for m in world.prompt()] == ["what now?"]
    assert [i.state for i in world.store.tables.inputs.values()] == [InputState.CONSUMED]
    assert world.advance(claimed) == Infer(1)
    assert len(world.prompt()) == 1


@pytest.mark.parametrize(
    ("tool_id", "arguments", "result"),
    [
        ("unknown", "{}", "there is no tool unknown"),
        ("pool_send", "[1]", "the arguments are not a JSON object"),
        ("pool_send", "{", "the arguments are not a JSON object"),
        ("never", "{}", "denied by policy"),
        ("remote", "{}", "no worker serves tool remote"),
        ("pool_send", "{}", "bad arguments: pool_id is required: the run has joined no pool"),
        ("ask_human", "{}", "bad arguments: question is required"),
    ],
)
def test_a_call_that_cannot_be_made_is_an_error_the_model_reads(
    tool_id: str, arguments: str, result: str
) -> None:
    # given a run whose model asks for something impossible
    world = World()

    # when its answer is committed
    claimed, following = world.start((tool_id, arguments))

    # then the call has failed with the reason and the model is asked again
    assert following == Infer(2)
    assert (world.call().state, world.call().result) == (CallState.FAILED, result)
    last = world.prompt()[-1]
    assert (last.role, last.parts) == (Role.TOOL, (ToolResult("m0", result, is_error=True),))
    assert world.answer(claimed) == Ended()


def test_a_call_to_the_pool_parks_the_run_until_it_is_answered() -> None:
    # given a run that sends a message
    world = World()
    claimed, following = world.start(SEND)

    # when the pool answers
    assert following == Parked()
    assert [r.kind for r in world.run().waiting] == [WaitingKind.TOOL]
    command = world.command()
    world.settle(command, Answered('{"message_id": "m"}'))

    # then the call has its receipt and the run goes on
    assert isinstance(command, SendCommand)
    assert command.call_id == f"{claimed.run.run_id}.1.0"
    assert (world.call().state, world.call().result) == (
        CallState.SUCCEEDED,
        '{"message_id": "m"}',
    )
    again = world.claim_one()
    assert world.last_event(RunResumed).causes == ("tool_result",)
    assert world.advance(again) == Infer(2)


def test_an_answer_that_comes_while_the_run_executes_is_found_by_it() -> None:
    # given a run whose two calls were sent, and which executes again for the first answer
    world = World()
    world.start(SEND, SEND)
    first, second = world.command(0), world.command(1)
    world.settle(first, Answered("{}"))
    claimed = world.claim_one()

    # when the second answer comes now, and both once more
    world.settle(second, Answered("{}"))
    for repeated in (first, second):
        world.settle(repeated, RefusedForGood("LATE", "late"))

    # then nothing had to be queued, and the answers count once
    assert world.run().state is RunState.RUNNING
    assert world.advance(claimed) == Infer(2)
    assert world.kinds().count("ToolCallSettled") == 2


def test_an_answer_joins_the_continuation_that_is_queued() -> None:
    # given a parked run with two calls
    world = World()
    world.start(SEND, SEND)

    # when both are answered before it is claimed
    world.settle(world.command(0), Answered("{}"))
    world.settle(world.command(1), Answered("{}"))

    # then one continuation has both causes
    claimed = world.claim_one()
    assert [cause.kind for cause in claimed.causes] == ["tool_result", "tool_result"]
    assert world.claim() == []


def test_a_refusal_for_good_is_the_calls_failure() -> None:
    # given a run that sends a message
    world = World()
    world.start(SEND)

    # when the pool will never take it
    world.settle(world.command(), RefusedForGood("POOL_NOT_FOUND", "no such pool"))

    # then the model reads why
    assert world.call().state is CallState.FAILED
    assert world.call().result == '{"error": "POOL_NOT_FOUND", "message": "no such pool"}'


def test_an_answer_for_a_finished_or_unknown_run_is_dropped() -> None:
    # given a run that was cancelled with a call under way
    world = World()
    world.start(SEND)
    command = world.command()
    world.cancel(run_id=world.run().run_id)
    before = world.store.tables.events

    # when the pool answers after all
    world.settle(command, Answered("{}"))
    world.store.tables.runs.clear()
    world.settle(command, Answered("{}"))

    # then nothing happens
    assert world.store.tables.events == before


def test_a_join_asked_for_at_submit_comes_before_the_first_step() -> None:
    # given a run that is to join a pool
    world = World()
    world.submit(pool="room")
    claimed = world.claim_one()

    # when it is executed, and the join answered
    parked = world.advance(claimed)
    command = world.command()
    world.settle(command, Answered('{"joined": true}', "c0"))
    following = world.advance(world.claim_one())

    # then it has joined before its first question, and no model reads of it
    assert (parked, following) == (Parked(), Infer(1))
    assert isinstance(command, JoinCommand)
    assert (command.pool_id, command.agent_id) == ("room", "helper")
    assert [m.text for m in world.prompt()] == ["go"]
    (membership,) = world.store.tables.memberships.values()
    assert (membership.pool_id, membership.cursor) == ("room", "c0")


def test_a_refused_join_ends_the_run() -> None:
    # given a run that is to join a pool
    world = World()
    world.submit(pool="room")
    world.advance(world.claim_one())

    # when the pool refuses
    world.settle(world.command(), RefusedForGood("POOL_NOT_FOUND", "no such pool"))
    following = world.advance(world.claim_one())

    # then the run ends before it has asked anything
    ended = world.run().termination
    assert following == Ended()
    assert ended is not None
    assert (ended.reason, ended.error_reason) == (TerminationReason.ERROR, "JOIN_REFUSED")


def test_a_second_join_keeps_the_place_in_the_log() -> None:
    # given a run in a pool
    world = World()
    world.in_pool(("pool_join", '{"pool_id": "room", "topics": ["news"]}'))

    # when it joins again
    command = world.command()
    world.settle(command, Answered("{}", "c9"))

    # then nothing it has not read is skipped
    assert isinstance(command, JoinCommand)
    assert command.topics == ("news",)
    (membership,) = world.store.tables.memberships.values()
    assert membership.cursor == "c0"


def test_the_pool_may_be_left_out_when_there_is_one() -> None:
    # given a run in a pool
    world = World()

    # when it sends, responds and waits without naming the pool
    world.in_pool(
        ("pool_send", '{"body": {"a": 1}, "to": {"agent_id": "other"}}'),
        ("pool_respond", '{"message_id": "m", "body": "yes"}'),
        ("pool_wait", '{"reply_to": "m", "timeout_s": 2}'),
    )
    send, respond, wait = (world.command(i) for i in (-3, -2, -1))

    # then the pool it has joined is meant
    assert isinstance(send, SendCommand)
    assert (send.pool_id, send.to_agent_id, send.body, send.media_type) == (
        "room",
        "other",
        '{"a": 1}',
        "application/json",
    )
    assert isinstance(respond, RespondCommand)
    assert (respond.message_id, respond.body, respond.media_type) == ("m", "yes", "text/plain")
    assert isinstance(wait, SuspendCommand)
    assert (wait.reply_to, wait.timeout_s, wait.after) == ("m", 2.0, "c0")
    assert wait.condition_id == wait.call_id


def test_the_last_allowed_round_keeps_its_partial_answer() -> None:
    # given an agent with one round
    world = World(agent(max_rounds=1))

    # when its model asks for a tool in it
    _, following = world.start(("unknown", "{}"))

    # then the run is complete, with its call answered
    assert following == Ended()
    assert termination(world) is TerminationReason.MAX_ROUNDS
    assert world.prompt()[-1].role is Role.TOOL


def test_a_token_budget_ends_the_run_between_two_questions() -> None:
    # given a budget of fifteen tokens, which one answer uses up
    world = World(agent(max_total_tokens=15))

    # when the model wants to go on
    _, following = world.start(("unknown", "{}"))

    # then it may not
    assert following == Ended()
    assert termination(world) is TerminationReason.TOKEN_BUDGET


def test_a_budget_that_is_not_used_up_changes_nothing() -> None:
    # given a budget of sixteen tokens
    world = World(agent(max_total_tokens=16))

    # when one answer has used fifteen
    _, following = world.start(("unknown", "{}"))

    # then the model is asked again
    assert following == Infer(2)


@pytest.mark.parametrize(
    ("rules", "tool_id", "state"),
    [
        ((Rule("pool_send", Approval.ASK),), "pool_send", CallState.GATED),
        ((Rule("*", Approval.DENY),), "pool_send", CallState.FAILED),
        (
            (Rule("pool_send", Approval.ALLOW), Rule("*", Approval.DENY)),
            "pool_send",
            CallState.DISPATCHED,
        ),
        ((Rule("other", Approval.DENY),), "pool_send", CallState.DISPATCHED),
        ((Rule("*", Approval.ALLOW),), ASK_TOOL, CallState.GATED),
    ],
    ids=["rule asks", "rule denies", "first rule fits", "no rule fits", "tool is stricter"],
)
def test_the_stricter_of_rule_and_tool_decides(
    rules: tuple[Rule, ...], tool_id: str, state: CallState
) -> None:
    # given an agent with rules
    world = World(agent(*rules))

    # when its model calls a tool
    world.start((tool_id, '{"body": "hi", "pool_id": "room"}'))

    # then the stricter of the first rule that fits and the tool holds
    assert world.call().state is state


def test_a_cancel_settles_everything_the_run_left_open() -> None:
    # given a run with a call under way, one that waits for approval and one that is settled
    world = World()
    world.start(SEND, (ASK_TOOL, '{"body": "hi", "pool_id": "room"}'), ("unknown", "{}"))

    # when it is cancelled
    cancelled = world.cancel(run_id=world.run().run_id, reason="enough")

    # then what may have happened is said to be unknown, and every call has its result
    states = [c.state for c in world.store.tables.calls.values()]
    assert cancelled.outcome is CancelOutcome.CANCELLED
    assert states == [CallState.UNKNOWN, CallState.CANCELLED, CallState.FAILED]
    assert world.last_event(RunFinished).unknown_call_ids == (world.call(0).call_id,)
    assert (world.ticket().state, world.ticket().void_reason) == (TicketState.VOID, "cancelled")
    assert len(world.prompt()[-1].parts) == 3


def test_a_cancel_before_the_start_drops_the_input() -> None:
    # given a queued run
    world = World()
    submitted = world.submit()

    # when it is cancelled by its dispatch
    cancelled = world.cancel(dispatch_id=submitted.dispatch_id)

    # then nobody will read what was said
    assert cancelled.outcome is CancelOutcome.CANCELLED
    assert [i.state for i in world.store.tables.inputs.values()] == [InputState.DROPPED]
    assert world.prompt() == []


def test_a_queued_run_is_cancelled_without_touching_the_running_one() -> None:
    # given a running run and a queued one behind it
    world = World()
    first = world.submit(thread_id="t")
    second = world.submit(thread_id="t")
    claimed = world.claim_one()

    # when the queued one is cancelled
    world.cancel(run_id=second.run_id)

    # then the other one is still the thread's
    assert world.thread().active_run_id == first.run_id
    assert world.advance(claimed) == Infer(1)


def test_a_running_run_is_asked_to_end_and_does() -> None:
    # given a run that executes
    world = World()
    submitted = world.submit(thread_id="t")
    claimed = world.claim_one()
    world.advance(claimed)

    # when its thread is cancelled, twice
    first = world.cancel(thread_id="t", reason="enough")
    second = world.cancel(thread_id="t", reason="again")
    (lease,) = world.store.tables.leases.values()
    following = world.advance(claimed)
    third = world.cancel(run_id=submitted.run_id)
    idle = world.cancel(thread_id="t")

    # then its owner learns of it and ends it, with the first reason
    assert (first.outcome, second.outcome) == (
        CancelOutcome.CANCELLING,
        CancelOutcome.CANCELLING,
    )
    assert lease.cancel_requested
    assert following == Ended()
    assert third.outcome is CancelOutcome.ALREADY_DONE
    assert (idle.outcome, idle.run) == (CancelOutcome.NOTHING_ACTIVE, None)
    ended = world.run().termination
    assert ended is not None
    assert ended.message == "enough"


def test_what_is_not_there_cannot_be_cancelled() -> None:
    # given nothing
    world = World()

    # when a dispatch and a thread are cancelled
    # then neither is found
    with pytest.raises(DispatchNotFoundError):
        world.cancel(dispatch_id="none")
    with pytest.raises(ThreadNotFoundError):
        world.cancel(thread_id="none")


def test_a_result_is_settled_only_once() -> None:
    # given a run with one call, which the pool answered
    world = World()
    world.start(SEND)
    world.settle(world.command(), Answered("first"))

    # when the run goes on to its end
    claimed = world.claim_one()
    world.advance(claimed)
    world.answer(claimed)

    # then there is one result
    assert world.last_event(ToolCallSettled).result == "first"
    assert world.kinds().count("ToolCallSettled") == 1
