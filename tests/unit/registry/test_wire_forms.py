"""Resources to the wire and back, page tokens, and frames of every sort."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.descriptor import EnumDescriptor
from hypothesis import given

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.chassis.errors import InvalidRequestError, Violation
from services.registry.api.requests import list_from_pb
from services.registry.api.resources.codec import ProtobufCodec, resource_to_pb, resources_from_pb
from services.registry.api.responses import frame_to_pb, listed_to_pb
from services.registry.api.sizes import SIZES
from services.registry.core.canonical import normalised
from services.registry.core.model import Resource
from services.registry.core.refs import Kind, Ref
from services.registry.core.registry import Listed
from services.registry.core.stored import Stored
from services.registry.core.watching import ChangePart, Heartbeat, NetChange, Part, Reconnect
from tests.support.registry_strategies import resources

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(resources())
def test_what_goes_to_the_wire_comes_back_the_same(resource: Resource) -> None:
    normal = normalised(resource)

    (submitted,), unreadable = resources_from_pb([resource_to_pb(normal)])

    assert (submitted.unreadable, unreadable) == ((), ())
    assert submitted.resource == normal
    assert submitted.field == f"resources[0].{normal.ref.kind.label}"


@given(resources())
def test_a_stored_body_is_read_as_it_was_written(resource: Resource) -> None:
    codec = ProtobufCodec()

    assert codec.decode(codec.encode(resource)) == resource


def test_an_empty_body_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty resource"):
        ProtobufCodec().decode(b"")


# One resource per enum field of the contract, set to a number that nobody knows.
UNKNOWN_ENUMS: dict[str, dict[str, Any]] = {
    "provider.openai.token_limit_field": {"openai": {"token_limit_field": 99}},
    "provider.grpc.transport": {"grpc": {"transport": 99}},
    "provider.builtin.steps[0].fault.kind": {"builtin": {"steps": [{"fault": {"kind": 99}}]}},
    "model.modalities[0]": {"modalities": [99]},
    "model_pool.routing.home": {"routing": {"home": 99}},
    "model_pool.routing.sticky_scope": {"routing": {"sticky_scope": 99}},
    "model_pool.stickiness.return_home": {"stickiness": {"return_home": 99}},
    "model_pool.mid_stream": {"mid_stream": 99},
    "model_pool.members[0].role": {"members": [{"role": 99}]},
    "agent.sampling.reasoning_effort": {"sampling": {"reasoning_effort": 99}},
    "agent.approval_rules[0].approval": {"approval_rules": [{"tool_id": "*", "approval": 99}]},
    "tool.effect_class": {"worker": {}, "effect_class": 99},
    "tool.approval": {"worker": {}, "approval": 99},
    "tool.builtin": {"builtin": 99},
}


@pytest.mark.parametrize("path", UNKNOWN_ENUMS)
def test_an_unknown_number_of_any_enum_is_refused_at_its_path(path: str) -> None:
    message = pb.Resource(**{path.partition(".")[0]: UNKNOWN_ENUMS[path]})

    assert [violation.field for violation in unreadable_in(message)] == [f"resources[0].{path}"]


def test_no_enum_of_the_contract_is_left_out_above() -> None:
    enums = {name for name in pb.DESCRIPTOR.enum_types_by_name if name != "ResourceKind"}

    # two enums of the shared types: approval, in two places, and effect class
    assert len(UNKNOWN_ENUMS) == len(enums) + 3


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Resource(), ""),
        (pb.Resource(provider=pb.Provider(base_url="?")), ".provider"),
        (pb.Resource(provider={"builtin": {"steps": [{}]}}), ".provider.builtin.steps[0]"),
        (pb.Resource(provider={"openai": {}, "credential_ref": {}}), ".provider.credential_ref"),
        (
            pb.Resource(provider={"openai": {"headers": [{"name": "x"}]}}),
            ".provider.openai.headers[0]",
        ),
        (pb.Resource(tool=pb.Tool(id="t")), ".tool"),
        (pb.Resource(tool=pb.Tool(builtin=pb.BUILTIN_TOOL_UNSPECIFIED)), ".tool.builtin"),
        (
            pb.Resource(agent={"approval_rules": [{"tool_id": "t"}]}),
            ".agent.approval_rules[0].approval",
        ),
    ],
)
def test_a_missing_choice_is_refused_at_its_path(message: pb.Resource, field: str) -> None:
    found = unreadable_in(message)

    assert [violation.field for violation in found] == [f"resources[0]{field}"]


def unreadable_in(message: pb.Resource) -> list[Violation]:
    submitted, nothing = resources_from_pb([message])
    return [*nothing, *(violation for item in submitted for violation in item.unreadable)]


def test_every_enum_of_the_contract_says_when_it_is_not_set() -> None:
    enums: list[EnumDescriptor] = [
        *pb.DESCRIPTOR.enum_types_by_name.values(),
        *service_pb.DESCRIPTOR.enum_types_by_name.values(),
    ]

    assert len(enums) == 16
    assert all(enum.values[0].name.endswith("_UNSPECIFIED") for enum in enums)


def listing(token: str) -> service_pb.ListResourcesRequest:
    return service_pb.ListResourcesRequest(page_token=token)


def token_after(ref: Ref | None) -> str:
    return listed_to_pb(Listed((), ref, 1), listing("")).next_page_token


@pytest.mark.parametrize("id_", ["a", "a/b", "🚀", 'quo"te', "0"])
def test_a_page_token_leads_back_to_its_place(id_: str) -> None:
    after = Ref(Kind.AGENT, id_)

    assert list_from_pb(listing(token_after(after))).after == after


def test_the_last_page_and_the_first_have_no_token() -> None:
    assert token_after(None) == ""
    assert list_from_pb(listing("")).after is None


def test_a_token_of_another_query_is_refused() -> None:
    request = listing(token_after(Ref(Kind.AGENT, "a")))
    request.kind = pb.RESOURCE_KIND_AGENT

    with pytest.raises(InvalidRequestError) as caught:
        list_from_pb(request)

    assert caught.value.violations[0].field == "page_token"


def test_a_request_that_is_far_too_long_is_not_read() -> None:
    """Of what it says, nothing is told: to look at millions of resources is what hurts."""
    # given one resource too many, none of which could be read
    request = service_pb.ApplyResourcesRequest(resources=[pb.Resource()] * 20_001)

    found = SIZES.violations(request)

    assert found == [Violation("resources", "has 20,001 entries, at most 20,000 are allowed")]


def test_a_frame_of_every_sort() -> None:
    # given
    stored = Stored(Ref(Kind.TOOL, "t"), b"\x01\x02", 7, "set", NOW, "ada", b"")
    part = Part([stored, Ref(Kind.AGENT, "a")], Ref(Kind.AGENT, "a"))

    # when
    change = frame_to_pb(ChangePart(NetChange(5, 8), 3, part), "inc", NOW)
    alive = frame_to_pb(Heartbeat(8), "inc", NOW)
    stopping = frame_to_pb(Reconnect(8), "inc", NOW)

    # then
    assert {frame.incarnation for frame in (change, alive, stopping)} == {"inc"}
    assert (change.from_version, change.to_version, change.part) == (5, 8, 3)
    assert not change.last_part
    assert change.items[0].upserted.meta.content_hash == "0102"
    assert change.items[0].upserted.meta.apply_set == ""  # a mark is no content
    assert change.items[1].removed == pb.ResourceRef(kind=pb.RESOURCE_KIND_AGENT, id="a")
    assert alive.heartbeat.cursor == stopping.reconnect.cursor == b"8"
    assert alive.heartbeat.server_time.ToDatetime(UTC) == NOW
    assert (alive.to_version, stopping.to_version) == (8, 8)
    assert not stopping.HasField("heartbeat")


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")


DIGEST = json.loads(base64.urlsafe_b64decode(token_after(Ref(Kind.AGENT, "a"))))[0]


@pytest.mark.parametrize(
    "position",
    [[4, "\ud800"], [4, "a\x00"], [4, ""], [4, 7], [True, "a"], [99, "a"], [4, "a", "b"]],
    ids=repr,
)
def test_a_token_of_a_resource_that_cannot_be_is_refused(position: list[object]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        list_from_pb(listing(forged(json.dumps([DIGEST, *position]))))

    assert "is not a token of this listing" in caught.value.violations[0].description
