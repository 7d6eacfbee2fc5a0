"""Conversions: enum tables are total in both directions; decisions fit their trailer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from enum import Enum
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.provider.v1 import provider_pb2 as prov
from runyard.router.v1 import errors_pb2
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.chassis.errors import DomainError, InvalidRequestError
from services.chassis.protobuf.enums import EnumTable
from services.content.model import ReasoningEffort, Sampling
from services.router.api import enums
from services.router.api.requests import infer_from_pb
from services.router.api.responses import MAX_DETAIL_BYTES, decision_to_detail, decision_to_pb
from services.router.core import errors
from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import FailureClass
from services.router.core.model import MidStream
from services.router.core.request import JsonObject, JsonSchema
from services.wire.snapshot import SnapshotBehindError
from tests.contract.router.router_under_test import request
from tests.unit.router.builders import at, attempt, decision


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (enums.BREAKERS, pb.BreakerState),
        (enums.EFFORTS, prov.ReasoningEffort),
        (enums.FAILURES, prov.FailureClass),
        (enums.KINDS, pb.AttemptKind),
        (enums.MID_STREAMS, pb.MidStream),
        (enums.MODES, prov.ToolChoiceMode),
        (enums.OUTCOMES, pb.AttemptOutcome),
        (enums.SKIPS, pb.SkipReason),
        (enums.STICKIES, pb.StickyOutcome),
    ],
)
def test_every_member_has_its_own_number(table: EnumTable[Enum], enum: Any) -> None:
    assert set(table.from_pb) == set(enum.values()) - {0}
    assert {enum.Value(name) for name in table.to_pb.values()} == set(table.from_pb)


def test_every_error_has_its_reason_in_the_contract() -> None:
    # given every error class that a call may end with
    raised: list[type[DomainError]] = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, DomainError) and hasattr(value, "reason")
    ]

    # when
    known = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118  # an enum wrapper

    # then
    assert {error.reason for error in raised} <= known
    assert SnapshotBehindError.reason in known


def test_a_decision_too_large_for_an_error_keeps_the_reasons_of_16_members() -> None:
    # given eight members that failed, and eight that lack something which is long to say
    attempts = [attempt(number) for number in range(1, 9)]
    skipped = [Skipped(f"skipped-{n}", SkipReason.INCAPABLE, detail="x" * 500) for n in range(8)]

    # when
    cut = decision_to_detail(decision(attempts, skipped))

    # then names and reasons are there, and as many details as fit
    assert cut.ByteSize() <= MAX_DETAIL_BYTES
    assert [(skip.member_id, skip.reason) for skip in cut.skipped] == [
        (f"skipped-{n}", pb.SKIP_REASON_INCAPABLE) for n in range(8)
    ]
    assert 0 < len([skip for skip in cut.skipped if skip.detail]) < 8
    assert [each.number for each in cut.attempts] == [*range(1, 9)]


def test_of_a_decision_too_large_for_an_error_a_long_session_goes_early() -> None:
    # given 16 members with short details, and a session of 519 bytes
    skipped = [Skipped(f"member-{n:02}", SkipReason.INCAPABLE, detail="x" * 130) for n in range(16)]
    found = replace(decision([attempt(1)], skipped), session=f"thread:{'t' * 512}")

    # when
    cut = decision_to_detail(found)

    # then
    assert cut.session == ""
    assert all(skip.detail for skip in cut.skipped)
    assert decision_to_pb(found).ByteSize() > MAX_DETAIL_BYTES


@pytest.mark.parametrize(
    ("reason", "failure", "skip"),
    [
        (FailureClass.RATE_LIMIT, prov.FAILURE_CLASS_RATE_LIMIT, pb.SKIP_REASON_UNSPECIFIED),
        (
            SkipReason.CIRCUIT_OPEN,
            prov.FAILURE_CLASS_UNSPECIFIED,
            pb.SKIP_REASON_CIRCUIT_OPEN,
        ),
        (None, prov.FAILURE_CLASS_UNSPECIFIED, pb.SKIP_REASON_UNSPECIFIED),
    ],
)
def test_a_decision_tells_what_moved_its_session(
    reason: FailureClass | SkipReason | None, failure: int, skip: int
) -> None:
    # when
    bare = decision([])
    message = decision_to_pb(replace(bare, session="key:k", moved_at=at(5), move_reason=reason))

    # then
    assert (message.session, message.move_time.ToDatetime(UTC)) == ("key:k", at(5))
    assert (message.move_reason, message.move_skip_reason) == (failure, skip)
    assert not decision_to_pb(bare).HasField("move_time")


def test_a_decision_of_128_members_keeps_first_and_last_attempts() -> None:
    # given more than fit
    attempts = [attempt(number) for number in range(1, 65)]
    skipped = [Skipped(f"skipped-{n}", SkipReason.QUOTA_DEADLINE) for n in range(64)]

    # when
    cut = decision_to_detail(decision(attempts, skipped))

    # then
    assert cut.ByteSize() <= MAX_DETAIL_BYTES
    assert len(cut.skipped) == 64
    numbers = [each.number for each in cut.attempts]
    assert (numbers[0], numbers[-1]) == (1, 64)
    assert len(numbers) > 10


def test_a_decision_that_fits_is_complete() -> None:
    found = decision([attempt(1)], [Skipped("b", SkipReason.INCAPABLE, detail="adapter grpc")])

    assert decision_to_detail(found) == decision_to_pb(found)


def test_a_minimal_request_gets_the_defaults() -> None:
    # when
    command = infer_from_pb(request("m"))

    # then
    assert command.target_id == "m"
    assert command.min_registry_version == 0
    assert (command.mid_stream, command.max_attempts, command.max_wait_s) == (None, None, 10.0)
    assert command.prompt.sampling.temperature is None
    assert command.prompt.response_format is None


def test_every_field_that_is_set_is_decoded() -> None:
    # given
    schema = prov.JsonSchemaFormat(name="answer", json_schema='{"a": 1}', strict=True)
    asked = request(
        "m",
        sampling=prov.Sampling(
            temperature=0,
            top_p=1,
            max_output_tokens=5,
            stop=["x"],
            seed=-1,
            reasoning_effort=prov.REASONING_EFFORT_HIGH,
        ),
        response_format=prov.ResponseFormat(json_schema=schema),
        mid_stream=pb.MID_STREAM_RESTART,
        max_attempts=3,
        max_wait=Duration(seconds=60),
        min_registry_version=9,
    )

    # when
    command = infer_from_pb(asked)

    # then
    assert command.prompt.sampling == Sampling(0, 1, 5, ("x",), -1, ReasoningEffort.HIGH)
    assert command.prompt.response_format == JsonSchema("answer", '{"a": 1}', strict=True)
    assert command.mid_stream is MidStream.RESTART
    assert (command.max_attempts, command.min_registry_version) == (3, 9)
    assert command.max_wait_s == 60.0


def test_the_response_format_may_be_any_json_object() -> None:
    # given
    wanted = prov.ResponseFormat(json_object=prov.JsonObjectFormat())

    # when, then
    command = infer_from_pb(request("m", response_format=wanted))
    assert command.prompt.response_format == JsonObject()


REQUIRED = prov.ToolChoice(mode=prov.TOOL_CHOICE_MODE_REQUIRED)
ENDLESS = content.ToolDefinition(tool_id="x", json_schema='{"maximum": Infinity}')
DEEP = content.ToolDefinition(tool_id="x", json_schema="[" * 100_000)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (rpc.InferRequest(target_id="m"), "messages"),
        (request("m", tool_choice=REQUIRED), "tool_choice.mode"),
        (request("m", tool_choice=prov.ToolChoice(tool_id="look")), "tool_choice.tool_id"),
        (request("m", mid_stream=77), "mid_stream"),
        (request("m", max_wait=Duration(seconds=60, nanos=1000)), "max_wait"),
        (request("m", max_wait=Duration(seconds=-1)), "max_wait"),
        (request("m", tools=[DEEP]), "tools[0].json_schema"),
        (request("m", tools=[ENDLESS]), "tools[0].json_schema"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_violation_names_its_field(asked: rpc.InferRequest, field: str) -> None:
    # when
    with pytest.raises(InvalidRequestError) as raised:
        infer_from_pb(asked)

    # then
    assert {violation.field for violation in raised.value.violations} == {field}
