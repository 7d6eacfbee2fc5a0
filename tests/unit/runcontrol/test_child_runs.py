"""Runs that runs start: their id, what passes down to them, and what comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from services.content.model import Message, Role, Text
from services.runcontrol.core.child_runs import child_run_id
from services.runcontrol.core.commands import (
    CancelRunCommand,
    Command,
    CommandRefusal,
    CommandResult,
    RunEndedCommand,
    StartRunCommand,
    decode_command,
    encode_command,
)
from services.runcontrol.core.deleting import Deletion
from services.runcontrol.core.errors import RunDeletedError
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.model import RunState, TerminationReason, WaitingKind
from services.runcontrol.core.stepping import Infer
from services.runcontrol.core.submission import StartedBy, SubmitCommand
from tests.support.callers import LOCAL
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now

START = ("start_run", '{"agent_id": "helper", "input": "count the ships"}')
DETACHED = ("start_run", '{"agent_id": "helper", "input": "count the ships", "wait": false}')
STARTED = CommandResult('{"run_id": "r", "thread_id": "t"}')


def parent_of_a_child(system: InMemoryRunControl) -> tuple[StartRunCommand, str]:
    """A run that has started a child; the command, and the id of the run that waits."""
    system.start(START)
    command = system.command()
    assert isinstance(command, StartRunCommand)
    return command, command.run_id


def submit_child(system: InMemoryRunControl, command: StartRunCommand) -> None:
    """What the delivery of the command does."""
    system.submit(
        text=command.input,
        deadline_s=command.deadline_s,
        started_by=StartedBy(command.child_run_id, command.run_id, command.call_id, command.depth),
    )


def ended(system: InMemoryRunControl) -> RunEndedCommand:
    command = system.command()
    assert isinstance(command, RunEndedCommand)
    return command


def test_a_call_starts_a_run_under_an_id_of_its_own_and_waits_for_it(
    system: InMemoryRunControl,
) -> None:
    # given a run with an hour left
    command, parent = parent_of_a_child(system)

    # then the command says who, what and how long
    assert (command.agent_id, command.input, command.depth) == ("helper", "count the ships", 1)
    assert (command.wait, command.deadline_s) == (True, 86_400.0)
    assert command.child_run_id == child_run_id(system.call())
    assert system.call().child_run_id == command.child_run_id
    assert decode_command(command.kind, encode_command(command)) == command

    # and the parent is parked, also once the child is there
    system.settle(command, STARTED)
    assert system.run(parent).state is RunState.WAITING
    assert [reason.kind for reason in system.run(parent).waiting] == [WaitingKind.TOOL]
    assert system.call().state is CallState.DISPATCHED


def test_the_answer_of_the_child_is_the_result_of_the_call(system: InMemoryRunControl) -> None:
    # given a child of a run
    command, parent = parent_of_a_child(system)
    submit_child(system, command)
    system.settle(command, STARTED)

    # when it ends with an answer
    system.execute()
    end = ended(system)
    system.settle(end, CommandResult(""))

    # then the call has it, and the parent continues
    result = {"run_id": command.child_run_id, "ended": "natural_end", "output": "done"}
    assert json.loads(system.call(0).result) == result
    assert system.call(0).state is CallState.SUCCEEDED
    assert system.run(parent).dispatch_id
    assert decode_command(end.kind, encode_command(end)) == end


def test_a_child_may_end_before_its_start_is_answered(system: InMemoryRunControl) -> None:
    # given a child that has ended, while the answer to its start is on its way
    command, _ = parent_of_a_child(system)
    submit_child(system, command)
    system.execute()
    system.settle(ended(system), CommandResult(""))
    result = system.call(0).result

    # when that answer arrives
    system.settle(command, STARTED)

    # then the result is that of the end
    assert (system.call(0).state, system.call(0).result) == (CallState.SUCCEEDED, result)


def test_a_child_without_an_answer_fails_the_call_with_a_sentence(
    system: InMemoryRunControl,
) -> None:
    # given a child
    command, _ = parent_of_a_child(system)
    submit_child(system, command)

    # when it is cancelled by somebody
    system.cancel(run_id=command.child_run_id, reason="enough")
    system.settle(ended(system), CommandResult(""))

    # then
    sentence = f"run {command.child_run_id} ended without an answer: cancelled, enough"
    assert (system.call(0).state, system.call(0).result) == (CallState.FAILED, sentence)


def test_a_refused_start_fails_the_call(system: InMemoryRunControl) -> None:
    command, _ = parent_of_a_child(system)
    system.settle(command, CommandRefusal("AGENT_NOT_FOUND", "no agent helper"))
    assert system.call().state is CallState.FAILED
    assert "AGENT_NOT_FOUND" in system.call().result


def test_a_call_that_does_not_wait_has_the_id_and_hears_no_more(
    system: InMemoryRunControl,
) -> None:
    # given a run that starts another and goes on
    claimed, _ = system.start(DETACHED)
    command = system.command()
    assert isinstance(command, StartRunCommand)
    assert not command.wait

    # when the other one is there
    system.settle(command, STARTED)

    # then the call has its id, and its end is told to nobody
    assert (system.call().state, system.call().result) == (CallState.SUCCEEDED, STARTED.result)
    system.advance(system.claim_one())
    started_by = StartedBy(command.child_run_id, claimed.run.run_id, "", 1)
    system.submit(started_by=started_by)
    sent = len(system.tables.outbox)
    system.cancel(run_id=command.child_run_id)
    assert len(system.tables.outbox) == sent


@pytest.mark.parametrize("answered", [True, False], ids=["started", "on its way"])
def test_a_cancelled_run_cancels_the_child_it_waits_for(
    system: InMemoryRunControl, *, answered: bool
) -> None:
    # given a run that waits for a child
    command, parent = parent_of_a_child(system)
    if answered:
        system.settle(command, STARTED)

    # when it is cancelled
    system.cancel(run_id=parent)

    # then the child is, behind its start; no effect is unknown
    cancel = system.command()
    assert isinstance(cancel, CancelRunCommand)
    assert cancel.child_run_id == command.child_run_id
    assert cancel.reason == f"the run that started it, {parent}, has ended"
    assert system.call().state is CallState.CANCELLED
    assert decode_command(cancel.kind, encode_command(cancel)) == cancel


def test_the_answer_to_a_cancel_settles_nothing(system: InMemoryRunControl) -> None:
    # given a run that waits for a child
    command, parent = parent_of_a_child(system)
    base = (command.tenant, command.principal, command.run_id, command.call_id)

    # when a cancel of the child is answered
    cancel: Command = CancelRunCommand(*base, command.child_run_id, "why")
    system.settle(cancel, CommandResult(""))

    # then it waits on
    assert system.run(parent).state is RunState.WAITING


def test_a_child_ends_when_its_parent_would(system: InMemoryRunControl) -> None:
    # given a run that starts a child when 10 s are left
    system.submit(deadline_s=3_600.0)
    system.clock.advance(3_590.0)
    system.execute(START)
    command = system.command()

    # then the child has those
    assert isinstance(command, StartRunCommand)
    assert command.deadline_s == 10.0


def test_runs_are_nested_eight_deep_at_most(system: InMemoryRunControl) -> None:
    # given a run with eight above it
    claimed = system.claim_new(started_by=StartedBy("deep", "above", "", 8))
    system.advance(claimed)

    # when its model starts another
    following = system.answer(claimed, START)

    # then it is told
    assert following == Infer(2)
    text = "bad arguments: 8 runs are above this one, which is the limit"
    assert (system.call().state, system.call().result) == (CallState.FAILED, text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"input": "x"}, "agent_id is required"),
        ({"agent_id": "a"}, "input is required"),
        ({"agent_id": "a", "input": ""}, "input must not be empty"),
        ({"agent_id": "a", "input": "x" * 65_537}, "input is larger than 65536 bytes"),
        ({"agent_id": "a", "input": "x", "wait": "no"}, "wait must be true or false"),
        ({"agent_id": "a", "input": "x", "pool_id": 1}, "pool_id must be a string"),
        ({"agent_id": "a", "input": "x", "colour": 1}, "unknown argument colour"),
    ],
)
def test_wrong_arguments_start_nothing(
    system: InMemoryRunControl, arguments: dict[str, object], text: str
) -> None:
    system.start(("start_run", json.dumps(arguments)))
    assert system.call().state is CallState.FAILED
    assert system.call().result == f"bad arguments: {text}"
    assert system.tables.outbox == []


def test_an_input_that_is_no_text_is_said_as_json(system: InMemoryRunControl) -> None:
    system.start(("start_run", '{"agent_id": "helper", "input": {"ships": [1, 2]}}'))
    command = system.command()
    assert isinstance(command, StartRunCommand)
    assert command.input == '{"ships": [1, 2]}'


def test_a_child_that_fails_for_good_says_why(system: InMemoryRunControl) -> None:
    # given a child whose specifications are lost
    command, _ = parent_of_a_child(system)
    submit_child(system, command)
    claimed = replace(system.claim_one(), specs=None)

    # when it is executed
    system.advance(claimed)
    end = ended(system)

    # then its parent is told the reason
    assert not end.completed
    assert end.result.startswith(
        f"run {command.child_run_id} ended without an answer: error, PIN_LOST, "
    )
    assert system.termination(command.child_run_id).reason is TerminationReason.ERROR


def deliver_start(system: InMemoryRunControl, command: StartRunCommand) -> str:
    said = (Message(Role.USER, (Text(command.input),)),)
    by = StartedBy(command.child_run_id, command.run_id, command.call_id, command.depth)
    submit = SubmitCommand(said, agent_id=command.agent_id)
    return now(system.runs.start_child(LOCAL, submit, by))


def test_a_start_that_is_delivered_twice_submits_one_run(system: InMemoryRunControl) -> None:
    command, _ = parent_of_a_child(system)
    first, second = (deliver_start(system, command) for _ in range(2))
    assert first == second
    assert len(system.tables.runs) == 2


def delete(system: InMemoryRunControl, thread_id: str) -> None:
    now(Deletion(system.store, system.clock).delete(LOCAL, thread_id))


def test_a_run_that_was_started_and_deleted_is_not_started_again(
    system: InMemoryRunControl,
) -> None:
    # given a child that was deleted
    command, parent = parent_of_a_child(system)
    thread_id = deliver_start(system, command)
    delete(system, thread_id)

    # when its start is delivered once more
    again = deliver_start(system, command)

    # then it is said to be where it was, and there is no run but its parent
    assert again == thread_id
    assert list(system.tables.runs) == [("default", parent)]


def test_a_run_that_was_deleted_starts_none(system: InMemoryRunControl) -> None:
    # given a run that starts another, and is deleted before that is delivered
    command, parent = parent_of_a_child(system)
    delete(system, system.run(parent).thread_id)

    # when it is delivered
    with pytest.raises(RunDeletedError, match=parent):
        deliver_start(system, command)

    # then there is no run
    assert list(system.tables.runs) == []
