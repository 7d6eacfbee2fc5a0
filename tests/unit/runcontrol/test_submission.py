"""Submission: the agent, the limits, busy threads, and repeated requests."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from services.chassis.caller import Replay
from services.chassis.errors import (
    IdempotencyConflictError,
    InvalidRequestError,
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
from services.wire.snapshot import SnapshotBehindError
from tests.support.callers import LOCAL, keyed
from tests.support.clock import START
from tests.unit.runcontrol.in_memory_runcontrol import (
    QUESTION,
    InMemoryRunControl,
    agent,
    now,
    tool,
)

COMMAND = SubmitCommand((Message(Role.USER, (Text("go"),)),), agent_id="helper")


def test_a_new_thread_takes_the_agent_of_the_request(system: InMemoryRunControl) -> None:
    # when a run is submitted without a thread
    submitted = system.submit()

    # then there is a thread with a queued run and no other work
    assert submitted.running
    assert system.thread().thread_id == submitted.thread_id
    assert system.run().state is RunState.QUEUED
    assert system.kinds() == ["RunQueued", "InputQueued"]


def test_a_thread_keeps_its_agent(system: InMemoryRunControl) -> None:
    # given a thread that has had a run
    system.submit(thread_id="t")

    # when the next one names no agent
    second = system.submit(thread_id="t", agent_id="")

    # then it has the thread's agent, and is queued
    assert system.run(second.run_id).agent_id == "helper"
    assert not second.running


@pytest.mark.parametrize("thread_id", ["", "fresh"])
def test_a_run_without_an_agent_is_refused(system: InMemoryRunControl, thread_id: str) -> None:
    # when a run names no agent
    with pytest.raises(InvalidRequestError) as refused:
        system.submit(agent_id="", thread_id=thread_id)

    # then it is refused, naming the field
    assert [v.field for v in refused.value.violations] == ["agent_id"]
    assert system.tables.threads == {}


def test_an_agent_that_the_registry_does_not_have_is_not_found(system: InMemoryRunControl) -> None:
    # given a registry without that agent
    # when a run of it is submitted
    with pytest.raises(AgentNotFoundError) as refused:
        system.submit(agent_id="nobody")

    # then the error names the agent and the registry version
    assert refused.value.metadata == {"agent_id": "nobody", "version": "7"}


@pytest.mark.parametrize("builtin", Builtin, ids=str)
def test_an_agent_with_a_built_in_tool_is_accepted(builtin: Builtin) -> None:
    system = InMemoryRunControl(agent(tools=(tool("other", builtin),)))

    system.submit()

    assert len(system.tables.runs) == 1


def test_a_tool_that_no_worker_has_served_is_named() -> None:
    # given an agent with a tool that can run, and a tool of workers
    tools = (tool("ask", Builtin.ASK_HUMAN), tool("other"))
    system = InMemoryRunControl(agent(tools=tools))

    # when a run of it is submitted
    with pytest.raises(ToolNotSupportedError) as refused:
        system.submit()

    # then the tool is named, and nothing is stored
    named = {"tool_id": "other", "agent_id": "helper"}
    assert refused.value.metadata.items() >= named.items()
    assert system.tables.runs == {}


@pytest.mark.parametrize("state", ["queued", "running", "parked"])
def test_a_busy_thread_is_refused_when_an_idle_one_is_required(
    system: InMemoryRunControl, state: str
) -> None:
    # given a thread whose run is queued, executes, or waits
    first = system.submit(thread_id="t")
    if state == "running":
        system.claim()
    if state == "parked":
        system.execute(QUESTION)

    # when another one requires an idle thread
    with pytest.raises(ThreadBusyError) as refused:
        system.submit(thread_id="t", busy_policy=BusyPolicy.REJECT)

    # then it is refused, with the id of the thread's run
    assert refused.value.metadata["run_id"] == first.run_id
    assert len(system.tables.runs) == 1


def test_an_idle_thread_is_accepted_when_one_is_required(system: InMemoryRunControl) -> None:
    # given a thread whose run has ended
    system.start(thread_id="t")

    # when an idle thread is required
    submitted = system.submit(thread_id="t", busy_policy=BusyPolicy.REJECT)

    # then it is accepted
    assert submitted.running


def test_limits_are_the_smaller_of_the_request_and_the_agent() -> None:
    # given an agent with limits
    system = InMemoryRunControl(agent(max_rounds=4, max_total_tokens=100))

    # when runs request more, less, and nothing
    for rounds, tokens, expected in [(9, 900, (4, 100)), (2, 20, (2, 20)), (0, 0, (4, 100))]:
        system.submit(max_rounds=rounds, max_total_tokens=tokens)

        # then they get the smaller limit
        assert (system.run().max_rounds, system.run().max_total_tokens) == expected


def test_a_deadline_is_at_most_a_day(system: InMemoryRunControl) -> None:
    # when runs request an hour and a week
    for seconds, expected in [(3600.0, 3600), (604_800.0, 86_400)]:
        system.submit(deadline_s=seconds)

        # then the longer one is shortened to a day
        assert system.run().deadline_at == START + timedelta(seconds=expected)


def test_a_repeated_request_is_answered_and_changes_nothing(system: InMemoryRunControl) -> None:
    # given an answered request
    caller = keyed(LOCAL, "r", b"digest")
    first = now(system.runs.submit(caller, COMMAND))
    before = system.tables.runs

    # when it is repeated, and then sent with other content
    repeat = now(system.runs.submit(caller, COMMAND))
    with pytest.raises(IdempotencyConflictError):
        now(system.runs.submit(keyed(LOCAL, "r", b"other"), COMMAND))

    # then the first answer is returned, and there is one run
    assert repeat == Replay(pickle.dumps(first))
    assert system.tables.runs == before


def test_a_repeat_is_answered_while_the_registry_is_behind(system: InMemoryRunControl) -> None:
    """The retry of a client that lost the answer must not fail."""
    # given an answered request, and a registry that was restored from a backup
    caller = keyed(LOCAL, "r")
    first = now(system.runs.submit(caller, COMMAND))
    system.catalogs.behind = SnapshotBehindError("behind")

    # when it is repeated, and another request is sent
    repeat = now(system.runs.submit(caller, COMMAND))
    with pytest.raises(SnapshotBehindError):
        now(system.runs.submit(keyed(LOCAL, "s"), COMMAND))
    with pytest.raises(SnapshotBehindError):
        now(system.runs.submit(LOCAL, COMMAND))

    # then only the repeat succeeds
    assert repeat == Replay(pickle.dumps(first))
    assert len(system.tables.runs) == 1


def test_the_queue_is_served_by_priority_then_arrival(system: InMemoryRunControl) -> None:
    # given runs of three priorities on a thread
    low = system.submit(thread_id="t", priority=Priority.LOW)
    first = system.submit(thread_id="t")
    second = system.submit(thread_id="t")
    high = system.submit(thread_id="t", priority=Priority.HIGH)

    # when they are executed one after the other
    order = [system.execute()[0].run.run_id for _ in range(4)]

    # then the one with the highest priority was first
    assert order == [high.run_id, first.run_id, second.run_id, low.run_id]


def test_specifications_are_pinned_by_their_content(system: InMemoryRunControl) -> None:
    # given two runs of the same agent
    system.submit()
    system.submit()

    # when their digests are compared with another agent's
    digests = {run.spec_digest for run in system.tables.runs.values()}

    # then they share one copy, and other content has another digest
    assert len(digests) == len(system.tables.specs) == 1
    assert agent(max_rounds=3).digest() not in digests
