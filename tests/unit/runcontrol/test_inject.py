"""Input reaches the run it is for, at its next step, or a run of its own; never an approval."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from services.content.model import Role
from services.runcontrol.core.errors import (
    AgentNotFoundError,
    NoOpenRunError,
    RunNotFoundError,
    ThreadNotFoundError,
    TooManyInputsError,
)
from services.runcontrol.core.events import InputConsumed
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import (
    InputDisposition,
    InputMode,
    InputState,
    Priority,
    RunState,
    TerminationReason,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.stepping import Ended, Infer
from services.wire.snapshot import SnapshotBehindError
from tests.unit.runcontrol.in_memory_runcontrol import (
    JOINED,
    SEND,
    InMemoryRunControl,
    agent,
    now,
)
from tests.unit.runcontrol.run_states import (
    asking,
    backing_off,
    cancelling,
    guarded,
    nothing,
    queued,
    running,
    sending,
    waiting,
)

QUEUED, RESUMED, LIVE, BY_TICKETS, BY_CALLS = InputDisposition
QUEUE, INTERRUPT, RESUME, LIVE_INPUT = InputMode

TABLE = [
    # state, mode, disposition by thread, disposition by run; None = NO_OPEN_RUN
    (nothing, QUEUE, QUEUED, QUEUED),
    (nothing, INTERRUPT, QUEUED, QUEUED),
    (nothing, RESUME, None, None),
    (nothing, LIVE_INPUT, QUEUED, QUEUED),
    (queued, QUEUE, QUEUED, QUEUED),
    (queued, INTERRUPT, QUEUED, QUEUED),
    (queued, RESUME, None, None),
    (queued, LIVE_INPUT, QUEUED, LIVE),
    (running, QUEUE, QUEUED, QUEUED),
    (running, INTERRUPT, QUEUED, QUEUED),
    (running, RESUME, None, None),
    (running, LIVE_INPUT, LIVE, LIVE),
    (cancelling, QUEUE, QUEUED, QUEUED),
    (cancelling, INTERRUPT, QUEUED, QUEUED),
    (cancelling, RESUME, None, None),
    (cancelling, LIVE_INPUT, QUEUED, QUEUED),
    *(
        (state, mode, RESUMED, RESUMED)
        for state in (asking, waiting, backing_off)
        for mode in (QUEUE, RESUME, LIVE_INPUT)
    ),
    *((guarded, mode, BY_TICKETS, BY_TICKETS) for mode in (QUEUE, RESUME, LIVE_INPUT)),
    *((sending, mode, BY_CALLS, BY_CALLS) for mode in (QUEUE, RESUME, LIVE_INPUT)),
    *(
        (state, INTERRUPT, QUEUED, QUEUED)
        for state in (asking, waiting, backing_off, guarded, sending)
    ),
]


@pytest.mark.parametrize("by", ["thread_id", "run_id"])
@pytest.mark.parametrize(("state", "mode", "by_thread", "by_run"), TABLE)
def test_what_input_does_in_each_mode_to_a_run_in_each_state(
    system: InMemoryRunControl,
    by: str,
    state: Callable[[InMemoryRunControl], object],
    mode: InputMode,
    by_thread: InputDisposition | None,
    by_run: InputDisposition | None,
) -> None:
    # given a run in a state
    state(system)
    run = system.run()
    before = system.tables
    expected = by_thread if by == "thread_id" else by_run

    # when something is said to its thread, or to it
    if expected is None:
        with pytest.raises(NoOpenRunError):
            system.inject(mode, **{by: getattr(run, by)})
        assert system.tables is before
        return
    said = system.inject(mode, **{by: getattr(run, by)})

    # then it is queued, resumes the run, is read by it, or is blocked
    assert (said.disposition, said.state) == (expected, InputState.PENDING)
    assert (said.run_id == run.run_id) == (expected is not QUEUED)
    assert said.mode is mode
    assert said == system.input(said.input_id)
    assert "InputQueued" in system.kinds(said.run_id)
    if expected is RESUMED:
        assert system.claim_one().run.run_id == run.run_id


@pytest.mark.parametrize("mode", list(InputMode))
def test_an_unknown_thread_or_run_is_not_found(system: InMemoryRunControl, mode: InputMode) -> None:
    with pytest.raises(ThreadNotFoundError):
        system.inject(mode, thread_id="nowhere")
    with pytest.raises(RunNotFoundError):
        system.inject(mode, run_id="nobody")


def test_live_input_is_read_at_the_next_step(system: InMemoryRunControl) -> None:
    # given a run whose model is called, and input for it
    claimed = running(system)
    said = system.inject(LIVE_INPUT, "also this", thread_id="t")

    # when the model asks for a call, and the call has its result
    system.answer(claimed, SEND)
    system.settle(system.command(), JOINED)
    claimed = system.claim_one()
    following = system.advance(claimed)

    # then the input stands behind the result, and was read by that run in that step
    assert following == Infer(2)
    assert [m.role for m in system.prompt()] == [
        Role.USER,
        Role.ASSISTANT,
        Role.TOOL,
        Role.USER,
    ]
    assert system.prompt()[-1].text == "also this"
    read = system.input(said.input_id)
    assert (read.state, read.run_id, read.consumed_step) == (
        InputState.CONSUMED,
        claimed.run.run_id,
        2,
    )
    assert system.last_event(InputConsumed).input_id == said.input_id


def test_a_run_does_not_end_with_live_input_that_it_can_read(system: InMemoryRunControl) -> None:
    # given a run whose model is called, and two inputs for it
    claimed = running(system)
    system.inject(LIVE_INPUT, "one", run_id=claimed.run.run_id)
    system.inject(LIVE_INPUT, "two", thread_id="t")

    # when the model answers without a call
    following = system.answer(claimed)

    # then the run reads both, in order, and ends after the next answer
    assert following == Infer(2)
    assert [m.text for m in system.prompt()] == ["go", "done", "one", "two"]
    assert system.answer(claimed) == Ended()
    assert len(system.tables.runs) == 1


def finish(system: InMemoryRunControl, claimed: Claim) -> None:
    system.answer(claimed)


def fail(system: InMemoryRunControl, claimed: Claim) -> None:
    now(system.execution.fail(claimed, Failure(RetryClass.FATAL, "BROKEN", "it broke")))


def cancel(system: InMemoryRunControl, claimed: Claim) -> None:
    system.cancel(run_id=claimed.run.run_id)
    system.advance(claimed)


def miss_the_deadline(system: InMemoryRunControl, claimed: Claim) -> None:
    system.clock.advance(61)
    system.advance(claimed)


ENDS = {
    TerminationReason.MAX_ROUNDS: finish,
    TerminationReason.ERROR: fail,
    TerminationReason.CANCELLED: cancel,
    TerminationReason.DEADLINE: miss_the_deadline,
}


@pytest.mark.parametrize("reason", list(ENDS))
def test_input_that_a_run_has_not_read_gets_a_run_of_its_own(reason: TerminationReason) -> None:
    # given a run with one round left, and two live inputs, the second for another agent
    system = InMemoryRunControl(agent(max_rounds=1))
    claimed = system.claim_new(thread_id="t", priority=Priority.HIGH, deadline_s=60.0)
    system.advance(claimed)
    later = system.submit(thread_id="t", priority=Priority.HIGH)
    one = system.inject(LIVE_INPUT, "one", run_id=claimed.run.run_id)
    two = system.inject(LIVE_INPUT, "two", thread_id="t", agent_id="other")

    last = system.submit(thread_id="t")

    # when the run ends
    ENDS[reason](system, claimed)

    # then each input is that of a queued run of the stored agent
    assert system.termination(claimed.run.run_id).reason is reason
    moved = [system.input(each.input_id) for each in (one, two)]
    runs = [system.run(each.run_id) for each in moved]
    assert [(r.state, r.agent_id, r.step) for r in runs] == [
        (RunState.QUEUED, "helper", 0),
        (RunState.QUEUED, "other", 0),
    ]
    assert [r.priority for r in runs] == [Priority.HIGH, Priority.NORMAL]
    assert {r.deadline_at for r in runs} == {system.clock.now() + timedelta(days=1)}
    assert {(i.state, i.disposition, i.next_run) for i in moved} == {
        (InputState.PENDING, QUEUED, None)
    }
    assert system.kinds(runs[0].run_id) == ["RunQueued", "InputQueued"]
    assert system.thread().latest_run_id == runs[1].run_id
    assert system.thread().agent_id == "other"

    # and they run in the order in which everything was said, and read their input once
    read = []
    for _ in range(4):
        started = system.claim_one()
        system.advance(started)
        read.append((started.run.run_id, system.prompt()[-1].text))
        system.answer(started)
    assert read == [
        (later.run_id, "go"),
        (runs[0].run_id, "one"),
        (runs[1].run_id, "two"),
        (last.run_id, "go"),
    ]
    consumed = [i.state for i in system.tables.inputs.values()]
    assert consumed == [InputState.CONSUMED] * 5


def test_live_input_for_a_queued_run_is_read_with_its_first(system: InMemoryRunControl) -> None:
    # given a queued run
    submitted = system.submit(thread_id="t")

    # when something is said to it, and it starts
    system.inject(LIVE_INPUT, "and this", run_id=submitted.run_id)
    system.advance(system.claim_one())

    # then it reads both
    assert [m.text for m in system.prompt()] == ["go", "and this"]


def test_input_for_a_finished_run_is_never_read_by_another_run(system: InMemoryRunControl) -> None:
    # given a finished run, and another run of another agent that executes on its thread
    nothing(system)
    finished = system.run()
    claimed = system.claim_new(thread_id="t", agent_id="other")
    system.advance(claimed)

    # when something is said to the finished run
    said = system.inject(LIVE_INPUT, "late", run_id=finished.run_id)

    # then a run of its agent is queued, and the other one ends without having read it
    assert said.disposition is QUEUED
    assert system.run(said.run_id).agent_id == "helper"
    assert system.answer(claimed) == Ended()
    assert "late" not in [m.text for m in system.prompt()]


def test_a_run_has_a_limited_number_of_inputs_to_read(system: InMemoryRunControl) -> None:
    # given a run with a hundred inputs to read
    running(system)
    for _ in range(100):
        system.inject(LIVE_INPUT, thread_id="t")
    before = system.tables

    # when one more is said
    with pytest.raises(TooManyInputsError) as refused:
        system.inject(LIVE_INPUT, thread_id="t")

    # then it is refused
    assert refused.value.metadata["value"] == "100"
    assert system.tables is before


def test_a_run_that_waits_takes_input_without_a_registry(system: InMemoryRunControl) -> None:
    # given a run that asks, and no registry
    asking(system)
    system.catalogs.behind = SnapshotBehindError("behind")

    # when something is said that needs a new agent, a new run, and neither
    with pytest.raises(SnapshotBehindError):
        system.inject(thread_id="t", agent_id="other")
    with pytest.raises(SnapshotBehindError):
        system.inject(INTERRUPT, thread_id="t")
    said = system.inject(thread_id="t", agent_id="helper")

    # then only that is taken
    assert said.disposition is RESUMED
    assert len(system.tables.inputs) == 2


@pytest.mark.parametrize("state", [nothing, running])
def test_an_unknown_agent_is_not_found(
    system: InMemoryRunControl, state: Callable[[InMemoryRunControl], object]
) -> None:
    # given a thread
    state(system)
    before = system.tables

    # when input names an agent that there is not
    with pytest.raises(AgentNotFoundError):
        system.inject(LIVE_INPUT, thread_id="t", agent_id="nobody")

    # then nothing is stored
    assert system.tables is before
