"""Claims, fences, retries, hand-offs and deadlines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.runcontrol.core.cancelling import expire
from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.commands import CommandResult, RunEndedCommand
from services.runcontrol.core.errors import FencedError, RunNotFoundError
from services.runcontrol.core.events import AttemptFailed, StepReset, TextDelta
from services.runcontrol.core.exchange import VerdictKind
from services.runcontrol.core.model import (
    DispatchState,
    RunState,
    TerminationReason,
    WaitingKind,
    run_channel,
)
from services.runcontrol.core.retrying import Failure, RetryClass, backoff_s, fail_attempt
from services.runcontrol.core.stepping import Ended, Infer
from services.runcontrol.core.work import Work
from tests.support.clock import START
from tests.support.memory_runcontrol import MemoryTx
from tests.unit.runcontrol.in_memory_runcontrol import (
    QUESTION,
    SEND,
    InMemoryRunControl,
    now,
)

BROKEN = Failure(RetryClass.ERROR, "BROKEN", "it broke")


def fail(system: InMemoryRunControl, kind: RetryClass, retry_after_s: float | None = None) -> None:
    failure = Failure(kind, "BROKEN", "it broke", retry_after_s)
    now(system.execution.fail(system.claim_one(), failure))


def loaded(system: InMemoryRunControl) -> Work:
    """The run as a use case loads it."""
    work = MemoryTx(system.tables).load("default", system.run().run_id, system.clock.now())
    assert work is not None
    return work


def test_a_claim_counts_the_attempt_and_raises_the_fence(system: InMemoryRunControl) -> None:
    # given a queued run
    system.submit()

    # when it is claimed
    claimed = system.claim_one()

    # then it runs under a lease of its own
    (lease,) = system.tables.leases.values()
    assert (claimed.attempt, claimed.fence, lease.fence) == (1, 1, 1)
    assert lease.until == START + timedelta(seconds=LEASE_S)
    assert system.run().state is RunState.RUNNING
    assert system.claim() == []


def test_a_stale_owner_changes_nothing(system: InMemoryRunControl) -> None:
    # given a run that was taken from its owner
    system.submit()
    stale = system.claim_one()
    now(system.execution.reclaim_all())
    system.claim_one()
    before = system.tables

    # when the old owner writes
    for act in (
        lambda: system.advance(stale),
        lambda: system.answer(stale),
        lambda: now(system.execution.record(stale, (TextDelta("x"),))),
        lambda: now(system.execution.fail(stale, BROKEN)),
        lambda: now(system.execution.hand_back(stale)),
    ):
        with pytest.raises(FencedError):
            act()

    # then nothing is written
    assert system.store.tables is before


def test_the_owner_of_a_deleted_run_is_fenced(system: InMemoryRunControl) -> None:
    # given the claim of a run that was deleted afterwards
    claimed = system.claim_new()
    system.tables.runs.clear()

    # when its owner writes
    with pytest.raises(FencedError):
        system.advance(claimed)

    # then the owner is fenced, and a caller gets RUN_NOT_FOUND
    with pytest.raises(RunNotFoundError):
        system.cancel(run_id=claimed.run.run_id)


def test_a_thread_without_a_queued_dispatch_is_not_claimed(system: InMemoryRunControl) -> None:
    # given a thread that is marked ready and has no queued dispatch
    system.submit()
    system.tables.dispatches.clear()

    # when work is claimed
    # then nothing is
    assert system.claim() == []


def test_the_first_lost_server_causes_no_pause(system: InMemoryRunControl) -> None:
    # given a run whose step has begun
    claimed = system.claim_new()
    system.advance(claimed)
    now(system.execution.record(claimed, (TextDelta("half"),)))

    # when its server is lost and the run claimed again
    assert now(system.execution.reclaim_all()) == 1
    again = system.claim_one()

    # then the step runs again, and its deltas do not count
    assert again.attempt == 2
    assert system.advance(again) == Infer(1)
    assert system.last_event(StepReset).from_run_seq == system.run().step_seq + 1
    assert system.kinds().count("StepStarted") == 1


def test_a_run_whose_step_loses_five_servers_is_a_dead_letter(system: InMemoryRunControl) -> None:
    # given a run whose server crashes
    system.submit()

    # when that happens five times
    for _ in range(5):
        system.clock.advance(61)
        system.claim_one()
        now(system.execution.reclaim_all())

    # then it is a dead letter
    assert system.termination().reason is TerminationReason.DEAD_LETTER
    assert [d.state for d in system.tables.dispatches.values()] == [DispatchState.DEAD]


def test_a_server_that_is_lost_again_causes_a_pause(system: InMemoryRunControl) -> None:
    # given a run whose server is lost
    system.submit()
    system.claim_one()
    now(system.execution.reclaim_all())
    (first,) = system.tables.dispatches.values()
    first_wait = system.run().waiting

    # when that happens a second time
    system.claim_one()
    now(system.execution.reclaim_all())

    # then only the second time it waits, and its dispatch says why
    (second,) = system.tables.dispatches.values()
    (reason,) = system.run().waiting
    assert (first.available_at, [cause.kind for cause in first.causes]) == (START, ["recovery"])
    assert first_wait == ()
    assert (reason.kind, reason.until) == (WaitingKind.BACKOFF, START + timedelta(seconds=0.5))
    assert [cause.kind for cause in second.causes] == ["backoff"]


def test_a_run_whose_step_fails_five_times_is_a_dead_letter(system: InMemoryRunControl) -> None:
    # given a run
    system.submit()

    # when its step fails four times, and once more
    for _ in range(4):
        fail(system, RetryClass.ERROR)
        system.clock.advance(61)
    after_four = system.run().state
    fail(system, RetryClass.ERROR)

    # then it is a dead letter
    assert after_four is RunState.WAITING
    assert system.termination().reason is TerminationReason.DEAD_LETTER


def test_a_step_that_failed_more_often_than_is_allowed_now_is_a_dead_letter(
    system: InMemoryRunControl,
) -> None:
    # given a dispatch that another version has let fail seven times
    system.submit()
    ((key, dispatch),) = system.tables.dispatches.items()
    system.tables.dispatches[key] = replace(dispatch, errors=7)

    # when it fails once more
    fail(system, RetryClass.ERROR)

    # then it is a dead letter
    assert system.termination().reason is TerminationReason.DEAD_LETTER


def test_a_failed_attempt_is_repeated_after_a_pause(system: InMemoryRunControl) -> None:
    # given a queued run
    system.submit()

    # when its first attempt fails
    fail(system, RetryClass.ERROR)

    # then it waits until a time that its event names, and is not claimed before
    (reason,) = system.run().waiting
    assert reason.kind is WaitingKind.BACKOFF
    assert reason.until == START + timedelta(seconds=0.25)
    assert system.claim() == []
    system.clock.advance(0.25)
    assert system.claim_one().attempt == 2
    assert system.last_event(AttemptFailed).will_retry


def test_a_committed_step_resets_the_count_of_failures(system: InMemoryRunControl) -> None:
    # given a run with four failures
    system.submit()
    for _ in range(4):
        fail(system, RetryClass.ERROR)
        system.clock.advance(60)

    # when its step is committed and it fails again
    claimed, _ = system.execute(("never", "{}"))
    now(system.execution.fail(claimed, BROKEN))

    # then that counts as its first failure
    assert system.run().state is RunState.WAITING
    assert next(iter(system.tables.dispatches.values())).errors == 1


def test_a_throttled_run_is_repeated_after_the_requested_pause(system: InMemoryRunControl) -> None:
    # given a run that was refused because of load, many times
    system.submit()
    for _ in range(9):
        fail(system, RetryClass.THROTTLED)
        system.clock.advance(60)

    # when the refusing service asks for two minutes
    fail(system, RetryClass.THROTTLED, retry_after_s=120.0)

    # then the pause is two minutes, and at most 15 s more
    (reason,) = system.run().waiting
    assert reason.until == system.clock.now() + timedelta(seconds=135)


@pytest.mark.parametrize(
    ("hint_s", "draw", "pause_s"),
    [(30.0, 0.0, 30.0), (30.0, 0.5, 37.5), (4.0, 1.0, 6.0), (300.0, 1.0, 315.0)],
)
def test_runs_that_were_asked_for_the_same_pause_come_back_one_after_the_other(
    system: InMemoryRunControl, hint_s: float, draw: float, pause_s: float
) -> None:
    # given a run that is refused with a hint
    system.submit()
    claimed = system.claim_one()
    refused = Failure(RetryClass.THROTTLED, "BUSY", "later", hint_s)

    # when its pause is drawn
    work = fail_attempt(loaded(system), refused, draw)

    # then it is at least what was asked for, and at most half of it, or 15 s, more
    assert claimed.attempt == 1
    assert work.run.waiting[0].until == system.clock.now() + timedelta(seconds=pause_s)


def test_a_requested_pause_shorter_than_the_back_off_does_not_shorten_it(
    system: InMemoryRunControl,
) -> None:
    # given a run that was refused because of load four times
    system.submit()
    for _ in range(4):
        fail(system, RetryClass.THROTTLED)
        system.clock.advance(60)

    # when the refusing service asks for one second
    fail(system, RetryClass.THROTTLED, retry_after_s=1.0)

    # then the pause is that of a fifth failure
    (reason,) = system.run().waiting
    assert reason.until == system.clock.now() + timedelta(seconds=4)


def test_a_pause_ends_with_the_deadline(system: InMemoryRunControl) -> None:
    # given a run with ten seconds
    system.submit(deadline_s=10.0)

    # when the refusing service asks for a minute
    fail(system, RetryClass.THROTTLED, retry_after_s=60.0)

    # then the run waits for ten seconds
    (reason,) = system.run().waiting
    assert reason.until == START + timedelta(seconds=10)


def test_a_fatal_failure_ends_the_run(system: InMemoryRunControl) -> None:
    # given a queued run
    system.submit()

    # when its model call fails fatally
    fail(system, RetryClass.FATAL)

    # then it has ended with the reason
    termination = system.termination()
    assert (termination.reason, termination.error_reason) == (TerminationReason.ERROR, "BROKEN")
    assert not system.last_event(AttemptFailed).will_retry


def test_the_first_twenty_hand_offs_do_not_count_as_attempts(system: InMemoryRunControl) -> None:
    # given a run
    system.submit()

    # when stopping servers hand it back twenty times, and twice more
    attempts = []
    for _ in range(23):
        claimed = system.claim_one()
        attempts.append(claimed.attempt)
        now(system.execution.hand_back(claimed))

    # then only the last two count as attempts
    assert attempts == [1] * 21 + [2, 3]
    assert system.run().state is RunState.WAITING


@pytest.mark.parametrize("how", ["hand_back", "fail", "crash"])
def test_a_cancelled_run_ends_as_cancelled_however_its_attempt_ends(
    system: InMemoryRunControl, how: str
) -> None:
    # given a run that executes and was cancelled
    claimed = system.claim_new()
    system.cancel(run_id=claimed.run.run_id, reason="enough")

    # when its attempt ends
    if how == "hand_back":
        now(system.execution.hand_back(claimed))
    elif how == "fail":
        now(system.execution.fail(claimed, BROKEN))
    else:
        now(system.execution.reclaim_all())

    # then it is cancelled, and not repeated
    termination = system.termination()
    assert (termination.reason, termination.message) == (TerminationReason.CANCELLED, "enough")


def test_a_sweep_leaves_an_executing_run_to_its_owner(system: InMemoryRunControl) -> None:
    # given a run that executes beyond its deadline
    system.claim_new(deadline_s=10.0)
    system.clock.advance(10)
    work = loaded(system)

    # when runs are swept
    # then the run goes on: its owner will end it
    assert expire(work) is work


def test_a_parked_run_has_no_claimed_dispatch(system: InMemoryRunControl) -> None:
    # given a run that waits for its pool
    system.advance(system.claim_new(pool="room"))
    work = loaded(system)

    # when its claimed dispatch is requested
    # then there is none
    with pytest.raises(FencedError):
        work.claimed()


def test_a_run_has_a_channel_of_its_own() -> None:
    # given the same run id in two tenants
    # when their channels are named
    # then they differ
    assert run_channel("a", "r") != run_channel("b", "r")


@pytest.mark.parametrize("how", ["advance", "fail"])
def test_an_executing_run_ends_at_its_deadline(system: InMemoryRunControl, how: str) -> None:
    # given a run that executes beyond its deadline
    claimed = system.claim_new(deadline_s=10.0)
    system.clock.advance(10)

    # when it is advanced, or its attempt fails
    if how == "advance":
        assert system.advance(claimed) == Ended()
    else:
        now(system.execution.fail(claimed, BROKEN))

    # then it ends with the deadline
    assert system.termination().reason is TerminationReason.DEADLINE
    assert system.kinds()[-1] == "RunFinished"


def test_waiting_for_a_person_pauses_the_deadline(system: InMemoryRunControl) -> None:
    # given a run with a deadline of ten seconds that asks a person after four
    claimed = system.claim_new(deadline_s=10.0)
    system.clock.advance(4)
    system.advance(claimed)
    system.answer(claimed, QUESTION)

    # when the person takes an hour
    system.clock.advance(3600)
    swept = now(system.execution.expire_due())
    system.decide(VerdictKind.ANSWER, "because")
    system.claim_one()

    # then the run has six seconds left
    assert swept == 0
    assert system.run().deadline_at - system.clock.now() == timedelta(seconds=6)


def test_a_lost_specification_ends_the_run(system: InMemoryRunControl) -> None:
    # given a run whose pinned specification is gone
    system.submit()
    system.tables.specs.clear()
    claimed = system.claim_one()

    # when it is advanced
    # then it ends with the reason
    assert system.advance(claimed) == Ended()
    assert system.termination().error_reason == "PIN_LOST"


@pytest.mark.parametrize(
    ("failures", "draw", "expected_s"),
    [(1, 1.0, 0.25), (2, 1.0, 0.5), (3, 0.5, 0.5), (9, 1.0, 60.0), (500, 1.0, 60.0)],
)
def test_backing_off_doubles_up_to_a_minute(failures: int, draw: float, expected_s: float) -> None:
    # given a number of failures
    # when the pause is computed
    # then it is the drawn fraction of a limit that doubles
    assert backoff_s(failures, draw) == expected_s


@pytest.mark.parametrize("call", [QUESTION, SEND, ("start_run", '{"agent_id": "x", "input": "y"}')])
def test_the_deadline_of_a_parked_run_stands_still(
    system: InMemoryRunControl, call: tuple[str, str]
) -> None:
    # given a run with a deadline of a minute that parks after ten seconds
    claimed = system.claim_new(deadline_s=60.0)
    system.advance(claimed)
    system.clock.advance(10)
    system.answer(claimed, call)
    assert system.run().state is RunState.WAITING

    # when what it waits for comes after 40 days
    system.clock.advance(40 * 86_400)
    assert now(system.execution.expire_due()) == 0
    if call is QUESTION:
        system.decide(VerdictKind.ANSWER, "so")
    elif call is SEND:
        system.settle(system.command(), CommandResult("{}"))
    else:
        parent = system.command()
        ended = RunEndedCommand(
            parent.tenant, "me", parent.run_id, parent.call_id, completed=True, result="y"
        )
        system.settle(ended, CommandResult(""))

    # then it goes on with the 50 s that it had, and finishes
    again = system.claim_one()
    assert system.run().deadline_at == system.clock.now() + timedelta(seconds=50)
    assert system.advance(again) == Infer(2)
    assert system.answer(again) == Ended()
    assert system.termination().reason is TerminationReason.NATURAL_END
