"""Every mistake is noted at its path, and all of them are refused at once."""

from __future__ import annotations

from enum import Enum

import pytest

from runyard.pool.v1 import pool_pb2 as pb
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.protobuf.decoder import Decoder, optional, path
from services.chassis.protobuf.enums import EnumTable

EMPTY = "must not be empty"


class Start(Enum):
    EARLIEST = "earliest"
    NOW = "now"


STARTS = EnumTable(pb.WakeCondition.Start, "START", Start)


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


def test_nothing_wrong_passes_and_every_mistake_is_refused_at_once(decoder: Decoder) -> None:
    decoder.check()

    decoder.id("", "a")
    decoder.wrong("b", "is wrong")

    with pytest.raises(InvalidRequestError) as caught:
        decoder.check()
    assert caught.value.violations == (Violation("a", EMPTY), Violation("b", "is wrong"))


def test_an_id_is_required_unless_it_is_optional(decoder: Decoder) -> None:
    assert decoder.id("a", "one") == "a"
    assert decoder.optional_id("", "two") == ""
    assert decoder.optional_id("b", "three") == "b"
    assert decoder.found == []
    decoder.id("", "four")
    decoder.optional_id("\n", "five")
    assert [violation.field for violation in decoder.found] == ["four", "five"]


def test_ids_are_sorted_and_unique_and_each_has_a_path(decoder: Decoder) -> None:
    assert decoder.ids(["b", "a", "b"], "topics", 3) == ("a", "b")
    assert decoder.found == []
    decoder.ids(["a", "", "c", "\n"], "topics", 3)
    assert [violation.field for violation in decoder.found] == ["topics", "topics[1]", "topics[3]"]
    assert decoder.found[0].description == "has 4 entries, at most 3 are allowed"
    decoder.at_most(range(5_001), "many", 5_000)
    assert decoder.found[-1].description == "has 5,001 entries, at most 5,000 are allowed"


def test_a_list_in_a_list_has_both_indices(decoder: Decoder) -> None:
    lists = [["a"], ["b", ""]]

    decoder.each(lists, "filters", 2, lambda ids, at: decoder.ids(ids, f"{at}.kinds", 2))

    assert decoder.found == [Violation("filters[1].kinds[1]", EMPTY)]


@pytest.mark.parametrize(
    ("number", "read", "text"),
    [
        (0, "default", ""),
        (1, Start.EARLIEST, ""),
        (3, "default", "is not a known value: 3"),
        (-1, "default", "is not a known value: -1"),
    ],
)
def test_an_enum_is_known_or_unset(number: int, read: object, text: str, decoder: Decoder) -> None:
    assert decoder.enum(STARTS, number, "start", "default") == read
    assert decoder.found == ([Violation("start", text)] if text else [])


@pytest.mark.parametrize(
    ("number", "text"), [(0, "must be set"), (2, ""), (3, "is not a known value: 3")]
)
def test_a_required_enum_is_known_and_set(number: int, text: str, decoder: Decoder) -> None:
    assert isinstance(decoder.required_enum(STARTS, number, "start"), Start)
    assert decoder.found == ([Violation("start", text)] if text else [])


def test_something_has_to_be_there(decoder: Decoder) -> None:
    decoder.not_empty(["a"], "one")
    assert decoder.found == []

    decoder.not_empty([], "two")

    assert decoder.found == [Violation("two", EMPTY)]


def test_one_field_of_a_oneof_has_to_be_set(decoder: Decoder) -> None:
    assert decoder.required_arm(pb.Address(topic=""), "target", "to") == "topic"
    assert decoder.found == []

    assert decoder.required_arm(pb.Address(), "target", "to") == ""

    assert decoder.found == [Violation("to.target", "must be set")]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "must be at least 1"), (1, ""), (5, ""), (6, "must be at most 5")]
)
def test_a_number_has_bounds(number: int, text: str, decoder: Decoder) -> None:
    assert decoder.number(number, "n", least=1, most=5) == number
    assert decoder.found == ([Violation("n", text)] if text else [])
    assert decoder.number(-(1 << 63), "free") == -(1 << 63)


@pytest.mark.parametrize(("length", "text"), [(4, ""), (5, "must be at most 4 characters")])
def test_a_text_has_a_length_in_characters(length: int, text: str, decoder: Decoder) -> None:
    assert decoder.text("é" * length, "reason", 4) == "é" * length
    assert decoder.found == ([Violation("reason", text)] if text else [])


@pytest.mark.parametrize(("length", "text"), [(4, ""), (5, "is 10 bytes, at most 8 are allowed")])
def test_a_text_may_have_a_size_in_bytes(length: int, text: str, decoder: Decoder) -> None:
    assert decoder.sized_text("é" * length, "answer", 8) == "é" * length
    assert decoder.found == ([Violation("answer", text)] if text else [])


@pytest.mark.parametrize("value", ["\0", "a\0b", "é\0"])
def test_a_text_that_no_database_stores_is_refused(value: str, decoder: Decoder) -> None:
    decoder.text(value, "reason", 4)
    decoder.sized_text(value, "answer", 4)

    wrong = "must not contain NUL"
    assert decoder.found == [Violation("reason", wrong), Violation("answer", wrong)]


@pytest.mark.parametrize("value", ["", "a\nb", "\x1b[31m", "\x7f", "\uffff", "😀"])
def test_any_other_text_is_stored_as_it_is(value: str, decoder: Decoder) -> None:
    decoder.text(value, "reason", 10)
    decoder.sized_text(value, "answer", 10)

    assert decoder.found == []


def test_a_size_is_in_bytes(decoder: Decoder) -> None:
    decoder.size(1_000, "body", 1_000)
    decoder.size(1_001, "body", 1_000)

    assert decoder.found == [Violation("body", "is 1,001 bytes, at most 1,000 are allowed")]


def test_what_only_the_server_sets_has_to_be_empty(decoder: Decoder) -> None:
    names = ("from_agent_id", "late", "accept_time", "body_sha256")
    decoder.unset(pb.Message(message_id="m"), names, "message")
    assert decoder.found == []

    message = pb.Message(from_agent_id="a", late=True, body_sha256=b"x")
    message.accept_time.GetCurrentTime()
    decoder.unset(message, names, "message")

    assert [violation.field for violation in decoder.found] == [f"message.{n}" for n in names]


def test_an_optional_field_that_is_set_to_its_zero_is_set() -> None:
    assert optional(pb.PoolConfig(), "auto_leave", True) is True
    assert optional(pb.PoolConfig(auto_leave=False), "auto_leave", True) is False


def test_a_field_of_the_request_itself_has_no_prefix() -> None:
    assert path("", "lease") == "lease"
    assert path("message", "lease") == "message.lease"
