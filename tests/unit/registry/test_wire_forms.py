"""Resources to the wire and back, page tokens, and frames of every sort."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest
from google.protobuf.descriptor import EnumDescriptor
from hypothesis import given

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.chassis.errors import InvalidRequestError, Violation
from services.registry.api.convert import apply_from_pb, frame_to_pb
from services.registry.api.decoding import Decoder, EnumTable
from services.registry.api.pages import page_after, page_token
from services.registry.api.resources import ProtobufCodec, resource_to_pb, resources_from_pb
from services.registry.core.model import Kind, Ref, Resource
from services.registry.core.normalising import normalised
from services.registry.core.ports import Stored
from services.registry.core.watching import Alive, ChangePart, NetChange, Part, Stopping
from tests.support.registry_strategies import resources

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUERY = ("ListResources", 0, "")


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


def messages_with_every_enum_unknown() -> Iterator[tuple[pb.Resource, str]]:
    """One resource per enum field of the contract, set to a number that nobody knows."""
    provider = pb.Provider(id="p")
    provider.openai.token_limit_field = 99  # type: ignore[assignment]
    yield pb.Resource(provider=provider), "provider.openai.token_limit_field"
    provider = pb.Provider(id="p")
    provider.grpc.transport = 99  # type: ignore[assignment]
    yield pb.Resource(provider=provider), "provider.grpc.transport"
    step = pb.BuiltinStep(fault=pb.BuiltinFault(kind=99))  # type: ignore[arg-type]
    provider = pb.Provider(id="p", builtin=pb.BuiltinAdapter(steps=[step]))
    yield pb.Resource(provider=provider), "provider.builtin.steps[0].fault.kind"
    model = pb.Model(id="m", modalities=[99])  # type: ignore[list-item]
    yield pb.Resource(model=model), "model.modalities[0]"
    for path in ("routing.home", "routing.sticky_scope", "stickiness.return_home", "mid_stream"):
        pool = pb.ModelPool(id="mp")
        *holders, name = path.split(".")
        holder = getattr(pool, holders[0]) if holders else pool
        setattr(holder, name, 99)
        yield pb.Resource(model_pool=pool), f"model_pool.{path}"
    member = pb.PoolMember(role=99)  # type: ignore[arg-type]
    yield pb.Resource(model_pool=pb.ModelPool(members=[member])), "model_pool.members[0].role"
    agent = pb.Agent(id="a", sampling=pb.Sampling(reasoning_effort=99))  # type: ignore[arg-type]
    yield pb.Resource(agent=agent), "agent.sampling.reasoning_effort"
    rule = pb.ApprovalRule(tool_id="*", approval=99)  # type: ignore[arg-type]
    yield pb.Resource(agent=pb.Agent(approval_rules=[rule])), "agent.approval_rules[0].approval"
    worker = pb.WorkerExecutor()
    for name in ("effect_class", "approval"):
        tool = pb.Tool(id="t", worker=worker)
        setattr(tool, name, 99)
        yield pb.Resource(tool=tool), f"tool.{name}"
    tool = pb.Tool(id="t", builtin=99)  # type: ignore[arg-type]
    yield pb.Resource(tool=tool), "tool.builtin"


def test_an_unknown_number_of_any_enum_is_refused_at_its_path() -> None:
    expected, found = [], []
    for message, path in messages_with_every_enum_unknown():
        unreadable = unreadable_in(message)
        expected.append([f"resources[0].{path}"])
        found.append([violation.field for violation in unreadable])

    assert found == expected


def test_no_enum_of_the_contract_is_left_out_above() -> None:
    enums = {name for name in pb.DESCRIPTOR.enum_types_by_name if name != "ResourceKind"}
    tested = len(list(messages_with_every_enum_unknown()))

    # two enums of the shared types: approval, in two places, and effect class
    assert tested == len(enums) + 3


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Resource(), ""),
        (pb.Resource(provider=pb.Provider(base_url="?")), ".provider"),
        (
            pb.Resource(provider=pb.Provider(builtin=pb.BuiltinAdapter(steps=[pb.BuiltinStep()]))),
            ".provider.builtin.steps[0]",
        ),
        (
            pb.Resource(
                provider=pb.Provider(openai=pb.OpenAiAdapter(), credential_ref=pb.CredentialRef())
            ),
            ".provider.credential_ref",
        ),
        (
            pb.Resource(
                provider=pb.Provider(openai=pb.OpenAiAdapter(headers=[pb.HttpHeader(name="x")]))
            ),
            ".provider.openai.headers[0]",
        ),
        (pb.Resource(tool=pb.Tool(id="t")), ".tool"),
        (pb.Resource(tool=pb.Tool(builtin=pb.BUILTIN_TOOL_UNSPECIFIED)), ".tool.builtin"),
        (
            pb.Resource(agent=pb.Agent(approval_rules=[pb.ApprovalRule(tool_id="t")])),
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


@pytest.mark.parametrize(
    ("seconds", "nanos", "read"),
    [
        (1, 500_000_000, timedelta(seconds=1.5)),
        (-1, -500_000_000, timedelta(seconds=-1.5)),
        (0, 999, timedelta(0)),
    ],
)
def test_a_duration_is_read_to_the_microsecond(seconds: int, nanos: int, read: timedelta) -> None:
    provider = pb.Provider(timeout={"seconds": seconds, "nanos": nanos})

    assert Decoder().duration(provider, "timeout", "p", None) == read


def test_a_duration_beyond_reason_is_refused() -> None:
    decoder = Decoder()

    value = decoder.duration(pb.Provider(timeout={"seconds": 1 << 62}), "timeout", "p", None)

    assert value is None
    assert [violation.field for violation in decoder.found] == ["p.timeout"]


def test_an_enum_that_lags_behind_its_contract_is_found_at_import() -> None:
    class Some(Enum):
        PROVIDER = 1

    with pytest.raises(TypeError, match="Some has no member"):
        EnumTable(pb.ResourceKind, "RESOURCE_KIND", Some)


def test_every_enum_of_the_contract_says_when_it_is_not_set() -> None:
    enums: list[EnumDescriptor] = [
        *pb.DESCRIPTOR.enum_types_by_name.values(),
        *service_pb.DESCRIPTOR.enum_types_by_name.values(),
    ]

    assert len(enums) == 16
    assert all(enum.values[0].name.endswith("_UNSPECIFIED") for enum in enums)


@pytest.mark.parametrize("id_", ["a", "a/b", "🚀", 'quo"te', "0"])
def test_a_page_token_leads_back_to_its_place(id_: str) -> None:
    after = Ref(Kind.AGENT, id_)

    assert page_after(QUERY, page_token(QUERY, after)) == after


def test_the_last_page_and_the_first_have_no_token() -> None:
    assert page_token(QUERY, None) == ""
    assert page_after(QUERY, "") is None


def test_a_token_of_another_query_is_refused() -> None:
    token = page_token(QUERY, Ref(Kind.AGENT, "a"))

    with pytest.raises(InvalidRequestError) as caught:
        page_after(("ListResources", 1, ""), token)

    assert caught.value.violations[0].field == "page_token"


def test_a_request_that_is_far_too_long_is_not_read() -> None:
    """Of what it says, nothing is told: to look at millions of resources is what hurts."""
    # given one resource too many, none of which could be read
    request = service_pb.ApplyResourcesRequest(resources=[pb.Resource()] * 5001)

    with pytest.raises(InvalidRequestError) as caught:
        apply_from_pb(request)

    (violation,) = caught.value.violations
    assert violation == Violation("resources", "has 5,001 entries, at most 5,000 are allowed")


def test_a_frame_of_every_sort() -> None:
    # given
    stored = Stored(Ref(Kind.TOOL, "t"), b"\x01\x02", 7, "set", NOW, "ada", b"")
    part = Part([stored, Ref(Kind.AGENT, "a")], Ref(Kind.AGENT, "a"))

    # when
    change = frame_to_pb(ChangePart(NetChange(5, 8), 3, part), "inc", NOW)
    alive = frame_to_pb(Alive(8), "inc", NOW)
    stopping = frame_to_pb(Stopping(8), "inc", NOW)

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


GENUINE = page_token(QUERY, Ref(Kind.AGENT, "a"))
DIGEST = json.loads(base64.urlsafe_b64decode(GENUINE))[0]


@pytest.mark.parametrize(
    "token",
    [
        GENUINE[:4] + "!*" + GENUINE[4:],
        GENUINE + "\n",
        forged("[" * 100_000),
        forged(json.dumps([DIGEST, 4, "\ud800"])),
        forged(json.dumps([DIGEST, 4, "a\x00"])),
        forged(json.dumps([DIGEST, 4, ""])),
        forged(json.dumps([DIGEST, 4, 7])),
        forged(json.dumps([DIGEST, True, "a"])),
        forged(json.dumps([DIGEST, 99, "a"])),
        forged(json.dumps([DIGEST, 4, "a", "b"])),
        forged(json.dumps({DIGEST: 1, "b": 2, "c": 3})),
    ],
    ids=lambda token: token[:40],
)
def test_a_token_that_nobody_gave_out_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        page_after(QUERY, token)

    assert "is not a token of this listing" in caught.value.violations[0].description
