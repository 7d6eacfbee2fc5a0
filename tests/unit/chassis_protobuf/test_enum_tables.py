"""Tables of enums fail at import when either side has a value that the other lacks."""

from __future__ import annotations

from enum import Enum

import pytest

from runyard.pool.v1 import pool_pb2 as pb
from services.chassis.protobuf.enums import EnumTable, ReadTable, value_name, value_of

Start = Enum("Start", "EARLIEST NOW")
StartOrNone = Enum("StartOrNone", "NONE EARLIEST NOW")
StartAndMore = Enum("StartAndMore", "EARLIEST NOW LATEST")
OnlyNow = Enum("OnlyNow", "NOW")

WIRE, PREFIX = pb.WakeCondition.Start, "START"


def test_a_table_reads_and_writes_every_value() -> None:
    table = EnumTable(WIRE, PREFIX, Start)

    assert table.from_pb == {1: Start.EARLIEST, 2: Start.NOW}
    assert table.to_pb == {Start.EARLIEST: "START_EARLIEST", Start.NOW: "START_NOW"}


def test_a_member_may_stand_for_the_unset_value() -> None:
    table = EnumTable(WIRE, PREFIX, StartOrNone, unset=StartOrNone.NONE)

    assert table.from_pb == {0: StartOrNone.NONE, 1: StartOrNone.EARLIEST, 2: StartOrNone.NOW}
    assert table.to_pb[StartOrNone.NONE] == "START_UNSPECIFIED"
    assert pb.WakeCondition(start=table.to_pb[StartOrNone.NONE]).start == 0


@pytest.mark.parametrize(
    ("members", "prefix", "without", "differing"),
    [
        (OnlyNow, PREFIX, (), "EARLIEST"),  # missing here
        (StartAndMore, PREFIX, (), "LATEST"),  # missing in the contract
        (StartOrNone, PREFIX, (), "NONE"),  # would be number 0, and is not said to be
        (Start, PREFIX, ("NOW",), "NOW"),  # said to be one-sided, and is not
        (Start, PREFIX, ("LATER",), "LATER"),  # said to be one-sided, and is nowhere
        (StartAndMore, PREFIX, ("NOW",), "LATEST"),
        (Start, "BEGIN", (), "START_NOW"),  # another prefix
    ],
)
def test_a_value_without_a_counterpart_fails_at_import(
    members: type[Enum], prefix: str, without: tuple[str, ...], differing: str
) -> None:
    with pytest.raises(TypeError, match=differing):
        EnumTable(WIRE, prefix, members, without=without)


@pytest.mark.parametrize(("members", "name"), [(OnlyNow, "EARLIEST"), (StartAndMore, "LATEST")])
def test_what_only_one_side_has_can_be_named(members: type[Enum], name: str) -> None:
    table = EnumTable(WIRE, PREFIX, members, without=(name,))

    assert {member.name for member in table.to_pb} == {"EARLIEST", "NOW"} - {name}
    assert set(table.from_pb.values()) == set(table.to_pb)


def test_meanings_may_be_shared_by_values() -> None:
    table = ReadTable(WIRE, PREFIX, {"EARLIEST": "past", "NOW": "past"})

    assert table.from_pb == {1: "past", 2: "past"}


@pytest.mark.parametrize(
    ("names", "differing"),
    [(("NOW",), "EARLIEST"), (("EARLIEST", "NOW", "LATEST"), "LATEST"), ((), "EARLIEST")],
)
def test_a_value_without_a_meaning_fails_at_import(names: tuple[str, ...], differing: str) -> None:
    with pytest.raises(TypeError, match=differing):
        ReadTable(WIRE, PREFIX, dict.fromkeys(names, 1))


@pytest.mark.parametrize(("number", "name"), [(0, ""), (1, "earliest"), (2, "now"), (99, "")])
def test_people_read_the_name_of_a_value(number: int, name: str) -> None:
    assert value_name(WIRE, PREFIX, number) == name
    assert value_of(WIRE, PREFIX, name) == (number if name else 0)
