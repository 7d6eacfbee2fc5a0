"""Waits on a pool: parked before they are registered, woken once, each message shown once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from services.runcontrol.core.commands import (
    AckCommand,
    CommandRefusal,
    CommandResult,
    FetchedMessage,
    SuspendCommand,
)
from services.runcontrol.core.errors import RunNotFoundError
from services.runcontrol.core.exchange import Call, CallState, WakeEvent, WakeStatus
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import RunState, WaitingKind
from services.runcontrol.core.stepping import Infer, Parked
from services.runcontrol.core.waking import FetchRequest, WakeOutcome
from tests.support.callers import LOCAL
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, now

WAIT = ("pool_wait", "{}")


def waiting(*calls: tuple[str, str]) -> InMemoryRunControl:
    """A run in a pool that waits for a message."""
    system = InMemoryRunControl()
    system.in_pool(*(calls or (WAIT,)))
    return system


def wake(system: InMemoryRunControl, call: Call, *names: str, **fields: Any) -> WakeOutcome:
    """Deliver the wake of a call, which names messages."""
    return system.wake(call.condition_id, call.run_id, message_ids=names, **fields)


def wake_and_claim(system: InMemoryRunControl, *names: str, after: str = "c1") -> Claim:
    assert wake(system, system.call(), *names, after=after) is WakeOutcome.ACCEPTED
    return system.claim_one()


def to_fetch(system: InMemoryRunControl, claimed: Claim) -> FetchRequest:
    request = system.advance(claimed)
    assert isinstance(request, FetchRequest)
    return request


def take(system: InMemoryRunControl, claimed: Claim, request: FetchRequest, *names: str) -> None:
    """Take the wake with these messages of the request."""
    messages = tuple(FetchedMessage(n, f"token-{n}", f'{{"message_id": "{n}"}}') for n in names)
    now(system.execution.take_wake(claimed, request, messages, "trace"))


def woken(system: InMemoryRunControl, *names: str, after: str = "c1") -> Claim:
    """Wake the run with messages, claim it and take the wake with all of them."""
    claimed = wake_and_claim(system, *names, after=after)
    take(system, claimed, to_fetch(system, claimed), *names)
    return claimed


def acknowledged(system: InMemoryRunControl) -> list[tuple[str, str]]:
    sent = (each.command for each in system.tables.outbox)
    return [(c.message_id, c.receipt) for c in sent if isinstance(c, AckCommand)]


def test_a_wait_is_committed_before_the_outbox_registers_it() -> None:
    # given a run in a pool
    # when its model calls pool_wait
    system = waiting()

    # then the run is parked, and the registration is in the outbox
    call, command = system.call(), system.command()
    assert call.state is CallState.SUSPENDED
    (reason,) = system.run().waiting
    assert (reason.kind, reason.condition_id) == (WaitingKind.WAKE, call.condition_id)
    assert isinstance(command, SuspendCommand)
    assert (command.condition_id, command.after) == (call.condition_id, "c0")
    system.settle(command, CommandResult(""))
    assert system.call().state is CallState.SUSPENDED


def test_the_messages_of_a_wake_follow_the_result_of_the_wait() -> None:
    # given a waiting run
    system = waiting()

    # when its wake names two messages, in the order of their commits
    claimed = wake_and_claim(system, "m2", "m1")
    request = to_fetch(system, claimed)
    take(system, claimed, request, "m2", "m1")
    following = system.advance(claimed)

    # then they follow in the conversation, and are acknowledged
    assert following == Infer(2)
    assert (request.pool_id, request.message_ids) == ("room", ("m2", "m1"))
    shown = [m.text for m in system.prompt()[-2:]]
    assert shown == ['{"message_id": "m2"}', '{"message_id": "m1"}']
    assert json.loads(system.call().result) == {
        "status": "triggered",
        "pool_id": "room",
        "message_ids": ["m2", "m1"],
    }
    assert acknowledged(system) == [("m2", "token-m2"), ("m1", "token-m1")]
    (membership,) = system.tables.memberships.values()
    assert membership.cursor == "c1"


def test_a_wake_is_taken_once_however_often_it_comes() -> None:
    # given a run that was woken
    system = waiting()
    call = system.call()

    # when the same wake arrives before, while and after the run executes
    outcomes = [wake(system, call) for _ in range(2)]
    claimed = system.claim_one()
    outcomes.append(wake(system, call))
    following = system.advance(claimed)
    outcomes.append(wake(system, call))

    # then it counted once
    assert following == Infer(2)
    assert outcomes == [WakeOutcome.ACCEPTED, *[WakeOutcome.DUPLICATE] * 3]


def test_a_wake_of_a_settled_call_is_dropped() -> None:
    # given a run whose wait the pool refused, and which continued
    system = waiting()
    call = system.call()
    system.settle(system.command(), CommandRefusal("NOT_A_MEMBER", "no"))
    following = system.advance(system.claim_one())

    # when a wake arrives for it
    outcome = wake(system, call)

    # then it is dropped
    assert following == Infer(2)
    assert system.call().state is CallState.FAILED
    assert outcome is WakeOutcome.DROPPED


@pytest.mark.parametrize("names", [(), ("m1",)])
def test_a_wake_that_arrives_before_its_wait_is_stored(
    system: InMemoryRunControl, names: tuple[str, ...]
) -> None:
    # given a run that has not waited yet
    claimed = system.join()

    # when the end of its wait arrives first
    early = system.wake(f"{claimed.run.run_id}.1.0", claimed.run.run_id, message_ids=names)
    following = system.answer(claimed, WAIT)

    # then the run does not park: it continues, or fetches the messages of the wake
    expected = FetchRequest(system.call().call_id, "room", names) if names else Infer(2)
    assert early is WakeOutcome.ACCEPTED
    assert following == expected
    assert system.run().state is RunState.RUNNING


def test_a_wake_of_a_finished_run_has_its_own_outcome(system: InMemoryRunControl) -> None:
    # given a finished run
    system.start()

    # when a wake arrives for it
    outcome = system.wake("any", system.run().run_id)

    # then the outcome says that the run has finished
    assert outcome is WakeOutcome.RUN_FINISHED


def test_a_wake_for_an_unknown_run_is_not_found(system: InMemoryRunControl) -> None:
    # when a wake arrives
    # then it is refused as not found
    with pytest.raises(RunNotFoundError):
        system.wake("any", "none")


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
    system = waiting()
    call = system.call()

    # when its wait ends without a match
    wake(system, call, status=status, summary="nobody came")
    following = system.advance(system.claim_one())

    # then the call's result says how, and the cursor is the same
    assert following == Infer(2)
    assert system.call().state is state
    assert json.loads(system.call().result) == {
        "status": status.value,
        "pool_id": "room",
        "message_ids": [],
        "summary": "nobody came",
    }
    (membership,) = system.tables.memberships.values()
    assert membership.cursor == "c0"


def test_a_redelivered_message_is_acknowledged_and_never_shown_again() -> None:
    # given a run that has read a message and waits again
    system = waiting()
    claimed = woken(system, "m1")
    system.advance(claimed)
    system.answer(claimed, ("pool_wait", '{"reply_to": "q", "timeout_s": 9}'))

    # when its next wake brings the same message
    claimed = woken(system, "m1", after="c2")
    following = system.advance(claimed)

    # then it waits after the wake's cursor, under a new condition id
    command = system.command()
    assert following == Parked()
    assert isinstance(command, SuspendCommand)
    assert (command.after, command.reply_to, command.timeout_s) == ("c2", "q", 9.0)
    assert command.condition_id == f"{system.call().call_id}.1" == system.call().condition_id
    assert len(acknowledged(system)) == 2
    assert [m.text for m in system.prompt()].count('{"message_id": "m1"}') == 1
    assert wake(system, system.call()) is WakeOutcome.ACCEPTED


def test_a_wait_for_one_answer_does_not_pass_over_other_messages() -> None:
    # given a run that has the answer it waited for, which followed another message to it
    system = waiting(("pool_wait", '{"reply_to": "q"}'))
    claimed = woken(system, "answer", after="c2")
    system.advance(claimed)

    # when it waits for any message
    system.answer(claimed, WAIT)

    # then the wait begins at the old cursor, before that message
    command = system.command()
    assert isinstance(command, SuspendCommand)
    assert command.after == "c0"

    # when the acknowledged answer is matched first
    claimed = wake_and_claim(system, "answer", after="c2")
    take(system, claimed, to_fetch(system, claimed))

    # then it waits after that
    command = system.command()
    assert system.advance(claimed) == Parked()
    assert isinstance(command, SuspendCommand)
    assert command.after == "c2"


def test_a_redelivery_without_a_cursor_ends_the_wait() -> None:
    # given a run that has read a message and waits again
    system = waiting()
    claimed = woken(system, "m1")
    system.advance(claimed)
    system.answer(claimed, WAIT)

    # when its next wake brings the same message and no cursor
    claimed = woken(system, "m1", after="")

    # then the call succeeds without messages: a new wait would match it again
    assert json.loads(system.call().result)["message_ids"] == []


def test_a_wake_whose_message_is_gone_ends_the_wait_without_it() -> None:
    # given a waiting run
    system = waiting()
    claimed = wake_and_claim(system, "m1")

    # when the pool no longer has the message
    take(system, claimed, to_fetch(system, claimed))

    # then the call's result has no messages
    assert json.loads(system.call().result)["message_ids"] == []


def test_a_fetch_that_is_repeated_after_the_wake_was_taken_changes_nothing() -> None:
    # given a run that has taken its wake
    system = waiting()
    claimed = wake_and_claim(system, "m1")
    request = to_fetch(system, claimed)
    take(system, claimed, request, "m1")
    before = system.tables.events

    # when the same messages are fetched again, and for a call of no step
    take(system, claimed, request, "m1")
    take(system, claimed, FetchRequest("other", "room", ("m1",)), "m1")

    # then nothing changes
    assert system.tables.events == before


def test_a_message_of_two_waits_is_shown_once() -> None:
    # given a run with two waits
    system = waiting(WAIT, WAIT)
    for index in (-2, -1):
        wake(system, system.call(index), "m1")
    claimed = system.claim_one()

    # when both are fetched
    for _ in range(2):
        take(system, claimed, to_fetch(system, claimed), "m1")
    following = system.advance(claimed)

    # then it is in the conversation once
    assert following == Infer(2)
    assert [m.text for m in system.prompt()].count('{"message_id": "m1"}') == 1


def test_a_wake_of_a_pool_that_was_not_joined_stores_no_cursor(system: InMemoryRunControl) -> None:
    # given a run that waits in a pool that it has not joined
    system.start(("pool_wait", '{"pool_id": "elsewhere"}'))
    call = system.call()

    # when it is woken with a cursor
    wake(system, call, pool_id="elsewhere", after="c5")
    following = system.advance(system.claim_one())

    # then it continues, and has no membership
    assert following == Infer(2)
    assert system.tables.memberships == {}


def test_runs_and_events_can_be_read(system: InMemoryRunControl) -> None:
    # given a finished run
    system.start()
    run_id = system.run().run_id

    # when it and its events are read, and an unknown one
    view = now(system.runs.view(LOCAL, run_id))
    feed = now(system.runs.events(LOCAL, run_id, 2, 100))
    with pytest.raises(RunNotFoundError):
        now(system.runs.view(LOCAL, "none"))
    with pytest.raises(RunNotFoundError):
        now(system.runs.events(LOCAL, "none", 0, 1))

    # then they are as of the newest commit
    assert view.run == system.run()
    assert feed.finished
    assert feed.events[0][0] == 3
    assert feed.head == feed.events[-1][0] == system.run().event_seq


def test_the_conversation_is_read_whole(system: InMemoryRunControl) -> None:
    # given a run that has been answered
    claimed, _ = system.start()

    # when its conversation is read
    said = now(system.execution.conversation(claimed, 0))

    # then it has the input and the answer
    assert [each.message.text for each in said] == ["go", "done"]


NARROW: list[dict[str, object]] = [
    {"reply_to": "q"},
    {"kinds": ["member.joined"]},
    {"from_run_id": "r"},
    {"from_agent_id": "a"},
    {"topic": "t"},
    {"correlation": {"order": "7"}},
]


@pytest.mark.parametrize("arguments", NARROW, ids=lambda each: next(iter(each)))
def test_a_wait_for_some_messages_leaves_the_others_to_the_next(
    arguments: dict[str, object],
) -> None:
    # given a run that waited for some messages, and has one
    system = waiting(("pool_wait", json.dumps(arguments)))
    claimed = woken(system, "m5", after="c5")
    system.advance(claimed)

    # when it waits for any message
    system.answer(claimed, WAIT)

    # then what came before that one counts
    command = system.command()
    assert isinstance(command, SuspendCommand)
    assert command.after == "c0"


def test_a_wait_that_is_registered_again_is_for_the_same() -> None:
    # given a run that has read a message, and waits for two of an agent
    system = waiting()
    claimed = woken(system, "m1")
    system.advance(claimed)
    wanted = {
        "from_agent_id": "a",
        "from_run_id": "r",
        "topic": "t",
        "reply_to": "q",
        "count": 2,
        "correlation": {"order": "7"},
        "timeout_s": 9,
    }
    system.answer(claimed, ("pool_wait", json.dumps(wanted)))
    first = system.command()

    # when its wake brings what it has read
    woken(system, "m1", after="c2")

    # then all is as before, but for the place and the name
    again = system.command()
    assert isinstance(first, SuspendCommand)
    assert isinstance(again, SuspendCommand)
    assert again == replace(first, condition_id=again.condition_id, after="c2")
    assert (again.count, again.correlation) == (2, (("order", "7"),))


def test_the_model_reads_which_events_ended_its_wait() -> None:
    # given a run that waits for members
    system = waiting(("pool_wait", '{"kinds": ["member.*"], "count": 2}'))

    # when one has joined, and a message to the run counted too
    events = (
        WakeEvent("member.joined", from_run_id="r9", from_agent_id="scout"),
        WakeEvent("message.delivered", "m1", "r9", "scout"),
    )
    assert wake(system, system.call(), events=events) is WakeOutcome.ACCEPTED
    following = system.advance(system.claim_one())

    # then it reads who joined; messages follow by themselves
    assert following == Infer(2)
    assert json.loads(system.call().result) == {
        "status": "triggered",
        "pool_id": "room",
        "message_ids": [],
        "events": [{"kind": "member.joined", "from_run_id": "r9", "from_agent_id": "scout"}],
    }


def test_a_known_message_beside_another_event_ends_the_wait() -> None:
    # given a run that has read a message, and waits for members
    system = waiting()
    claimed = woken(system, "m1")
    system.advance(claimed)
    system.answer(claimed, ("pool_wait", '{"kinds": ["member.joined", "message.delivered"]}'))

    # when its wake brings the message again, and somebody who joined
    joined = WakeEvent("member.joined", from_run_id="r9", from_agent_id="scout")
    wake(system, system.call(), "m1", after="c2", events=(joined,))
    claimed = system.claim_one()
    take(system, claimed, to_fetch(system, claimed), "m1")

    # then it is over
    assert [e["kind"] for e in json.loads(system.call().result)["events"]] == ["member.joined"]
