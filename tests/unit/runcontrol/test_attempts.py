"""Claims, fences, retries, hand-offs, deadlines: who executes a run, and what a failure costs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.runcontrol.core.cancelling import expire
from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.errors import FencedError, RunNotFoundError
from services.runcontrol.core.events import AttemptFailed, StepReset, TextDelta
from services.runcontrol.core.exchange import VerdictKind
from services.runcontrol.core.model import DispatchState, RunState, TerminationReason, WaitingKind
from services.runcontrol.core.ports import run_channel
from services.runcontrol.core.retrying import Failure, RetryClass, backoff_s
from services.runcontrol.core.stepping import Ended, Infer
from tests.support.clock import START
from tests.support.runcontrol_memory import MemoryTx
from tests.unit.runcontrol.world import World, now

BROKEN = Failure(RetryClass.ERROR, "BROKEN", "it broke")


def fail(world: World, kind: RetryClass, retry_after_s: float | None = None) -> None:
    failure = Failure(kind, "BROKEN", "it broke", retry_after_s)
    now(world.execution.fail(world.claim_one(), failure))


def test_a_claim_counts_the_attempt_and_raises_the_fence() -> None:
    # given a queued run
    world = World()
    world.submit()

    # when it is claimed
    claimed = world.claim_one()

    # then it runs under a lease of its own
    (lease,) = world.store.tables.leases.values()
    assert (claimed.attempt, claimed.fence, lease.fence) == (1, 1, 1)
    assert lease.until == START + timedelta(seconds=LEASE_S)
    assert world.run().state is RunState.RUNNING
    assert world.claim() == []


def test_a_stale_owner_changes_nothing() -> None:
    # given a run that was taken from its owner
    world = World()
    world.submit()
    stale = world.claim_one()
    now(world.execution.reclaim_all())
    world.claim_one()
    before = world.store.tables

    # when the old owner goes on
    for act in (
        lambda: world.advance(stale),
        lambda: world.answer(stale),
        lambda: now(world.execution.record(stale, (TextDelta("x"),))),
        lambda: now(world.execution.fail(stale, BROKEN)),
        lambda: now(world.execution.hand_back(stale)),
    ):
        with pytest.raises(FencedError):
            act()

    # then nothing of it is there
    assert world.store.tables is before


def test_an_owner_of_a_run_that_is_gone_is_fenced() -> None:
    # given a claim on a run that was deleted since
    world = World()
    world.submit()
    claimed = world.claim_one()
    world.store.tables.runs.clear()

    # when its owner goes on
    with pytest.raises(FencedError):
        world.advance(claimed)

    # then a caller learns that there is no such run
    with pytest.raises(RunNotFoundError):
        world.cancel(run_id=claimed.run.run_id)


def test_a_thread_without_a_head_yields_nothing() -> None:
    # given a thread that says it is ready and has nothing queued
    world = World()
    world.submit()
    world.store.tables.dispatches.clear()

    # when work is claimed
    # then there is none
    assert world.claim() == []


def test_a_lost_server_costs_no_pause_the_first_time() -> None:
    # given a run whose step has begun
    world = World()
    world.submit()
    claimed = world.claim_one()
    world.advance(claimed)
    now(world.execution.record(claimed, (TextDelta("half"),)))

    # when its server is lost and the run claimed again
    assert now(world.execution.reclaim_all()) == 1
    again = world.claim_one()

    # then the step runs again, and its deltas do not count
    assert again.attempt == 2
    assert world.advance(again) == Infer(1)
    assert world.last_event(StepReset).from_run_seq == world.run().step_seq + 1
    assert world.kinds().count("StepStarted") == 1


def test_five_lost_servers_in_one_step_are_a_dead_letter() -> None:
    # given a run that takes its server down with it
    world = World()
    world.submit()

    # when that happens five times
    for _ in range(5):
        world.clock.advance(61)
        world.claim_one()
        now(world.execution.reclaim_all())

    # then it is not tried again
    termination = world.run().termination
    assert termination is not None
    assert termination.reason is TerminationReason.DEAD_LETTER
    assert [d.state for d in world.store.tables.dispatches.values()] == [DispatchState.DEAD]


def test_an_error_backs_off_and_is_tried_again() -> None:
    # given a queued run
    world = World()
    world.submit()

    # when its first attempt fails
    fail(world, RetryClass.ERROR)

    # then it waits, says until when, and is not claimed before
    (reason,) = world.run().waiting
    assert (reason.kind, reason.until) == (
        WaitingKind.BACKOFF,
        START + timedelta(seconds=0.25),
    )
    assert world.claim() == []
    world.clock.advance(0.25)
    assert world.claim_one().attempt == 2
    assert world.last_event(AttemptFailed).will_retry


def test_a_committed_step_forgives_what_failed_before_it() -> None:
    # given a run with four failures
    world = World()
    world.submit()
    for _ in range(4):
        fail(world, RetryClass.ERROR)
        world.clock.advance(60)

    # when its step is committed and it fails again
    claimed = world.claim_one()
    world.advance(claimed)
    world.answer(claimed, ("remote", "{}"))
    now(world.execution.fail(claimed, BROKEN))

    # then that is its first failure
    assert world.run().state is RunState.WAITING
    assert next(iter(world.store.tables.dispatches.values())).errors == 1


def test_throttling_goes_on_and_honours_what_was_asked_for() -> None:
    # given a run that is refused for load, many times
    world = World()
    world.submit()
    for _ in range(9):
        fail(world, RetryClass.THROTTLED)
        world.clock.advance(60)

    # when the refusing side asks for two minutes
    fail(world, RetryClass.THROTTLED, retry_after_s=120.0)

    # then it is given two minutes
    (reason,) = world.run().waiting
    assert reason.until == world.clock.now() + timedelta(seconds=120)


def test_a_fatal_failure_ends_the_run_at_once() -> None:
    # given a queued run
    world = World()
    world.submit()

    # when its model call is refused for good
    fail(world, RetryClass.FATAL)

    # then it is over, with the reason
    termination = world.run().termination
    assert termination is not None
    assert (termination.reason, termination.error_reason) == (TerminationReason.ERROR, "BROKEN")
    assert not world.last_event(AttemptFailed).will_retry


def test_a_failure_after_the_deadline_is_the_deadline() -> None:
    # given a run that fails when its time is over
    world = World()
    world.submit(deadline_s=10.0)
    claimed = world.claim_one()
    world.clock.advance(10)

    # when the failure is handed in
    now(world.execution.fail(claimed, BROKEN))

    # then the deadline is why it ended
    termination = world.run().termination
    assert termination is not None
    assert termination.reason is TerminationReason.DEADLINE


def test_a_hand_off_does_not_count_until_there_are_too_many() -> None:
    # given a run that stopping servers hand back
    world = World()
    world.submit()

    # when that happens twenty times, and once more
    attempts = []
    for _ in range(22):
        claimed = world.claim_one()
        attempts.append(claimed.attempt)
        now(world.execution.hand_back(claimed))

    # then only the one beyond twenty counted
    assert attempts == [1] * 21 + [2]
    assert world.run().state is RunState.WAITING


@pytest.mark.parametrize("how", ["hand_back", "fail", "crash"])
def test_a_cancelled_run_ends_cancelled_however_its_owner_leaves(how: str) -> None:
    # given a run that executes and was cancelled
    world = World()
    world.submit()
    claimed = world.claim_one()
    world.cancel(run_id=claimed.run.run_id, reason="enough")

    # when its owner leaves
    if how == "hand_back":
        now(world.execution.hand_back(claimed))
    elif how == "fail":
        now(world.execution.fail(claimed, BROKEN))
    else:
        now(world.execution.reclaim_all())

    # then it is cancelled, not tried again
    termination = world.run().termination
    assert termination is not None
    assert (termination.reason, termination.message) == (TerminationReason.CANCELLED, "enough")


def test_renewing_keeps_a_lease_and_lapsing_frees_it() -> None:
    # given a run that executes
    world = World()
    world.submit()
    claimed = world.claim_one()
    key = ("default", claimed.run.thread_id, claimed.fence)

    # when its lease is renewed once, and then no more
    world.clock.advance(10)
    (lease,) = now(world.execution.renew(frozenset({key})))
    nothing = now(world.execution.renew(frozenset({(*key[:2], claimed.fence + 1)})))
    world.clock.advance(LEASE_S - 1)
    early = now(world.execution.reclaim_lapsed())
    world.clock.advance(1)
    late = now(world.execution.reclaim_lapsed())

    # then it held for exactly its time
    assert lease.until == START + timedelta(seconds=10 + LEASE_S)
    assert (nothing, early, late) == ([], 0, 1)
    assert world.run().state is RunState.WAITING


def test_a_deadline_ends_what_nobody_executes() -> None:
    # given a queued run with ten seconds
    world = World()
    world.submit(deadline_s=10.0)

    # when the sweeper comes too early, and then in time
    world.clock.advance(9)
    early = now(world.execution.expire_due())
    world.clock.advance(1)
    late = now(world.execution.expire_due())

    # then it ends with its deadline
    termination = world.run().termination
    assert (early, late) == (0, 1)
    assert termination is not None
    assert termination.reason is TerminationReason.DEADLINE


def test_a_deadline_leaves_a_run_that_executes_to_its_owner() -> None:
    # given a run that executes beyond its deadline
    world = World()
    submitted = world.submit(deadline_s=10.0)
    world.claim_one()
    world.clock.advance(10)
    work = MemoryTx(world.store.tables).load("default", submitted.run_id, world.clock.now())
    assert work is not None

    # when it is swept
    # then its owner ends it, not the sweeper
    assert expire(work) is work


def test_a_run_without_a_dispatch_is_nobodys() -> None:
    # given a run that waits for its thread's pool
    world = World()
    submitted = world.submit(pool="room")
    world.advance(world.claim_one())
    work = MemoryTx(world.store.tables).load("default", submitted.run_id, world.clock.now())
    assert work is not None

    # when its claimed dispatch is asked for
    # then there is none
    with pytest.raises(FencedError):
        work.claimed()


def test_a_run_has_a_channel_of_its_own() -> None:
    # given the same run id in two tenants
    # when their channels are named
    # then they differ
    assert run_channel("a", "r") != run_channel("b", "r")


def test_a_run_that_executes_notices_its_deadline_by_itself() -> None:
    # given a run that executes beyond its deadline
    world = World()
    world.submit(deadline_s=10.0)
    claimed = world.claim_one()
    world.clock.advance(10)

    # when it is to go on
    # then it ends
    assert world.advance(claimed) == Ended()
    assert world.kinds()[-1] == "RunFinished"


def test_waiting_for_a_person_stops_the_clock() -> None:
    # given a run with ten seconds that asks a person after four
    world = World()
    world.submit(deadline_s=10.0)
    claimed = world.claim_one()
    world.clock.advance(4)
    world.advance(claimed)
    world.answer(claimed, ("ask_human", '{"question": "why?"}'))

    # when the person takes an hour
    world.clock.advance(3600)
    swept = now(world.execution.expire_due())
    world.decide(VerdictKind.ANSWER, "because")
    world.claim_one()

    # then the run has six seconds left
    assert swept == 0
    assert world.run().deadline_at - world.clock.now() == timedelta(seconds=6)


def test_a_lost_specification_ends_the_run() -> None:
    # given a run whose pinned specification is gone
    world = World()
    world.submit()
    world.forget_specs()
    claimed = world.claim_one()

    # when it is to go on
    # then it cannot, and says why
    assert world.advance(claimed) == Ended()
    termination = world.run().termination
    assert termination is not None
    assert termination.error_reason == "PIN_LOST"


@pytest.mark.parametrize(
    ("failures", "draw", "expected_s"),
    [(1, 1.0, 0.25), (2, 1.0, 0.5), (3, 0.5, 0.5), (9, 1.0, 60.0), (500, 1.0, 60.0)],
)
def test_backing_off_doubles_up_to_a_minute(failures: int, draw: float, expected_s: float) -> None:
    # given so many failures
    # when the pause is drawn
    # then it is that part of a ceiling that doubles
    assert backoff_s(failures, draw) == expected_s
