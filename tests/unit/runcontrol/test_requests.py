"""Requests become commands, every enum value is covered, all violations are found at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.runcontrol.v1 import errors_pb2
from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import errors_pb2 as worker_errors_pb2
from services.chassis.errors import DomainError, InvalidRequestError, UnimplementedError
from services.chassis.protobuf.enums import EnumTable
from services.chassis.protobuf.pages import page_token
from services.content.model import Image, Message, Role, Text
from services.runcontrol.api import enums, read_responses, requests
from services.runcontrol.api.codec import _KINDS, ProtobufCodec
from services.runcontrol.api.internal_requests import wake_from_pb
from services.runcontrol.api.responses import verdict_to_pb
from services.runcontrol.core import errors, events
from services.runcontrol.core.exchange import (
    Ticket,
    TicketKind,
    Verdict,
    VerdictKind,
    WakeEvent,
    WakeStatus,
)
from services.runcontrol.core.listing import Page
from services.runcontrol.core.model import PoolMembership, Priority
from services.runcontrol.core.submission import BusyPolicy

USER = content.Message(
    role=content.MESSAGE_ROLE_USER, parts=[content.Part(text=content.Text(text="go"))]
)


def violations(decode: Callable[[Any], object], request: object) -> set[str]:
    """The fields that a request is refused for."""
    with pytest.raises(InvalidRequestError) as refused:
        decode(request)
    return {violation.field for violation in refused.value.violations}


def submit(**fields: Any) -> service.SubmitRunRequest:
    return service.SubmitRunRequest(messages=[USER], agent_id="a", **fields)


@pytest.mark.parametrize(
    "table", [table for table in vars(enums).values() if isinstance(table, EnumTable)]
)
def test_every_enum_value_has_a_value_in_the_contract(table: EnumTable[Enum]) -> None:
    # given an enum of the core
    enum = next(iter(table.to_pb)).__class__

    # when its values are looked up
    # then each has its own number, none of them 0
    assert set(table.to_pb) == set(enum) == set(table.from_pb.values())
    assert len(table.from_pb) == len(table.to_pb)
    assert 0 not in table.from_pb


def test_every_event_has_an_arm_in_the_contract() -> None:
    # given the kinds of the core
    kinds = set(events.Kind.__args__)  # type: ignore[attr-defined]  # a union

    # when their encoders are read
    arms = {name for name, _ in _KINDS.values()}

    # then each has one of its own
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
    # then one of the contracts has them
    assert found
    known = {*errors_pb2.ErrorReason.keys(), *worker_errors_pb2.ErrorReason.keys()}
    assert {f"ERROR_REASON_{reason}" for reason in found} <= known


def test_every_field_of_a_submit_is_decoded() -> None:
    # given a request with every field set
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
    command = requests.submit_from_pb(request)

    # then the command has every value
    assert command.messages == (Message(Role.USER, (Text("go"),)),)
    assert (command.thread_id, command.agent_id) == ("t", "a")
    assert (command.busy_policy, command.priority) == (BusyPolicy.REJECT, Priority.HIGH)
    assert command.pool == PoolMembership("p", ("x", "y"))
    assert (command.deadline_s, command.max_rounds, command.max_total_tokens) == (5.5, 3, 9)
    assert command.min_registry_version == 4


def test_every_violation_of_a_submit_is_reported_at_once() -> None:
    # given a request whose every field is wrong
    request = service.SubmitRunRequest(
        thread_id="\n",
        agent_id="\n",
        messages=[content.Message(role=content.MESSAGE_ROLE_ASSISTANT, parts=USER.parts)],
        busy_policy=77,  # type: ignore[arg-type]  # unknown on purpose
        priority=77,  # type: ignore[arg-type]  # unknown on purpose
        pool=pb.PoolMembership(topics=[""] * 64),
        deadline=Duration(seconds=-1),
        budget=pb.Budget(max_rounds=1001, max_total_tokens=-1),
        on_disconnect=77,  # type: ignore[arg-type]  # unknown on purpose
        min_registry_version=-1,
    )

    # when it is decoded
    found = violations(requests.submit_from_pb, request)

    # then every field is named
    assert found - {f"pool.topics[{i}]" for i in range(64)} == {
        "thread_id",
        "agent_id",
        "messages[0].role",
        "busy_policy",
        "priority",
        "pool.pool_id",
        "deadline",
        "budget.max_rounds",
        "budget.max_total_tokens",
        "on_disconnect",
        "min_registry_version",
    }


def test_images_by_url_are_fetched_over_https_alone() -> None:
    # given messages with images by url and inline
    urls = ("https://x/y", "http://x/y", "data:image/png;base64,AA==", "ftp://x")
    images = [content.Image(url=url) for url in urls]
    images.append(content.Image(data=b"1", media_type="image/png"))
    said = content.Message(
        role=content.MESSAGE_ROLE_USER, parts=[content.Part(image=each) for each in images]
    )
    request = service.SubmitRunRequest(agent_id="a", messages=[USER, said])

    # when it is decoded
    # then the others are violations
    assert violations(requests.submit_from_pb, request) == {
        f"messages[1].parts[{place}].image.url" for place in (1, 2, 3)
    }


def test_a_submit_needs_a_message() -> None:
    # given a request without messages
    request = service.SubmitRunRequest(agent_id="a")

    # when it is decoded
    # then the violation names the field
    assert "messages" in violations(requests.submit_from_pb, request)


def test_options_of_later_versions_are_refused() -> None:
    # given a run that is cancelled on disconnect
    later = submit(on_disconnect=service.DISCONNECT_POLICY_CANCEL)

    # when it is decoded
    # then it is answered UNIMPLEMENTED
    with pytest.raises(UnimplementedError):
        requests.submit_from_pb(later)


def test_a_cancel_needs_a_target() -> None:
    # given a cancel without target and with a long reason, one of an empty run id, and a legal one
    nothing = service.CancelRunRequest(reason="x" * 4097)
    empty = service.CancelRunRequest(run_id="")
    right = service.CancelRunRequest(thread_id="t", reason="why")

    # when they are decoded
    command = requests.cancel_from_pb(right)

    # then only the last one is accepted
    assert violations(requests.cancel_from_pb, nothing) == {"target", "reason"}
    assert violations(requests.cancel_from_pb, empty) == {"run_id"}
    assert (command.thread_id, command.run_id, command.reason) == ("t", "", "why")


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (pb.Verdict(approve=pb.Approve()), Verdict(VerdictKind.APPROVE)),
        (pb.Verdict(deny=pb.Deny(reason="no")), Verdict(VerdictKind.DENY, "no")),
        (pb.Verdict(answer=pb.Answer(content="42")), Verdict(VerdictKind.ANSWER, "42")),
        (pb.Verdict(cancel_call=pb.CancelCall()), Verdict(VerdictKind.CANCEL_CALL)),
        (pb.Verdict(cancel_run=pb.CancelWholeRun()), Verdict(VerdictKind.CANCEL_RUN)),
        (
            pb.Verdict(approve_edited=pb.ApproveEdited(arguments_json="{}")),
            Verdict(VerdictKind.APPROVE_EDITED, "{}"),
        ),
        (
            pb.Verdict(pass_to_tool=pb.PassToTool(payload_json="7")),
            Verdict(VerdictKind.PASS_TO_TOOL, "7"),
        ),
        (
            pb.Verdict(happened=pb.Happened(content="paid")),
            Verdict(VerdictKind.HAPPENED, "paid"),
        ),
        (pb.Verdict(did_not_happen=pb.DidNotHappen()), Verdict(VerdictKind.DID_NOT_HAPPEN)),
        (pb.Verdict(abandon=pb.Abandon()), Verdict(VerdictKind.ABANDON)),
    ],
)
def test_verdicts_are_encoded_as_they_were_decoded(verdict: pb.Verdict, expected: Verdict) -> None:
    # given a verdict of the contract
    request = service.SubmitDecisionRequest(ticket_id="t", decision_id="d", verdict=verdict)

    # when it is decoded, and encoded again
    command = requests.decision_from_pb(request)

    # then it is the same
    assert command.verdict == expected
    assert verdict_to_pb(expected) == verdict


def test_every_violation_of_a_decision_is_reported_at_once() -> None:
    # given a decision on a call without run, and one without ticket and with a long answer
    call = service.SubmitDecisionRequest(tool_call_id="c", comment="x" * 4097)
    answer = pb.Verdict(answer=pb.Answer(content="x" * 65_537))
    nothing = service.SubmitDecisionRequest(run_id="r", decision_id="d", verdict=answer)

    # when they are decoded
    # then every violation is named
    decode = requests.decision_from_pb
    assert violations(decode, call) == {"target", "decision_id", "comment", "verdict"}
    assert violations(decode, nothing) == {"selector", "verdict.answer.content"}


def _decision(**fields: Any) -> service.SubmitDecisionRequest:
    verdict = fields.pop("verdict", pb.Verdict(approve=pb.Approve()))
    return service.SubmitDecisionRequest(ticket_id="t", decision_id="d", verdict=verdict, **fields)


def _wake(**fields: Any) -> internal.DeliverWakeRequest:
    ids = {"pool_id": "p", "condition_id": "c", "run_id": "r"}
    return internal.DeliverWakeRequest(status=pb.WAKE_STATUS_TRIGGERED, **{**ids, **fields})


@pytest.mark.parametrize(
    ("decode", "request_of", "field"),
    [
        (
            requests.cancel_from_pb,
            lambda nul: service.CancelRunRequest(run_id="r", reason=nul),
            "reason",
        ),
        (requests.decision_from_pb, lambda nul: _decision(comment=nul), "comment"),
        (
            requests.decision_from_pb,
            lambda nul: _decision(verdict=pb.Verdict(deny=pb.Deny(reason=nul))),
            "verdict.deny.reason",
        ),
        (
            requests.decision_from_pb,
            lambda nul: _decision(verdict=pb.Verdict(answer=pb.Answer(content=nul))),
            "verdict.answer.content",
        ),
        (
            requests.ticket_filter_from_pb,
            lambda nul: service.ListTicketsRequest(run_id=nul),
            "run_id",
        ),
        (
            requests.ticket_filter_from_pb,
            lambda nul: service.ListTicketsRequest(thread_id=nul),
            "thread_id",
        ),
        (wake_from_pb, lambda nul: _wake(message_ids=[nul]), "message_ids[0]"),
        (wake_from_pb, lambda nul: _wake(summary=nul), "summary"),
        (wake_from_pb, lambda nul: _wake(cause_traceparent=nul), "cause_traceparent"),
        (
            wake_from_pb,
            lambda nul: _wake(suspension_traceparent=nul),
            "suspension_traceparent",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_text_that_no_database_stores_is_refused(
    decode: Callable[[Any], object], request_of: Callable[[str], object], field: str
) -> None:
    decode(request_of("a"))
    assert violations(decode, request_of("a\0b")) == {field}


def test_every_field_of_a_wake_is_decoded_or_refused() -> None:
    # given a wake with every field set, and one whose every field is wrong
    request = internal.DeliverWakeRequest(
        pool_id="p",
        condition_id="c",
        run_id="r",
        status=pb.WAKE_STATUS_TRIGGERED,
        message_ids=["m"],
        cursor=b"\x01\xff",
        summary="s",
        cause_traceparent="cause",
        suspension_traceparent="suspension",
        events=[
            pb.WakeEvent(kind="member.joined", from_run_id="r2", from_agent_id="a"),
            pb.WakeEvent(kind="message.delivered", message_id="m"),
        ],
    )
    wrong = internal.DeliverWakeRequest(message_ids=["m"] * 65, events=[pb.WakeEvent()])

    # when they are decoded
    wake = wake_from_pb(request)
    refused = violations(wake_from_pb, wrong)

    # then the first has every value, and every violation of the second is named
    assert (wake.status, wake.message_ids, wake.after) == (WakeStatus.TRIGGERED, ("m",), "01ff")
    assert (wake.cause_traceparent, wake.suspension_traceparent) == ("cause", "suspension")
    assert wake.events == (
        WakeEvent("member.joined", from_run_id="r2", from_agent_id="a"),
        WakeEvent("message.delivered", "m"),
    )
    ids = {"pool_id", "condition_id", "run_id"}
    assert refused == {*ids, "status", "message_ids", "events[0].kind"}


def test_a_list_of_tickets_has_known_states_and_legal_page_sizes() -> None:
    # given a list with an unknown state and a negative size, one with a large size, and a plain one
    wrong = service.ListTicketsRequest(
        states=[99],  # type: ignore[list-item]  # unknown on purpose
        page_size=-1,
        page_token="?",
    )

    # when they are decoded
    refused = violations(requests.ticket_filter_from_pb, wrong)
    capped = requests.ticket_filter_from_pb(service.ListTicketsRequest(page_size=9999))
    plain = requests.ticket_filter_from_pb(service.ListTicketsRequest())

    # then violations are named, and sizes are capped
    assert refused == {"states[0]", "page_size", "page_token"}
    assert (capped.limit, plain.limit) == (200, 50)


def ticket(ticket_id: str, created_at: datetime) -> Ticket:
    ids = ("run", "thread", "agent", "call", "model-call", "tool")
    return Ticket("default", ticket_id, TicketKind.APPROVAL, *ids, "{}", b"", created_at)


def test_page_tokens_are_bound_to_their_query() -> None:
    # given a page of one ticket that is followed by another
    created = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    page = Page((ticket("first", created),), (created, "first"))
    request = service.ListTicketsRequest(run_id="r", page_size=1)
    token = read_responses.tickets_to_pb(request, page).next_page_token

    # when it is decoded for its query, for another one, and garbage is
    request.page_token = token
    assert requests.ticket_filter_from_pb(request).after == (created, "first")
    others = [
        service.ListTicketsRequest(run_id="other", page_token=token),
        service.ListTicketsRequest(page_token=token),
        *(
            service.ListTicketsRequest(run_id="r", page_token=wrong)
            for wrong in ("A", "%%%", "AAAA", token[:-4], "////////////////////////")
        ),
    ]

    # then only the first is accepted
    for other in others:
        assert violations(requests.ticket_filter_from_pb, other) == {"page_token"}


@pytest.mark.parametrize(
    "position", [(1.5, "t"), (True, "t"), (1, ""), (1, 7), (10**30, "t"), (1,), (1, "t", "u")]
)
def test_a_page_token_with_an_illegal_position_is_refused(position: tuple[Any, ...]) -> None:
    # given a token without a legal position
    request = service.ListTicketsRequest()
    request.page_token = page_token(request, position)

    # when it is decoded
    # then it is refused
    assert violations(requests.ticket_filter_from_pb, request) == {"page_token"}


def test_stored_messages_are_decoded_whole_or_refused() -> None:
    # given messages, and bytes that hold an illegal one
    codec = ProtobufCodec()
    messages = (
        Message(Role.USER, (Text("a"), Image(url="https://example.com/a.png"))),
        Message(Role.ASSISTANT, (Text("b"),)),
    )
    illegal = pb.Input(messages=[content.Message()]).SerializeToString()

    # when they are decoded
    # then they are the same, and the illegal one raises
    assert codec.decode_messages(codec.encode_messages(messages)) == messages
    with pytest.raises(ValueError, match="not legal"):
        codec.decode_messages(illegal)
