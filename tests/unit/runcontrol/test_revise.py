"""Input is edited and taken back by whoever names its revision, until a run has read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.chassis.caller import Replay
from services.runcontrol.core.errors import (
    AlreadyConsumedError,
    InputNotFoundError,
    InputNotPendingError,
    StaleRevisionError,
    ThreadNotFoundError,
)
from services.runcontrol.core.events import InputEdited, InputRetracted
from services.runcontrol.core.model import (
    Input,
    InputMode,
    InputState,
    RunState,
    TerminationReason,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.steering import ReviseCommand
from services.runcontrol.core.stepping import Ended
from tests.support.callers import LOCAL, keyed
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now, said

Revise = Callable[[InMemoryRunControl, str, int], Input]


def edit(system: InMemoryRunControl, input_id: str, revision: int = 1) -> Input:
    return system.edit(input_id, revision)


def retract(system: InMemoryRunControl, input_id: str, revision: int = 1) -> Input:
    return system.retract(input_id, revision)


both = pytest.mark.parametrize("revise", [edit, retract])


def test_what_was_edited_is_read(system: InMemoryRunControl) -> None:
    # given input of a queued run
    submitted = system.submit()

    # when it is edited twice, and the run starts
    system.edit(submitted.input_id, 1, "first")
    edited = system.edit(submitted.input_id, 2, "second")
    system.advance(system.claim_one())

    # then the run reads the newest text
    assert edited.revision == 3
    assert system.last_event(InputEdited) == InputEdited(edited.input_id, 3, "local")
    assert [m.text for m in system.prompt()] == ["second"]
    assert system.input(edited.input_id).state is InputState.CONSUMED


def test_what_was_taken_back_is_not_read(system: InMemoryRunControl) -> None:
    # given a run whose model is called, with two live inputs
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    one = system.inject(InputMode.LIVE_THEN_QUEUE, "one", thread_id="t")
    system.inject(InputMode.LIVE_THEN_QUEUE, "two", thread_id="t")

    # when the first is taken back
    retracted = system.retract(one.input_id)
    system.answer(claimed)

    # then only the second is read
    assert retracted.state is InputState.RETRACTED
    assert system.last_event(InputRetracted) == InputRetracted(one.input_id, "local")
    assert [m.text for m in system.prompt()] == ["go", "done", "two"]


def test_a_run_ends_when_the_only_input_that_it_had_left_is_taken_back(
    system: InMemoryRunControl,
) -> None:
    # given a run whose model is called, with live input
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    live = system.inject(InputMode.LIVE_THEN_QUEUE, thread_id="t")

    # when that is taken back
    system.retract(live.input_id)

    # then the run ends with its answer, and nothing follows it
    assert system.answer(claimed) == Ended()
    assert system.termination().reason is TerminationReason.NATURAL_END
    assert len(system.tables.runs) == 1


def queued(system: InMemoryRunControl) -> str:
    return system.submit(pool="room").input_id


def joining(system: InMemoryRunControl) -> str:
    """A run that waits for its join to be answered."""
    input_id = queued(system)
    system.advance(system.claim_one())
    return input_id


def backing_off(system: InMemoryRunControl) -> str:
    """A run that failed before it read anything."""
    input_id = queued(system)
    failure = Failure(RetryClass.THROTTLED, "BUSY", "busy")
    now(system.execution.fail(system.claim_one(), failure))
    return input_id


@pytest.mark.parametrize("begin", [queued, joining, backing_off])
def test_a_run_with_nothing_to_read_is_cancelled(
    system: InMemoryRunControl, begin: Callable[[InMemoryRunControl], str]
) -> None:
    # given a run that has read nothing
    input_id = begin(system)

    # when its input is taken back
    system.retract(input_id)

    # then it is cancelled
    ended = system.termination()
    assert (ended.reason, ended.message) == (
        TerminationReason.CANCELLED,
        "its input was taken back",
    )
    assert system.input(input_id).state is InputState.RETRACTED


def test_a_claimed_run_with_nothing_to_read_is_cancelled_by_its_owner(
    system: InMemoryRunControl,
) -> None:
    # given a run that was claimed and has read nothing
    submitted = system.submit()
    claimed = system.claim_one()

    # when its input is taken back
    system.retract(submitted.input_id)

    # then its owner ends it
    assert system.run().state is RunState.CANCELLING
    assert system.advance(claimed) == Ended()


def test_a_run_with_other_input_to_read_is_not_cancelled(system: InMemoryRunControl) -> None:
    # given a queued run with two inputs
    submitted = system.submit(thread_id="t")
    system.inject(InputMode.LIVE_THEN_QUEUE, run_id=submitted.run_id)

    # when one of them is taken back
    system.retract(submitted.input_id)

    # then the run reads the other one
    system.advance(system.claim_one())
    assert [m.text for m in system.prompt()] == ["more"]


@both
def test_an_unknown_input_is_not_found(system: InMemoryRunControl, revise: Revise) -> None:
    with pytest.raises(InputNotFoundError):
        revise(system, "nothing", 1)


@both
def test_input_that_was_read_stays_as_it_is(system: InMemoryRunControl, revise: Revise) -> None:
    # given input that a run has read
    submitted = system.submit()
    system.advance(system.claim_one())
    before = system.tables

    # when somebody revises it
    with pytest.raises(AlreadyConsumedError) as refused:
        revise(system, submitted.input_id, 1)

    # then it is refused, with the run and the step that read it
    assert refused.value.metadata == {
        "input_id": submitted.input_id,
        "run_id": submitted.run_id,
        "step": "1",
    }
    assert system.tables is before


@both
def test_an_older_revision_is_refused(system: InMemoryRunControl, revise: Revise) -> None:
    # given input that was edited
    submitted = system.submit()
    system.edit(submitted.input_id)
    before = system.tables

    # when somebody revises what they read before
    with pytest.raises(StaleRevisionError) as refused:
        revise(system, submitted.input_id, 1)

    # then it is refused, with the current revision
    assert refused.value.metadata["revision"] == "2"
    assert system.tables is before


@both
@pytest.mark.parametrize("state", ["retracted", "dropped"])
def test_input_that_is_gone_stays_gone(
    system: InMemoryRunControl, revise: Revise, state: str
) -> None:
    # given input that was taken back, or dropped with its run
    submitted = system.submit()
    if state == "retracted":
        system.retract(submitted.input_id)
    else:
        system.cancel(run_id=submitted.run_id)

    # when somebody revises it
    with pytest.raises(InputNotPendingError) as refused:
        revise(system, submitted.input_id, 1)

    # then it is refused, with its state
    assert refused.value.metadata["state"] == state


def test_input_that_has_moved_to_another_run_can_be_edited(system: InMemoryRunControl) -> None:
    # given live input whose run has failed
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    live = system.inject(InputMode.LIVE_THEN_QUEUE, thread_id="t")
    now(system.execution.fail(claimed, Failure(RetryClass.FATAL, "BROKEN", "it broke")))

    # when it is edited, and the run that follows starts
    system.edit(live.input_id)
    system.advance(system.claim_one())

    # then that run reads what it says now
    assert system.prompt()[-1].text == "edited"


def test_a_repeated_edit_is_answered_as_the_first_one(system: InMemoryRunControl) -> None:
    # given input that was edited
    submitted = system.submit()
    command = ReviseCommand(submitted.input_id, 1, (said("edited"),))
    now(system.steering.edit(keyed(LOCAL, "e-1"), command))

    # when the request is repeated
    second = now(system.steering.edit(keyed(LOCAL, "e-1"), command))

    # then it gets the first answer
    assert isinstance(second, Replay)
    assert system.input(submitted.input_id).revision == 2


def test_pending_input_is_listed_in_pages(system: InMemoryRunControl) -> None:
    # given a thread with three pending inputs, and one that was read
    system.advance(system.claim_new(thread_id="t"))
    ids = [system.inject(thread_id="t").input_id for _ in range(3)]

    # when they are listed in pages of two
    first = system.pending("t", limit=2)
    second = system.pending("t", limit=2, after=first.inputs[-1].seq)

    # then each is there once, oldest first
    assert [each.input_id for each in (*first.inputs, *second.inputs)] == ids
    assert (first.more, second.more) == (True, False)


def test_an_unknown_thread_has_no_list(system: InMemoryRunControl) -> None:
    with pytest.raises(ThreadNotFoundError):
        system.pending("nowhere")
