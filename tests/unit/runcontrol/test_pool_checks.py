"""Looks for messages in a pool: each is shown once, and the next wait begins behind them."""

from __future__ import annotations

import json

import pytest

from services.runcontrol.core.commands import (
    AckCommand,
    CheckCommand,
    CommandRefusal,
    CommandResult,
    FetchedMessage,
    SuspendCommand,
    decode_answer,
    encode_answer,
)
from services.runcontrol.core.exchange import CallState, VerdictKind
from services.runcontrol.core.model import RunState
from services.runcontrol.core.stepping import Infer, Parked
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl

CHECK = ("pool_check", "{}")
WAIT = ("pool_wait", "{}")


def found(*names: str, cursor: str = "c5", more: bool = False) -> CommandResult:
    """What a check has taken, as the outbox keeps it."""
    messages = tuple(FetchedMessage(n, f"token-{n}", f'{{"message_id": "{n}"}}') for n in names)
    facts = json.dumps({"pool_id": "room", "more": more})
    return decode_answer(encode_answer(CommandResult(facts, cursor, messages)))


def acknowledged(system: InMemoryRunControl) -> list[tuple[str, str]]:
    sent = (each.command for each in system.tables.outbox)
    return [(c.message_id, c.receipt) for c in sent if isinstance(c, AckCommand)]


@pytest.mark.parametrize(("arguments", "limit"), [("{}", 16), ('{"max_messages": 3}', 3)])
def test_a_check_takes_at_most_what_it_names(
    system: InMemoryRunControl, arguments: str, limit: int
) -> None:
    system.in_pool(("pool_check", arguments))
    command = system.command()
    assert isinstance(command, CheckCommand)
    assert (command.pool_id, command.max_messages) == ("room", limit)


def test_what_a_check_finds_follows_its_result(system: InMemoryRunControl) -> None:
    # given a run that looks for messages
    system.in_pool(CHECK)

    # when the pool had two
    system.settle(system.command(), found("m1", "m2", more=True))
    claimed = system.claim_one()
    following = system.advance(claimed)

    # then they follow the result, in order, and are acknowledged
    assert following == Infer(2)
    assert json.loads(system.call().result) == {
        "pool_id": "room",
        "more": True,
        "message_ids": ["m1", "m2"],
    }
    shown = [m.text for m in system.prompt()[-2:]]
    assert shown == ['{"message_id": "m1"}', '{"message_id": "m2"}']
    assert acknowledged(system) == [("m1", "token-m1"), ("m2", "token-m2")]

    # when it waits
    system.answer(claimed, WAIT)

    # then it waits for what comes after them
    command = system.command()
    assert isinstance(command, SuspendCommand)
    assert command.after == "c5"


def test_a_check_that_finds_nothing_says_so(system: InMemoryRunControl) -> None:
    system.in_pool(CHECK)

    system.settle(system.command(), found(cursor=""))
    following = system.advance(system.claim_one())

    assert following == Infer(2)
    assert json.loads(system.call().result)["message_ids"] == []
    (membership,) = system.tables.memberships.values()
    assert membership.cursor == "c0"


def test_a_message_that_is_known_is_acknowledged_again_and_not_shown(
    system: InMemoryRunControl,
) -> None:
    # given a run that has read a message
    system.in_pool(CHECK)
    system.settle(system.command(), found("m1"))
    claimed = system.claim_one()
    system.advance(claimed)

    # when a second check brings it again, with a new one
    system.answer(claimed, CHECK)
    system.settle(system.command(), found("m1", "m2", cursor="c6"))
    system.advance(system.claim_one())

    # then the new one alone is shown
    assert json.loads(system.call().result)["message_ids"] == ["m2"]
    texts = [message.text for message in system.prompt()]
    assert texts.count('{"message_id": "m1"}') == texts.count('{"message_id": "m2"}') == 1
    assert [name for name, _ in acknowledged(system)] == ["m1", "m1", "m2"]


def test_the_answer_to_a_check_counts_once(system: InMemoryRunControl) -> None:
    # given a check that was answered
    system.in_pool(CHECK)
    command = system.command()
    system.settle(command, found("m1"))

    # when the outbox applies the answer again
    system.settle(command, found("m1"))
    system.advance(system.claim_one())

    # then the message is there once
    texts = [message.text for message in system.prompt()]
    assert texts.count('{"message_id": "m1"}') == 1


def test_a_check_that_the_pool_refuses_fails_the_call_alone(system: InMemoryRunControl) -> None:
    system.in_pool(CHECK)

    system.settle(system.command(), CommandRefusal("NOT_A_MEMBER", "the run is no member"))

    assert system.call().state is CallState.FAILED
    assert json.loads(system.call().result)["error"] == "NOT_A_MEMBER"
    assert system.run().state is not RunState.DONE


def test_a_check_beside_a_question_shows_its_messages_once_both_have_ended(
    system: InMemoryRunControl,
) -> None:
    # given a step that looks for messages and asks a person
    system.in_pool(CHECK, ("ask_human", '{"question": "well?"}'))

    # when the check has found one
    system.settle(system.command(), found("m1"))
    following = system.advance(system.claim_one())

    # then the run waits for the person, and the message is not lost
    assert following == Parked()
    system.decide(VerdictKind.ANSWER, "yes")
    assert system.advance(system.claim_one()) == Infer(2)
    texts = [message.text for message in system.prompt()]
    assert texts.count('{"message_id": "m1"}') == 1
