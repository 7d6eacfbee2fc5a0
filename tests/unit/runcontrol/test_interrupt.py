"""An interrupt ends what a thread does and has queued, in any state, and starts what it is told."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from services.chassis.caller import Replay
from services.runcontrol.core.commands import CancelWakeCommand
from services.runcontrol.core.errors import AgentNotFoundError, ThreadNotFoundError
from services.runcontrol.core.exchange import CallState, TicketState, VerdictKind
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import (
    DispatchState,
    InputMode,
    InputState,
    RunState,
    TerminationReason,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.steering import InterruptCommand, Interrupted
from services.runcontrol.core.stepping import Ended
from services.runcontrol.core.submission import BusyPolicy
from services.runcontrol.core.tickets import DecisionOutcome
from services.wire.snapshot import SnapshotBehindError
from tests.support.callers import LOCAL, keyed
from tests.unit.runcontrol.in_memory_runcontrol import (
    GUARDED_SEND,
    QUESTION,
    InMemoryRunControl,
    now,
    said,
)

WAIT = ("pool_wait", '{"pool_id": "room"}')


def running(system: InMemoryRunControl) -> Claim:
    """A run of thread ``t`` whose model is called."""
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    return claimed


def test_an_idle_thread_gets_a_new_epoch_and_nothing_else(system: InMemoryRunControl) -> None:
    # given a thread without work
    system.start(thread_id="t")

    # when it is interrupted
    answer = system.interrupt("t")

    # then its epoch has risen, and there was nothing to stop
    assert (answer.interruption.thread.epoch, system.thread().epoch) == (2, 2)
    assert (answer.interruption.superseded, answer.interruption.run_id) == ((), "")
    assert answer.said is None
    assert len(system.tables.runs) == 1


def test_an_unknown_thread_is_not_found(system: InMemoryRunControl) -> None:
    with pytest.raises(ThreadNotFoundError):
        system.interrupt("nowhere")


def test_queued_runs_are_superseded_in_the_order_of_the_queue(system: InMemoryRunControl) -> None:
    # given a thread with two queued runs
    first = system.submit(thread_id="t")
    second = system.submit(thread_id="t")

    # when it is interrupted
    answer = system.interrupt("t")

    # then both have ended without having started, and nothing can be claimed
    assert answer.interruption.superseded == (first.dispatch_id, second.dispatch_id)
    assert answer.interruption.run_id == ""
    for run_id in (first.run_id, second.run_id):
        assert system.termination(run_id).reason is TerminationReason.SUPERSEDED
    states = [each.state for each in system.tables.dispatches.values()]
    assert states == [DispatchState.SUPERSEDED, DispatchState.SUPERSEDED]
    assert [i.state for i in system.tables.inputs.values()] == [InputState.DROPPED] * 2
    assert system.claim() == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_that_executes_is_cancelled_by_its_owner(
    system: InMemoryRunControl, times: int
) -> None:
    # given a run that executes, with input that it has not read
    claimed = running(system)
    live = system.inject(InputMode.LIVE_THEN_QUEUE, thread_id="t")

    # when its thread is interrupted, once or twice
    answers = [system.interrupt("t") for _ in range(times)]

    # then it is being cancelled, its input is dropped, and its owner ends it
    assert [each.interruption.run_id for each in answers] == [claimed.run.run_id] * times
    assert system.run().state is RunState.CANCELLING
    assert system.input(live.input_id).state is InputState.DROPPED
    assert system.advance(claimed) == Ended()
    ended = system.termination()
    assert (ended.reason, ended.message) == (
        TerminationReason.CANCELLED,
        "the thread was interrupted",
    )
    assert len(system.tables.runs) == 1


def test_a_run_that_was_claimed_and_not_started_never_calls_its_model(
    system: InMemoryRunControl,
) -> None:
    # given a claimed run whose owner has not begun
    claimed = system.claim_new(thread_id="t")

    # when its thread is interrupted
    system.interrupt("t")

    # then its owner has nothing to execute
    assert system.advance(claimed) == Ended()
    assert "StepStarted" not in system.kinds()


def test_a_waiting_run_is_superseded_and_its_tickets_are_void(system: InMemoryRunControl) -> None:
    # given a run that waits for an approval
    system.start(GUARDED_SEND, thread_id="t")

    # when its thread is interrupted, and the ticket is decided then
    answer = system.interrupt("t")
    decided = system.decide(VerdictKind.APPROVE)

    # then it has ended as superseded, its call is cancelled, and the decision is too late
    assert answer.interruption.run_id == system.run().run_id
    assert system.termination().reason is TerminationReason.SUPERSEDED
    assert system.call().state is CallState.CANCELLED
    ticket = system.ticket()
    assert (ticket.state, ticket.void_reason) == (TicketState.VOID, "superseded")
    assert (decided.outcome, decided.why) == (DecisionOutcome.STALE, "superseded")
    assert system.thread().open_run_id == ""


def test_a_run_that_backs_off_is_superseded_with_its_dispatch(system: InMemoryRunControl) -> None:
    # given a run that waits for its next attempt
    claimed = running(system)
    now(system.execution.fail(claimed, Failure(RetryClass.THROTTLED, "BUSY", "busy")))
    dispatch_id = system.run().dispatch_id

    # when its thread is interrupted, and the pause is over
    answer = system.interrupt("t")
    system.clock.advance(120)

    # then the attempt is never made
    assert answer.interruption.superseded == (dispatch_id,)
    assert system.termination().reason is TerminationReason.SUPERSEDED
    assert system.claim() == []


def test_the_pool_is_told_that_a_superseded_run_waits_no_more() -> None:
    # given a run that waits in a pool
    system = InMemoryRunControl()
    system.in_pool(WAIT, thread_id="t")
    call = system.call()

    # when its thread is interrupted
    system.interrupt("t")

    # then its wait is cancelled in the pool
    command = system.command()
    assert isinstance(command, CancelWakeCommand)
    assert (command.pool_id, command.condition_id) == ("room", call.condition_id)


def test_new_input_starts_a_run_under_the_new_epoch(system: InMemoryRunControl) -> None:
    # given a thread with a run that waits, and one that is queued
    system.start(QUESTION, thread_id="t")
    system.submit(thread_id="t")

    # when it is interrupted with something to say
    answer = system.interrupt("t", "start over")

    # then only the new run is left, with the agent of the thread, and reads the input
    assert answer.said is not None
    assert answer.said.mode is InputMode.INTERRUPT_THEN_QUEUE
    claimed = system.claim_one()
    assert (claimed.run.run_id, claimed.run.agent_id) == (answer.said.run_id, "helper")
    system.advance(claimed)
    assert system.prompt()[-1].text == "start over"
    assert [m.text for m in system.prompt()].count("go") == 1


def test_new_input_waits_for_the_run_that_is_being_cancelled(system: InMemoryRunControl) -> None:
    # given a run that executes
    claimed = running(system)

    # when its thread is interrupted with something to say, for another agent
    answer = system.interrupt("t", "start over", agent_id="other")

    # then the new run is claimed once the old one has ended
    assert answer.said is not None
    assert system.claim() == []
    system.advance(claimed)
    assert system.claim_one().run.run_id == answer.said.run_id
    assert system.run(answer.said.run_id).agent_id == "other"


def busy(system: InMemoryRunControl) -> None:
    system.start(QUESTION, thread_id="t")
    system.submit(thread_id="t")


def unknown_agent(system: InMemoryRunControl) -> None:
    with pytest.raises(AgentNotFoundError):
        system.interrupt("t", "hi", agent_id="nobody")


def no_registry(system: InMemoryRunControl) -> None:
    system.catalogs.behind = SnapshotBehindError("behind")
    with pytest.raises(SnapshotBehindError):
        system.interrupt("t", "hi")


@pytest.mark.parametrize("refuse", [unknown_agent, no_registry])
def test_an_interrupt_that_cannot_start_its_run_stops_nothing(
    system: InMemoryRunControl, refuse: Callable[[InMemoryRunControl], None]
) -> None:
    # given a busy thread
    busy(system)
    before = system.tables

    # when an interrupt is refused, because its run cannot be started
    refuse(system)

    # then everything is as it was
    assert system.tables is before


def test_an_interrupt_without_input_needs_no_registry(system: InMemoryRunControl) -> None:
    # given a busy thread, and no registry
    busy(system)
    system.catalogs.behind = SnapshotBehindError("behind")

    # when it is interrupted
    answer = system.interrupt("t")

    # then its work has ended
    assert len(answer.interruption.superseded) == 1
    assert {run.state for run in system.tables.runs.values()} == {RunState.DONE}


def test_a_repeated_interrupt_is_answered_as_the_first_one(system: InMemoryRunControl) -> None:
    # given a thread that was interrupted
    busy(system)
    caller = keyed(LOCAL, "i-1")
    command = InterruptCommand("t", (said("start over"),))
    first = now(system.steering.interrupt(caller, command))
    before = system.tables

    # when the request is repeated
    second = now(system.steering.interrupt(caller, command))

    # then the answer is the first one, and nothing has changed
    assert isinstance(first, Interrupted)
    assert isinstance(second, Replay)
    assert pickle.loads(second.body) == first  # noqa: S301  # of this test
    assert system.tables.events == before.events
    assert system.thread().epoch == 2


def test_a_submit_can_interrupt_its_thread(system: InMemoryRunControl) -> None:
    # given a busy thread
    busy(system)

    # when a run is submitted that interrupts
    submitted = system.submit(thread_id="t", busy_policy=BusyPolicy.INTERRUPT)

    # then the rest has ended, and it is the next one
    assert submitted.running
    done = [run.state for run in system.tables.runs.values()]
    assert done == [RunState.DONE, RunState.DONE, RunState.QUEUED]
    assert system.input(submitted.input_id).mode is InputMode.INTERRUPT_THEN_QUEUE
    assert system.thread().epoch == 2


def test_a_submit_that_interrupts_begins_a_new_thread(system: InMemoryRunControl) -> None:
    # given no such thread
    # when a run is submitted that interrupts
    submitted = system.submit(thread_id="new", busy_policy=BusyPolicy.INTERRUPT)

    # then the thread begins with it
    assert submitted.running
    assert system.thread().epoch == 1
