"""Requests to commands and back: total over every enum, every mistake found at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.runcontrol.v1 import errors_pb2
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import content_pb2 as content
from services.chassis.errors import DomainError, InvalidRequestError, UnimplementedError, Violation
from services.content.model import Image, Message, Role, Text
from services.runcontrol.api import requests, tables
from services.runcontrol.api.cursors import (
    decode_cursor,
    decode_page_token,
    encode_cursor,
    encode_page_token,
)
from services.runcontrol.api.events import _KINDS, ProtobufCodec
from services.runcontrol.api.resources import verdict_to_pb
from services.runcontrol.core import errors, events
from services.runcontrol.core.exchange import Verdict, VerdictKind, WakeStatus
from services.runcontrol.core.model import PoolMembership, Priority
from services.runcontrol.core.submission import BusyPolicy

USER = content.Message(
    role=content.MESSAGE_ROLE_USER, parts=[content.Part(text=content.Text(text="go"))]
)


def fields_of(refused: pytest.ExceptionInfo[InvalidRequestError]) -> set[str]:
    return {violation.field for violation in refused.value.violations}


def submit(**fields: Any) -> service.SubmitRunRequest:
    return service.SubmitRunRequest(messages=[USER], agent_id="a", **fields)


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (getattr(tables, name), next(iter(getattr(tables, name))).__class__)
        for name in dir(tables)
        if name.endswith("_TO_PB")
    ],
)
def test_every_value_has_one_on_the_wire(table: Mapping[Enum, int], enum: type[Enum]) -> None:
    # given an enum of the core
    # when its values are looked up
    # then each has its own number, none of them the unset one
    assert set(table) == set(enum)
    assert len(set(table.values())) == len(table)
    assert 0 not in table.values()


def test_every_event_has_an_arm_on_the_wire() -> None:
    # given the kinds of the core
    kinds = set(events.Kind.__args__)  # type: ignore[attr-defined]  # a union

    # when the encoders are looked at
    arms = {name for name, _ in _KINDS.values()}

    # then each has one, and its own
    assert set(_KINDS) == kinds
    assert len(arms) == len(kinds)
    assert arms <= {field.name for field in pb.Event.DESCRIPTOR.oneofs_by_name["kind"].fields}


def test_every_error_has_its_reason_in_the_contract() -> None:
    # given the errors of the core
    found = [
        each.reason
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, DomainError) and each is not DomainError
    ]

    # when their reasons are looked up
    # then clients know them
    assert found
    assert {f"ERROR_REASON_{reason}" for reason in found} <= set(errors_pb2.ErrorReason.keys())


def test_a_full_submit_is_decoded_as_it_was_meant() -> None:
    # given a request with everything in it
    request = submit(
        thread_id="t",
        busy_policy=service.BUSY_POLICY_REJECT,
        priority=pb.PRIORITY_HIGH,
        pool=pb.PoolMembership(pool_id="p", topics=["x", "y"]),
        deadline=Duration(seconds=5, nanos=500_000_000),
        budget=pb.Budget(max_rounds=3, max_total_tokens=9),
        min_registry_version=4,
    )

    # when it is decoded
    command = requests.submit_from_pb(request, "00-trace")

    # then nothing is lost
    assert command.messages == (Message(Role.USER, (Text("go"),)),)
    assert (command.thread_id, command.agent_id) == ("t", "a")
    assert (command.busy_policy, command.priority) == (BusyPolicy.REJECT, Priority.HIGH)
    assert command.pool == PoolMembership("p", ("x", "y"))
    assert (command.deadline_s, command.max_rounds, command.max_total_tokens) == (5.5, 3, 9)
    assert (command.min_registry_version, command.traceparent) == (4, "00-trace")


def test_everything_that_is_wrong_with_a_submit_is_said_at_once() -> None:
    # given a request in which nothing is right
    request = service.SubmitRunRequest(
        thread_id="\n",
        agent_id="\n",
        messages=[content.Message(role=content.MESSAGE_ROLE_ASSISTANT, parts=USER.parts)],
        busy_policy=77,  # type: ignore[arg-type]  # unknown on purpose
        priority=77,  # type: ignore[arg-type]  # unknown on purpose
        pool=pb.PoolMembership(topics=[""] * 65),
        deadline=Duration(seconds=-1),
        budget=pb.Budget(max_rounds=1001, max_total_tokens=-1),
        on_disconnect=77,  # type: ignore[arg-type]  # unknown on purpose
        min_registry_version=-1,
    )

    # when it is decoded
    with pytest.raises(InvalidRequestError) as refused:
        requests.submit_from_pb(request, "")

    # then every field is named
    assert fields_of(refused) - {f"pool.topics[{i}]" for i in range(65)} == {
        "thread_id",
        "agent_id",
        "messages[0].role",
        "busy_policy",
        "priority",
        "pool.pool_id",
        "pool.topics",
        "deadline",
        "budget.max_rounds",
        "budget.max_total_tokens",
        "on_disconnect",
        "min_registry_version",
    }


def test_a_submit_says_something_but_not_everything() -> None:
    # given no message, and too many
    for messages in ([], [USER] * 257):
        request = service.SubmitRunRequest(agent_id="a", messages=messages)

        # when it is decoded
        with pytest.raises(InvalidRequestError) as refused:
            requests.submit_from_pb(request, "")

        # then the count is wrong
        assert "messages" in fields_of(refused)


def test_options_of_later_versions_are_refused_not_ignored() -> None:
    # given a run that is to end with its subscriber, and a verdict with edited arguments
    later = submit(on_disconnect=service.DISCONNECT_POLICY_CANCEL)
    edited = service.SubmitDecisionRequest(
        ticket_id="t",
        decision_id="d",
        verdict=pb.Verdict(approve_edited=pb.ApproveEdited(arguments_json="{}")),
    )

    # when they are decoded
    # then both say that they are not served
    with pytest.raises(UnimplementedError):
        requests.submit_from_pb(later, "")
    with pytest.raises(UnimplementedError):
        requests.decision_from_pb(edited, "")


def test_a_cancel_names_what_it_cancels() -> None:
    # given a cancel of nothing with a long reason, one of an empty run, and a right one
    nothing = service.CancelRunRequest(reason="x" * 4097)
    empty = service.CancelRunRequest(run_id="")
    right = service.CancelRunRequest(thread_id="t", reason="why")

    # when they are decoded
    with pytest.raises(InvalidRequestError) as refused:
        requests.cancel_from_pb(nothing)
    with pytest.raises(InvalidRequestError) as refused_empty:
        requests.cancel_from_pb(empty)
    command = requests.cancel_from_pb(right)

    # then only the last one is taken
    assert fields_of(refused) == {"target", "reason"}
    assert fields_of(refused_empty) == {"run_id"}
    assert (command.thread_id, command.run_id, command.reason) == ("t", "", "why")


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (pb.Verdict(approve=pb.Approve()), Verdict(VerdictKind.APPROVE)),
        (pb.Verdict(deny=pb.Deny(reason="no")), Verdict(VerdictKind.DENY, "no")),
        (pb.Verdict(answer=pb.Answer(content="42")), Verdict(VerdictKind.ANSWER, "42")),
        (pb.Verdict(cancel_call=pb.CancelCall()), Verdict(VerdictKind.CANCEL_CALL)),
        (pb.Verdict(cancel_run=pb.CancelWholeRun()), Verdict(VerdictKind.CANCEL_RUN)),
    ],
)
def test_verdicts_go_there_and_back(verdict: pb.Verdict, expected: Verdict) -> None:
    # given a verdict on the wire
    request = service.SubmitDecisionRequest(ticket_id="t", decision_id="d", verdict=verdict)

    # when it is decoded, and encoded again
    command = requests.decision_from_pb(request, "")

    # then it is the same
    assert command.verdict == expected
    assert verdict_to_pb(expected) == verdict


def test_everything_that_is_wrong_with_a_decision_is_said_at_once() -> None:
    # given a decision on a call of nobody, and one on nothing with too much to say
    call = service.SubmitDecisionRequest(tool_call_id="c", comment="x" * 4097)
    nothing = service.SubmitDecisionRequest(
        run_id="r",
        decision_id="d",
        verdict=pb.Verdict(answer=pb.Answer(content="x" * 65_537)),
    )

    # when they are decoded
    with pytest.raises(InvalidRequestError) as first:
        requests.decision_from_pb(call, "")
    with pytest.raises(InvalidRequestError) as second:
        requests.decision_from_pb(nothing, "")

    # then every mistake is named
    assert fields_of(first) == {"target", "decision_id", "comment", "verdict"}
    assert fields_of(second) == {"selector", "verdict.answer.content"}


def test_a_wake_is_decoded_or_refused_as_a_whole() -> None:
    # given a whole wake, and one with nothing right
    request = service.DeliverWakeRequest(
        pool_id="p",
        condition_id="c",
        run_id="r",
        status=pb.WAKE_STATUS_TRIGGERED,
        message_ids=["m"],
        cursor=b"\x01\xff",
        summary="s",
        cause_traceparent="cause",
        suspension_traceparent="suspension",
    )
    wrong = service.DeliverWakeRequest(message_ids=["m"] * 65)

    # when they are decoded
    wake = requests.wake_from_pb(request)
    with pytest.raises(InvalidRequestError) as refused:
        requests.wake_from_pb(wrong)

    # then all of it is there, or every mistake is named
    assert (wake.status, wake.message_ids, wake.after) == (WakeStatus.TRIGGERED, ("m",), "01ff")
    assert (wake.cause_traceparent, wake.suspension_traceparent) == ("cause", "suspension")
    assert fields_of(refused) == {"pool_id", "condition_id", "run_id", "status", "message_ids"}


def test_a_list_asks_for_known_states_and_legal_pages() -> None:
    # given a list with an unknown state and a negative page, one for all, and a plain one
    wrong = service.ListTicketsRequest(
        states=[99],  # type: ignore[list-item]  # unknown on purpose
        page_size=-1,
        page_token="?",
    )

    # when they are decoded
    with pytest.raises(InvalidRequestError) as refused:
        requests.ticket_filter_from_pb(wrong)
    capped = requests.ticket_filter_from_pb(service.ListTicketsRequest(page_size=9999))
    plain = requests.ticket_filter_from_pb(service.ListTicketsRequest())

    # then mistakes are named, sizes capped, and one more is asked for than shown
    assert fields_of(refused) == {"states[0]", "page_size", "page_token"}
    assert (capped.limit, plain.limit) == (201, 51)


def test_cursors_lead_back_to_where_they_are_from_only() -> None:
    # given a cursor
    cursor = encode_cursor("run", 2**40)

    # when it is decoded for its run, for another one, and cut
    found: list[Violation] = []
    seq = decode_cursor(cursor, "run", found)
    assert (seq, found) == (2**40, [])
    for other in (cursor[:-1], b"", b"r1", encode_cursor("other", 1)):
        decode_cursor(other, "run", found)

    # then only the first is taken
    assert len(found) == 4


def test_page_tokens_are_good_for_their_own_query() -> None:
    # given a token
    instant = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    token = encode_page_token(instant, "ticket", b"query")

    # when it is decoded for its query, for another one, and garbage is
    found: list[Violation] = []
    assert decode_page_token(token, b"query", found) == (instant, "ticket")
    assert decode_page_token("", b"query", found) is None
    assert found == []
    for wrong in (token, "A", "%%%", "AAAA", "////////////////////////"):
        decode_page_token(wrong, b"other", found)

    # then only the first is taken
    assert len(found) == 5


def test_what_is_stored_is_read_back_whole_or_not_at_all() -> None:
    # given messages, and bytes that hold an illegal one
    codec = ProtobufCodec()
    messages = (
        Message(Role.USER, (Text("a"), Image(url="https://example.com/a.png"))),
        Message(Role.ASSISTANT, (Text("b"),)),
    )
    illegal = pb.Input(messages=[content.Message()]).SerializeToString()

    # when they are read back
    # then they are the same, and a broken row is not passed on as something else
    assert codec.decode_messages(codec.encode_messages(messages)) == messages
    with pytest.raises(ValueError, match="not legal"):
        codec.decode_messages(illegal)
