"""Enums on the wire are total in both directions; decisions fit their trailer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.router.v1 import errors_pb2
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.chassis.errors import DomainError, InvalidRequestError, UnimplementedError
from services.content.model import ReasoningEffort
from services.router.api import decode, encode
from services.router.api.decode import infer_from_pb
from services.router.api.encode import MAX_TRAILER_BYTES, decision_to_trailer
from services.router.core import errors
from services.router.core.decision import (
    Attempt,
    AttemptKind,
    AttemptOutcome,
    RouteDecision,
    Skipped,
    SkipReason,
    Sticky,
)
from services.router.core.model import MidStream
from services.router.core.request import JsonObject, JsonSchema
from services.wire.snapshot import SnapshotBehindError
from tests.contract.router.world import request


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (encode.FAILURE_TO_PB, prov.FailureClass),
        (encode.KIND_TO_PB, pb.AttemptKind),
        (encode.OUTCOME_TO_PB, pb.AttemptOutcome),
        (encode.SKIP_TO_PB, pb.SkipReason),
        (encode.STICKY_TO_PB, pb.StickyOutcome),
        (encode.FINISH_TO_PB, content.FinishReason),
    ],
)
def test_every_member_has_its_own_number(table: Mapping[object, int], enum: Any) -> None:
    assert sorted(table.values()) == sorted(set(enum.values()) - {0})


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (decode.MODE_FROM_PB, prov.ToolChoiceMode),
        (decode.EFFORT_FROM_PB, prov.ReasoningEffort),
        (decode.MID_STREAM_FROM_PB, pb.MidStream),
    ],
)
def test_every_number_can_be_read(table: Mapping[int, object], enum: Any) -> None:
    assert set(table) == set(enum.values())


def test_every_error_has_its_reason_in_the_contract() -> None:
    # given every error class that a call may end with
    raised: list[type[DomainError]] = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, DomainError) and value is not DomainError
    ]

    # when
    known = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118  # an enum wrapper

    # then
    assert {error.reason for error in raised} <= known
    assert SnapshotBehindError.reason in known


def attempt(number: int) -> Attempt:
    return Attempt(
        f"01a1fcb2-b35e-7dfa-923d-{number:012}",
        number,
        f"member-{number}",
        "provider",
        "upstream",
        AttemptKind.FAILOVER,
        AttemptOutcome.FAILED,
    )


def test_a_decision_that_is_too_large_for_trailers_keeps_its_ends() -> None:
    # given as many members as a pool may have
    decision = RouteDecision(
        "pool",
        True,
        "r1",
        7,
        "home",
        Sticky.MOVED,
        attempts=tuple(attempt(n) for n in range(1, 65)),
        skipped=tuple(Skipped(f"skipped-{n}", SkipReason.QUOTA_DEADLINE) for n in range(64)),
    )

    # when
    body = decision_to_trailer(decision)
    cut = pb.RouteDecision.FromString(body)

    # then
    assert len(body) <= MAX_TRAILER_BYTES
    assert not cut.skipped
    numbers = [each.number for each in cut.attempts]
    assert numbers[0] == 1
    assert numbers[-1] == 64
    assert len(numbers) > 10


def test_a_decision_that_fits_is_whole() -> None:
    # given
    decision = RouteDecision(
        "pool", True, "r1", 7, "home", Sticky.HOME, attempts=(attempt(1),), skipped=()
    )

    # when, then
    assert len(pb.RouteDecision.FromString(decision_to_trailer(decision)).attempts) == 1


def test_a_bare_request_gets_the_defaults() -> None:
    # when
    command = infer_from_pb(request("m"))

    # then
    assert command.target_id == "m"
    assert (command.min_registry_version, command.mid_stream, command.max_attempts) == (
        0,
        None,
        None,
    )
    assert command.prompt.sampling.temperature is None
    assert command.prompt.response_format is None


def test_everything_that_is_set_arrives() -> None:
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
        mid_stream=pb.MID_STREAM_INTERRUPT,
        max_attempts=3,
        min_registry_version=9,
    )

    # when
    command = infer_from_pb(asked)

    # then
    sampling = command.prompt.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_output_tokens) == (0, 1, 5)
    assert (sampling.stop, sampling.seed) == (("x",), -1)
    assert sampling.reasoning_effort is ReasoningEffort.HIGH
    assert command.prompt.response_format == JsonSchema("answer", '{"a": 1}', strict=True)
    assert command.mid_stream is MidStream.INTERRUPT
    assert (command.max_attempts, command.min_registry_version) == (3, 9)


def test_starting_a_broken_stream_over_is_only_announced() -> None:
    with pytest.raises(UnimplementedError):
        infer_from_pb(request("m", mid_stream=pb.MID_STREAM_RESTART))


def test_any_json_object_may_be_asked_for() -> None:
    # given
    wanted = prov.ResponseFormat(json_object=prov.JsonObjectFormat())

    # when, then
    assert infer_from_pb(request("m", response_format=wanted)).prompt.response_format == (
        JsonObject()
    )


TOOL = content.ToolDefinition(tool_id="look")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (rpc.InferRequest(target_id="m"), "messages"),
        (
            request("m", tool_choice=prov.ToolChoice(mode=prov.TOOL_CHOICE_MODE_REQUIRED)),
            "tool_choice.mode",
        ),
        (request("m", tool_choice=prov.ToolChoice(tool_id="look")), "tool_choice.tool_id"),
        (request("m", mid_stream=77), "mid_stream"),
        (
            request("m", tools=[content.ToolDefinition(tool_id=f"t{n}") for n in range(1001)]),
            "tools",
        ),
        (
            rpc.InferRequest(target_id="m", messages=list(request("m").messages) * 10_001),
            "messages",
        ),
        (
            request("m", tools=[content.ToolDefinition(tool_id="x", json_schema="[" * 100_000)]),
            "tools[0].json_schema",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(asked: rpc.InferRequest, field: str) -> None:
    # when
    with pytest.raises(InvalidRequestError) as raised:
        infer_from_pb(asked)

    # then
    assert {violation.field for violation in raised.value.violations} == {field}
