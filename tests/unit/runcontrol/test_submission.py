"""Accepting runs: which agent, which limits, what a busy thread does, what repeats answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.chassis.caller import LOCAL_PRINCIPAL, Replay, RequestKey
from services.chassis.errors import (
    IdempotencyConflictError,
    InvalidRequestError,
    UnimplementedError,
)
from services.content.model import Message, Role, Text
from services.runcontrol.core.errors import (
    AgentNotFoundError,
    ThreadBusyError,
    ToolNotSupportedError,
)
from services.runcontrol.core.model import Priority, RunState
from services.runcontrol.core.specs import Builtin
from services.runcontrol.core.submission import BusyPolicy, SubmitCommand
from tests.support.clock import START
from tests.unit.runcontrol.world import World, agent, now, tool


def test_a_new_thread_takes_the_agent_of_the_request() -> None:
    # given nothing
    world = World()

    # when a run is submitted without a thread
    submitted = world.submit()

    # then there is one, with a queued run and nothing before it
    assert submitted.running
    assert world.thread().thread_id == submitted.thread_id
    assert world.run().state is RunState.QUEUED
    assert world.kinds() == ["RunQueued", "InputQueued"]


def test_a_thread_remembers_its_agent() -> None:
    # given a thread that has had a run
    world = World()
    world.submit(thread_id="t")

    # when the next one names no agent
    second = world.submit(thread_id="t", agent_id="")

    # then it is the thread's, and waits for its turn
    assert world.run(second.run_id).agent_id == "helper"
    assert not second.running


@pytest.mark.parametrize("thread_id", ["", "fresh"])
def test_without_any_agent_nothing_is_accepted(thread_id: str) -> None:
    # given no thread
    world = World()

    # when a run names no agent
    with pytest.raises(InvalidRequestError) as refused:
        world.submit(agent_id="", thread_id=thread_id)

    # then it is refused, naming the field
    assert [v.field for v in refused.value.violations] == ["agent_id"]
    assert world.store.tables.threads == {}


def test_an_agent_the_registry_does_not_have_is_not_found() -> None:
    # given a registry without that agent
    world = World()

    # when it is asked for
    with pytest.raises(AgentNotFoundError) as refused:
        world.submit(agent_id="nobody")

    # then the error says which and where it was looked for
    assert refused.value.metadata == {"agent_id": "nobody", "version": "7"}


def test_a_tool_this_version_cannot_run_is_refused_before_anything_is_accepted() -> None:
    # given an agent with a tool that is not supported yet
    world = World(agent(tools=(tool("check", Builtin.POOL_CHECK),)))

    # when a run of it is submitted
    with pytest.raises(ToolNotSupportedError) as refused:
        world.submit()

    # then the tool is named and nothing is stored
    assert refused.value.metadata["tool_id"] == "check"
    assert world.store.tables.runs == {}


def test_a_busy_thread_refuses_when_the_caller_wants_an_idle_one() -> None:
    # given a thread with a queued run
    world = World()
    first = world.submit(thread_id="t")

    # when another one must not wait, and another one wants to push it aside
    with pytest.raises(ThreadBusyError) as refused:
        world.submit(thread_id="t", busy_policy=BusyPolicy.REJECT)
    with pytest.raises(UnimplementedError):
        world.submit(thread_id="t", busy_policy=BusyPolicy.INTERRUPT)

    # then both are refused, the first with the run that is in the way
    assert refused.value.metadata["run_id"] == first.run_id
    assert len(world.store.tables.runs) == 1


@pytest.mark.parametrize("state", ["running", "parked"])
def test_a_running_or_parked_thread_is_busy(state: str) -> None:
    # given a thread whose run executes, or waits
    world = World()
    submitted = world.submit(thread_id="t")
    claimed = world.claim_one()
    if state == "parked":
        world.advance(claimed)
        world.answer(claimed, ("ask_human", '{"question": "why?"}'))

    # when an idle one is wanted
    with pytest.raises(ThreadBusyError) as refused:
        world.submit(thread_id="t", busy_policy=BusyPolicy.REJECT)

    # then it is not
    assert refused.value.metadata["run_id"] == submitted.run_id


def test_an_idle_thread_is_free_for_whoever_wants_one() -> None:
    # given a thread whose run has ended
    world = World()
    world.start(thread_id="t")

    # when an idle thread is wanted
    submitted = world.submit(thread_id="t", busy_policy=BusyPolicy.REJECT)

    # then it is
    assert submitted.running


def test_limits_are_the_smaller_of_the_request_and_the_agent() -> None:
    # given an agent with limits
    world = World(agent(max_rounds=4, max_total_tokens=100))

    # when runs ask for more, for less, and for nothing
    for rounds, tokens, expected in [(9, 900, (4, 100)), (2, 20, (2, 20)), (0, 0, (4, 100))]:
        world.submit(max_rounds=rounds, max_total_tokens=tokens)

        # then they get the smaller one
        assert (world.run().max_rounds, world.run().max_total_tokens) == expected


def test_a_deadline_is_at_most_a_day() -> None:
    # given nothing
    world = World()

    # when runs ask for an hour and for a week
    for seconds, expected in [(3600.0, 3600), (604_800.0, 86_400)]:
        world.submit(deadline_s=seconds)

        # then the longer one gets a day
        assert world.run().deadline_at == START + timedelta(seconds=expected)


def test_a_repeat_gets_the_stored_answer_and_changes_nothing() -> None:
    # given an answered request
    world = World()
    command = SubmitCommand((Message(Role.USER, (Text("go"),)),), agent_id="helper")
    key = RequestKey("default", "/m", "r", b"digest")
    now(world.runs.submit(LOCAL_PRINCIPAL, command, key))
    before = world.store.tables.runs

    # when it comes again, and then with other content
    repeat = now(world.runs.submit(LOCAL_PRINCIPAL, command, key))
    other = RequestKey("default", "/m", "r", b"other")
    with pytest.raises(IdempotencyConflictError):
        now(world.runs.submit(LOCAL_PRINCIPAL, command, other))

    # then the first answer is given and there is one run
    assert isinstance(repeat, Replay)
    assert repeat.body.startswith(b"Submitted(")
    assert world.store.tables.runs == before


def test_the_queue_is_served_by_priority_then_arrival() -> None:
    # given runs of three priorities on a thread
    world = World()
    low = world.submit(thread_id="t", priority=Priority.LOW)
    first = world.submit(thread_id="t")
    second = world.submit(thread_id="t")
    high = world.submit(thread_id="t", priority=Priority.HIGH)

    # when they are executed one after the other
    order = []
    for _ in range(4):
        claimed = world.claim_one()
        order.append(claimed.run.run_id)
        world.advance(claimed)
        world.answer(claimed, text="done")

    # then the urgent one went first
    assert order == [high.run_id, first.run_id, second.run_id, low.run_id]


def test_specifications_are_pinned_by_their_content() -> None:
    # given two runs of the same agent
    world = World()
    world.submit()
    world.submit()

    # when what they are pinned to is compared with another agent's
    digests = {run.spec_digest for run in world.store.tables.runs.values()}

    # then they share one copy, and another content has another name
    assert len(digests) == len(world.store.tables.specs) == 1
    assert agent(max_rounds=3).digest() not in digests
