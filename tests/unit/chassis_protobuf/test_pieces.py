"""A large request in pieces is what it is in one, and what it has too much of is refused first."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from runyard.registry.v1 import registry_pb2, registry_service_pb2
from runyard.router.v1.router_service_pb2 import InferRequest
from runyard.types.v1 import content_pb2 as content
from scripts.limits_docs import sizes_of
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.protobuf import pieces
from services.chassis.protobuf.pieces import parsed
from services.chassis.protobuf.sizes import NO_SIZES, Sizes
from services.chassis.slices import AbandonedError, Slices
from tests.support.arbitrary_messages import ArbitraryMessages
from tests.support.smallest_messages import REQUESTS

SERVICES = ("registry", "router", "runcontrol", "pool")
ROUTER = sizes_of("router")
Apply = registry_service_pb2.ApplyResourcesRequest


def known() -> Iterator[tuple[Message, Sizes]]:
    """Every request that a service judges, with its limits."""
    for sizes in map(sizes_of, SERVICES):
        yield from ((request, sizes) for request in REQUESTS if sizes.check_of(type(request)))


KNOWN = list(known())
WHOLE = st.tuples(st.sampled_from(KNOWN), st.integers(0, 1 << 32))


def arbitrary(legal: Message, seed: int) -> Message:
    changed: Message = ArbitraryMessages(random.Random(seed), {}).changed(legal)
    return changed


def canonical(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def refused(data: bytes, empty: Message, sizes: Sizes) -> list[Violation]:
    with pytest.raises(InvalidRequestError) as caught:
        parsed(data, empty, sizes)
    return list(caught.value.violations)


@given(WHOLE, st.integers(1, 300))
def test_the_pieces_are_the_whole(
    which: tuple[tuple[Message, Sizes], int], piece_bytes: int
) -> None:
    # given any request
    (legal, sizes), seed = which
    request = arbitrary(legal, seed)
    data = request.SerializeToString()

    # when it is parsed in pieces
    unlimited = parsed(data, type(request)(), NO_SIZES, piece_bytes)
    found = violations(data, request, sizes, piece_bytes)

    # then it is the same, and refused for what it would be refused for as a whole
    assert canonical(unlimited) == canonical(request)
    judged = set(sizes.violations(request))
    assert set(found) <= judged
    assert found or not any("entries" in each.description for each in judged)


def violations(
    data: bytes, request: Message, sizes: Sizes, piece_bytes: int
) -> tuple[Violation, ...]:
    """Those that are found before it is parsed; of a request without it is what is parsed."""
    try:
        assert canonical(parsed(data, type(request)(), sizes, piece_bytes)) == canonical(request)
    except InvalidRequestError as error:
        return error.violations
    return ()


@given(WHOLE, st.integers(1, 300), st.data())
def test_what_protobuf_cannot_read_is_refused_in_pieces_too(
    which: tuple[tuple[Message, Sizes], int], piece_bytes: int, data: st.DataObject
) -> None:
    # given the bytes of a request, some of which are lost or changed
    (legal, _), seed = which
    wire = bytearray(arbitrary(legal, seed).SerializeToString() or b"\x0a")
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    wire = wire[: data.draw(st.integers(0, len(wire)))]

    # when they are parsed
    whole = outcome(lambda empty: empty.MergeFromString(bytes(wire)), legal)
    in_pieces = outcome(lambda empty: parsed(bytes(wire), empty, NO_SIZES, piece_bytes), legal)

    # then both ways come to the same, but for a group, which no message of ours has
    assert in_pieces == whole or "in a way that is not known" in str(in_pieces)


def outcome(parse: Callable[[Message], object], legal: Message) -> bytes:
    """What becomes of a request, or why it is refused."""
    empty = type(legal)()
    try:
        parse(empty)
    except DecodeError as error:
        reason = str(error)
        return reason.encode() if "in a way that is not known" in reason else b"malformed"
    return canonical(empty)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\x0a", id="no length"),
        pytest.param(b"\x0a\x05a", id="cut off"),
        pytest.param(b"\x0a\x80", id="a length that is cut off"),
        pytest.param(b"\x0a" + b"\xff" * 10, id="a number that is too long"),
        pytest.param(b"\x0a\x02\x0a\x02", id="a field that reaches beyond its message"),
        pytest.param(b"\x0b\x0c", id="a group"),
        pytest.param(b"\x0f", id="no kind of field"),
        pytest.param(b"\x09\x00", id="64 bits that are cut off"),
        pytest.param(b"\x0d\x00", id="32 bits that are cut off"),
        pytest.param(b"\x00\x00", id="a field without a number"),
    ],
)
def test_malformed_bytes_are_refused(wire: bytes) -> None:
    with pytest.raises(DecodeError):
        parsed(wire, Apply(), sizes_of("registry"))


def test_fields_that_are_not_known_are_kept() -> None:
    wire = b"\xf8\x7f\x07\xf9\x7f12345678\xfd\x7f1234\xfa\x7f\x01x"

    request = parsed(wire, Apply(), sizes_of("registry"), 1)

    assert request.SerializeToString() == wire


def test_entries_are_counted_before_they_are_parsed() -> None:
    # given more resources than are allowed, the last of which is none
    wire = b"\x0a\x00" * 20_000 + b"\x0a\x01\xff"

    found = refused(wire, Apply(), sizes_of("registry"))

    text = "has 20,001 entries, at most 20,000 are allowed"
    assert found == [Violation("resources", text)]


def test_each_field_that_has_too_many_entries_is_named() -> None:
    # given two agents with one tool and one rule too many
    agent = registry_pb2.Agent(
        tools=["t"] * 257, approval_rules=[registry_pb2.ApprovalRule()] * 257
    )
    request = Apply(resources=[registry_pb2.Resource(agent=agent)] * 2)

    found = refused(request.SerializeToString(), Apply(), sizes_of("registry"))

    text = "has 257 entries, at most 256 are allowed"
    assert found == [
        Violation(f"resources[{index}].agent.{field}", text)
        for index in (0, 1)
        for field in ("approval_rules", "tools")
    ]


def test_packed_entries_are_counted() -> None:
    # given a model with 17 modalities, one byte each, and one with as many of two bytes
    one = registry_pb2.Resource(model=registry_pb2.Model(modalities=[1] * 17))
    two = registry_pb2.Resource(model=registry_pb2.Model(modalities=[128] * 16))
    request = Apply(resources=[one, two])

    found = refused(request.SerializeToString(), Apply(), sizes_of("registry"))

    text = "has 17 entries, at most 16 are allowed"
    assert found == [Violation("resources[0].model.modalities", text)]


def test_the_entries_of_all_fields_together_are_counted() -> None:
    part = content.Part()
    said = [content.Message(parts=[part] * 1_000)] * 59
    request = InferRequest(messages=[*said, content.Message(parts=[part] * 941)])

    found = refused(request.SerializeToString(), InferRequest(), sizes_of("router"))

    text = "brings the request to more than 60,000 entries in all, which are allowed"
    assert found == [Violation("messages[59].parts", text)]


def test_the_entries_of_small_messages_are_counted_too() -> None:
    # given messages of which none has too many parts, and all have
    said = [content.Message(parts=[content.Part()] * 240)] * 249

    found = refused(InferRequest(messages=said).SerializeToString(), InferRequest(), ROUTER)

    text = "brings the request to more than 60,000 entries in all, which are allowed"
    assert found == [Violation("messages[248].parts", text)]


def test_a_text_of_bytes_that_begin_entries_is_a_text() -> None:
    # given small messages whose texts look like 900,000 entries
    text = content.Part(text=content.Text(text="\x12" * 900))
    request = InferRequest(messages=[content.Message(parts=[text])] * 1_000)

    assert parsed(request.SerializeToString(), InferRequest(), ROUTER) == request


def test_counting_ends_where_a_request_is_far_too_large() -> None:
    # given eight million empty resources
    wire = b"\x0a\x00" * 8_000_000

    found = refused(wire, Apply(), sizes_of("registry"))

    assert found == [
        Violation("resources", "has more than 100,095 entries, at most 20,000 are allowed")
    ]


def holding(number: int, value: bytes) -> bytes:
    """The field of a message; its length takes three bytes."""
    size = len(value)
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    return bytes([number << 3 | 2]) + length + value


# A field that is not known.
SOME = b"\x78\x01"
# The agent of a resource in 400 parts, which protobuf merges.
PARTS = holding(4, SOME * 250) * 400


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        pytest.param(SOME * 100_352, "request", id="of the request"),
        pytest.param(holding(1, SOME * 100_352), "resources[0]", id="of a message"),
        pytest.param(holding(1, PARTS), "resources[0]", id="of messages in it"),
    ],
)
def test_a_request_that_repeats_what_is_not_repeated_is_refused(wire: bytes, field: str) -> None:
    found = refused(wire, Apply(), sizes_of("registry"))

    assert found == [Violation(field, "has more than 100,000 fields in it, which are allowed")]


def test_the_fields_of_each_entry_are_counted_on_their_own() -> None:
    wire = holding(1, SOME * 90_000) + holding(1, SOME * 90_000)

    assert len(parsed(wire, Apply(), sizes_of("registry")).resources) == 2


def test_no_more_violations_are_kept_than_anybody_reads() -> None:
    model = registry_pb2.Resource(model=registry_pb2.Model(modalities=[1] * 17))

    found = refused(
        Apply(resources=[model] * 1_200).SerializeToString(), Apply(), sizes_of("registry")
    )

    assert len(found) == 1_000


def test_parsing_ends_with_its_call() -> None:
    slices = Slices()
    slices.abandon()
    request = Apply(resources=[registry_pb2.Resource()]).SerializeToString()

    with pytest.raises(AbandonedError):
        slices.in_turns(lambda: parsed(request, Apply(), sizes_of("registry")))


def test_the_pieces_of_large_requests_are_small() -> None:
    assert pieces.PIECE_BYTES == 100_000
    assert pieces.MAX_FIELDS == 100_000
