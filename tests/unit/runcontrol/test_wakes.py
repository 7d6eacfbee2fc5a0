"""Waits on a pool: parked first, woken once, messages shown once."""

from __future__ import annotations

import json

import pytest

from services.chassis.caller import LOCAL_PRINCIPAL
from services.runcontrol.core.commands import (
    AckCommand,
    Answered,
    FetchedMessage,
    RefusedForGood,
    SuspendCommand,
)
from services.runcontrol.core.errors import RunNotFoundError
from services.runcontrol.core.exchange import CallState, WakeStatus
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import RunState, WaitingKind
from services.runcontrol.core.stepping import Infer, Parked
from services.runcontrol.core.waking import FetchRequest, WakeOutcome
from tests.unit.runcontrol.world import World, now

WAIT = ("pool_wait", "{}")


def waiting(*calls: tuple[str, str]) -> World:
    """A run in a pool that waits for a message."""
    world = World()
    world.in_pool(*(calls or (WAIT,)))
    return world


def fetched(world: World, claimed: Claim, request: FetchRequest, *names: str) -> None:
    messages = tuple(FetchedMessage(n, f"token-{n}", f'{{"message_id": "{n}"}}') for n in names)
    now(world.execution.fetched(claimed, request, messages, "trace"))


def wake_with(world: World, *names: str, after: str = "c1") -> Claim:
    """Deliver a wake that names messages, and claim the run."""
    call = world.call()
    outcome = world.wake(call.condition_id, call.run_id, message_ids=names, after=after)
    assert outcome is WakeOutcome.ACCEPTED
    return world.claim_one()


def test_a_wait_parks_first_and_registers_through_the_outbox() -> None:
    # given a run in a pool
    # when its model waits
    world = waiting()

    # then the wait is committed before the pool knows of it
    call, command = world.call(), world.command()
    assert call.state is CallState.SUSPENDED
    assert [(r.kind, r.condition_id) for r in world.run().waiting] == [
        (WaitingKind.WAKE, call.condition_id)
    ]
    assert isinstance(command, SuspendCommand)
    assert (command.condition_id, command.after) == (call.condition_id, "c0")
    world.settle(command, Answered(""))
    assert world.call().state is CallState.SUSPENDED


def test_a_wake_brings_messages_that_are_shown_behind_the_result() -> None:
    # given a waiting run
    world = waiting()

    # when its wake names two messages, in the order of their commits
    claimed = wake_with(world, "m2", "m1")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request, "m2", "m1")
    following = world.advance(claimed)

    # then they are what the model reads next, and are acknowledged
    assert following == Infer(2)
    assert (request.pool_id, request.message_ids) == ("room", ("m2", "m1"))
    assert [m.text for m in world.prompt()[-2:]] == [
        '{"message_id": "m2"}',
        '{"message_id": "m1"}',
    ]
    assert json.loads(world.call().result) == {
        "status": "triggered",
        "pool_id": "room",
        "message_ids": ["m2", "m1"],
    }
    acks = [e.command for e in world.store.tables.outbox if isinstance(e.command, AckCommand)]
    assert [(a.message_id, a.receipt) for a in acks] == [("m2", "token-m2"), ("m1", "token-m1")]
    (membership,) = world.store.tables.memberships.values()
    assert membership.cursor == "c1"


def test_a_wake_is_taken_once_however_often_it_comes() -> None:
    # given a run that was woken
    world = waiting()
    call = world.call()

    # when the same wake comes before, while and after the run executes
    outcomes = [world.wake(call.condition_id, call.run_id) for _ in range(2)]
    claimed = world.claim_one()
    outcomes.append(world.wake(call.condition_id, call.run_id))
    following = world.advance(claimed)
    outcomes.append(world.wake(call.condition_id, call.run_id))

    # then it counted once
    assert following == Infer(2)
    assert outcomes == [WakeOutcome.ACCEPTED, *[WakeOutcome.DUPLICATE] * 3]


def test_a_wake_of_a_settled_call_is_dropped() -> None:
    # given a run whose wait the pool refused, and which went on
    world = waiting()
    call = world.call()
    world.settle(world.command(), RefusedForGood("NOT_A_MEMBER", "no"))
    following = world.advance(world.claim_one())

    # when a wake comes for it after all
    outcome = world.wake(call.condition_id, call.run_id)

    # then nobody waits for it
    assert following == Infer(2)
    assert world.call().state is CallState.FAILED
    assert outcome is WakeOutcome.DROPPED


@pytest.mark.parametrize("names", [(), ("m1",)])
def test_a_wake_that_comes_before_its_wait_is_kept_for_it(names: tuple[str, ...]) -> None:
    # given a run that has not waited yet
    world = World()
    world.submit(pool="room")
    world.advance(world.claim_one())
    world.settle(world.command(), world.joined())
    claimed = world.claim_one()
    world.advance(claimed)

    # when the end of its wait comes first
    early = world.wake(f"{claimed.run.run_id}.1.0", claimed.run.run_id, message_ids=names)
    following = world.answer(claimed, WAIT)

    # then the run does not park: it goes on at once, or fetches what it was woken with
    expected = FetchRequest(world.call().call_id, "room", names) if names else Infer(2)
    assert early is WakeOutcome.ACCEPTED
    assert following == expected
    assert world.run().state is RunState.RUNNING


def test_a_wake_after_the_end_says_so() -> None:
    # given a finished run
    world = World()
    claimed, _ = world.start()

    # when a wake comes for it
    outcome = world.wake("any", claimed.run.run_id)

    # then the pool learns that there is nobody
    assert outcome is WakeOutcome.RUN_FINISHED


def test_a_wake_for_an_unknown_run_is_not_found() -> None:
    # given nothing
    world = World()

    # when a wake comes
    # then there is no run for it
    with pytest.raises(RunNotFoundError):
        world.wake("any", "none")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (WakeStatus.TIMED_OUT, CallState.SUCCEEDED),
        (WakeStatus.CANCELLED, CallState.FAILED),
        (WakeStatus.FAILED, CallState.FAILED),
    ],
)
def test_a_wait_can_end_without_a_message(status: WakeStatus, state: CallState) -> None:
    # given a waiting run
    world = waiting()
    call = world.call()

    # when its wait ends otherwise
    world.wake(call.condition_id, call.run_id, status=status, summary="nobody came")
    following = world.advance(world.claim_one())

    # then the model learns how, and its place in the log is where it was
    assert following == Infer(2)
    assert world.call().state is state
    assert json.loads(world.call().result) == {
        "status": status.value,
        "pool_id": "room",
        "message_ids": [],
        "summary": "nobody came",
    }
    (membership,) = world.store.tables.memberships.values()
    assert membership.cursor == "c0"


def test_a_redelivered_message_is_acknowledged_and_never_shown_again() -> None:
    # given a run that has read a message and waits again
    world = waiting()
    claimed = wake_with(world, "m1")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request, "m1")
    world.advance(claimed)
    world.answer(claimed, ("pool_wait", '{"reply_to": "q", "timeout_s": 9}'))

    # when its next wake brings the same message
    claimed = wake_with(world, "m1", after="c2")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request, "m1")
    following = world.advance(claimed)

    # then it waits on from where the pool has got to, under a new name
    command = world.command()
    assert following == Parked()
    assert isinstance(command, SuspendCommand)
    assert (command.after, command.reply_to, command.timeout_s) == ("c2", "q", 9.0)
    assert command.condition_id == f"{world.call().call_id}.1" == world.call().condition_id
    acks = [e.command for e in world.store.tables.outbox if isinstance(e.command, AckCommand)]
    assert len(acks) == 2
    assert [m.text for m in world.prompt()].count('{"message_id": "m1"}') == 1
    assert world.wake(world.call().condition_id, world.run().run_id) is WakeOutcome.ACCEPTED


def test_a_wait_for_one_answer_does_not_pass_over_other_messages() -> None:
    # given a run that has got the answer it waited for, behind a message to it
    world = waiting(("pool_wait", '{"reply_to": "q"}'))
    claimed = wake_with(world, "answer", after="c2")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request, "answer")
    world.advance(claimed)

    # when it waits for any message
    world.answer(claimed, WAIT)

    # then the log is read from where it was: the message in between is found
    command = world.command()
    assert isinstance(command, SuspendCommand)
    assert command.after == "c0"

    # when the answer it has read and acknowledged is what is found first
    claimed = wake_with(world, "answer", after="c2")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request)

    # then it waits on behind that
    command = world.command()
    assert world.advance(claimed) == Parked()
    assert isinstance(command, SuspendCommand)
    assert command.after == "c2"


def test_a_redelivery_without_a_place_to_wait_from_is_left_to_the_model() -> None:
    # given a run that has read a message and waits again
    world = waiting()
    claimed = wake_with(world, "m1")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request, "m1")
    world.advance(claimed)
    world.answer(claimed, WAIT)

    # when its next wake brings the same message and no cursor
    claimed = wake_with(world, "m1", after="")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request, "m1")

    # then waiting on would be woken by it for ever
    assert json.loads(world.call().result)["message_ids"] == []


def test_a_message_that_is_gone_wakes_without_it() -> None:
    # given a waiting run
    world = waiting()
    claimed = wake_with(world, "m1")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)

    # when the pool no longer has the message
    fetched(world, claimed, request)

    # then the model learns of a wake without one
    assert json.loads(world.call().result)["message_ids"] == []


def test_a_fetch_that_is_repeated_after_the_wake_was_taken_changes_nothing() -> None:
    # given a run that has taken its wake
    world = waiting()
    claimed = wake_with(world, "m1")
    request = world.advance(claimed)
    assert isinstance(request, FetchRequest)
    fetched(world, claimed, request, "m1")
    before = world.store.tables.events

    # when the same messages are handed in again, and for a call of no step
    fetched(world, claimed, request, "m1")
    fetched(world, claimed, FetchRequest("other", "room", ("m1",)), "m1")

    # then nothing happens
    assert world.store.tables.events == before


def test_two_waits_that_bring_one_message_show_it_once() -> None:
    # given a run with two waits
    world = waiting(WAIT, WAIT)
    first, second = world.call(0 - 2), world.call(-1)
    world.wake(first.condition_id, first.run_id, message_ids=("m1",))
    world.wake(second.condition_id, second.run_id, message_ids=("m1",))
    claimed = world.claim_one()

    # when both are fetched
    for _ in range(2):
        request = world.advance(claimed)
        assert isinstance(request, FetchRequest)
        fetched(world, claimed, request, "m1")
    following = world.advance(claimed)

    # then the model reads it once
    assert following == Infer(2)
    assert [m.text for m in world.prompt()].count('{"message_id": "m1"}') == 1


def test_a_wake_of_a_pool_the_run_is_no_member_of_keeps_no_place() -> None:
    # given a run that waits in a pool it was told of and has not joined
    world = World()
    world.start(("pool_wait", '{"pool_id": "elsewhere"}'))
    call = world.call()

    # when it is woken with a cursor
    world.wake(call.condition_id, call.run_id, pool_id="elsewhere", after="c5")
    following = world.advance(world.claim_one())

    # then it goes on, and no membership is made up
    assert following == Infer(2)
    assert world.store.tables.memberships == {}


def test_runs_and_events_can_be_read() -> None:
    # given a finished run
    world = World()
    claimed, _ = world.start()
    run_id = claimed.run.run_id

    # when it and its events are read, and one that is not there
    view = now(world.runs.view(LOCAL_PRINCIPAL, run_id))
    feed = now(world.runs.events(LOCAL_PRINCIPAL, run_id, 2, 100))
    with pytest.raises(RunNotFoundError):
        now(world.runs.view(LOCAL_PRINCIPAL, "none"))
    with pytest.raises(RunNotFoundError):
        now(world.runs.events(LOCAL_PRINCIPAL, "none", 0, 1))

    # then they are as of the newest commit
    assert view.run == world.run()
    assert feed.finished
    assert feed.events[0][0] == 3
    assert feed.head == feed.events[-1][0] == world.run().event_seq


def test_the_conversation_is_read_whole() -> None:
    # given a run that has been answered
    world = World()
    claimed, _ = world.start()

    # when its conversation is read
    said = now(world.execution.conversation(claimed))

    # then it is the question and the answer
    assert [m.text for m in said] == ["go", "done"]
