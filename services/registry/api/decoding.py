"""Reading protobuf fields into the core, with every mistake noted at its path."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

from services.chassis.errors import Violation

E = TypeVar("E", bound=Enum)
D = TypeVar("D")

# Beyond every limit of the contract, and well inside what a timedelta holds.
_MAX_DURATION_S = 1_000_000_000_000
_NANOS_PER_S = 1_000_000_000


class EnumTable(Generic[E]):
    """One enum on both sides; their members have the same names, and neither has one more.

    Attributes:
        from_pb: Members by wire number, without the unspecified one.
        to_pb: Wire names by member; generated constructors take them.
    """

    def __init__(self, wire: object, prefix: str, members: type[E]) -> None:
        wrapper = cast("EnumTypeWrapper", wire)  # which the generated stubs call a class
        self.to_pb: Mapping[E, str] = {one: f"{prefix}_{one.name}" for one in members}
        self.from_pb: Mapping[int, E] = {
            wrapper.Value(name): one for one, name in self.to_pb.items()
        }
        missing = set(wrapper.values()) - self.from_pb.keys() - {0}
        if missing:
            raise TypeError(f"{members.__name__} has no member for {sorted(missing)} of {prefix}")


class Decoder:
    """Collects what is wrong while values are read.

    Attributes:
        found: Every violation so far.
    """

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def wrong(self, field: str, description: str) -> None:
        self.found.append(Violation(field, description))

    def enum(self, table: Mapping[Any, E], number: int, field: str, default: D) -> E | D:
        """``default`` for 0; an unknown number is wrong."""
        if number and number not in table:
            self.wrong(field, f"is not a known value: {number}")
        return table.get(number, default)

    def required_enum(self, table: Mapping[Any, E], number: int, field: str) -> E:
        if not number:
            self.wrong(field, "must be set")
        return self.enum(table, number, field, next(iter(table.values())))

    def duration(self, message: Message, name: str, path: str, default: D) -> timedelta | D:
        """``default`` when the field is not set."""
        if not message.HasField(name):
            return default
        value: Duration = getattr(message, name)
        if abs(value.seconds) > _MAX_DURATION_S or not _has_one_sign(value):
            self.wrong(f"{path}.{name}", "is no duration, or out of range")
            return default
        return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def _has_one_sign(value: Duration) -> bool:
    """As JSON can write it: less than a second of nanoseconds, of the same sign as the seconds."""
    return abs(value.nanos) < _NANOS_PER_S and value.seconds * value.nanos >= 0


def optional(message: Message, name: str, default: D) -> Any | D:
    """The value of an ``optional`` field; ``default`` when it is not set."""
    return getattr(message, name) if message.HasField(name) else default


def duration_to_pb(value: timedelta | None) -> Duration | None:
    if value is None:
        return None
    duration = Duration()
    duration.FromTimedelta(value)
    return duration
