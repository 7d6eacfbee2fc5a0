"""Reading the fields of a request, with every mistake noted at its path.

``Timestamp`` and ``Duration`` are ``datetime`` and ``timedelta``, exact to the microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations, text_violations
from services.chassis.protobuf.enums import EnumTable

E = TypeVar("E", bound=Enum)
D = TypeVar("D")
T = TypeVar("T")

# Ten thousand years, as the documentation of Duration says.
MAX_DURATION_S = 315_576_000_000
_NANOS_PER_S = 1_000_000_000
_MIN_TIMESTAMP_S = -62_135_596_800  # the first second of year 1
_MAX_TIMESTAMP_S = 253_402_300_799  # the last one of year 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Decoder:
    """Collects what is wrong while values are read; ``check`` refuses all of it at once.

    A method that takes a value takes the path of that value. One that takes a message and the name
    of its field takes the path of the message, empty for the request itself.

    Attributes:
        found: Every violation so far.
    """

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def wrong(self, field: str, description: str) -> None:
        self.found.append(Violation(field, description))

    def check(self) -> None:
        """Raises:
        InvalidRequestError: Something was wrong.
        """
        if self.found:
            raise InvalidRequestError.of(self.found)

    def id(self, value: str, field: str) -> str:
        self.found += id_violations(value, field)
        return value

    def optional_id(self, value: str, field: str) -> str:
        return self.id(value, field) if value else ""

    def ids(self, values: Iterable[str], field: str, limit: int) -> tuple[str, ...]:
        """Sorted and unique."""
        return tuple(sorted(set(self.each(values, field, limit, self.id))))

    def each(
        self, values: Iterable[T], field: str, limit: int, read: Callable[[T, str], D]
    ) -> list[D]:
        """What ``read`` makes of every value and its path."""
        given = list(values)
        self.at_most(given, field, limit)
        return [read(value, f"{field}[{index}]") for index, value in enumerate(given)]

    def at_most(self, values: Sized, field: str, limit: int) -> None:
        """Not more than ``limit`` entries."""
        if len(values) > limit:
            self.wrong(field, f"has {len(values):,} entries, at most {limit:,} are allowed")

    def not_empty(self, values: Sized, field: str) -> None:
        if not values:
            self.wrong(field, "must not be empty")

    def text(self, value: str, field: str, limit_chars: int) -> str:
        """A text that is stored as such, in any language and on any number of lines."""
        if len(value) > limit_chars:
            self.wrong(field, f"must be at most {limit_chars} characters")
        else:
            self.found += text_violations(value, field)
        return value

    def sized_text(self, value: str, field: str, limit_bytes: int) -> str:
        """As ``text``, with a limit in bytes of UTF-8."""
        size_bytes = len(value.encode())
        self.size(size_bytes, field, limit_bytes)
        if size_bytes <= limit_bytes:
            self.found += text_violations(value, field)
        return value

    def size(self, size_bytes: int, field: str, limit_bytes: int) -> None:
        if size_bytes > limit_bytes:
            self.wrong(field, f"is {size_bytes:,} bytes, at most {limit_bytes:,} are allowed")

    def number(
        self, value: int, field: str, *, least: int | None = None, most: int | None = None
    ) -> int:
        if least is not None and value < least:
            self.wrong(field, f"must be at least {least}")
        if most is not None and value > most:
            self.wrong(field, f"must be at most {most}")
        return value

    def required_arm(self, message: Message, oneof: str, at: str) -> str:
        """The name of the field that is set; empty, with a violation, when none is."""
        arm = message.WhichOneof(oneof)
        if arm is None:
            self.wrong(path(at, oneof), "must be set")
        return arm or ""

    def enum(self, table: EnumTable[E], number: int, field: str, default: D) -> E | D:
        """``default`` for 0, unless the table has a member for it; an unknown number is wrong."""
        if number and number not in table.from_pb:
            self.wrong(field, f"is not a known value: {number}")
        return table.from_pb.get(number, default)

    def required_enum(self, table: EnumTable[E], number: int, field: str) -> E:
        """Some member after a violation, so that reading can go on."""
        if not number:
            self.wrong(field, "must be set")
        return self.enum(table, number, field, next(iter(table.from_pb.values())))

    def duration(
        self,
        message: Message,
        name: str,
        at: str,
        default: D,
        *,
        least: timedelta | None = None,
        most: timedelta | None = None,
    ) -> timedelta | D:
        """``default`` when the field is not set, or not a duration from ``least`` to ``most``."""
        if not message.HasField(name):
            return default
        try:
            value = duration_from_pb(getattr(message, name))
        except ValueError as error:
            self.wrong(path(at, name), str(error))
            return default
        if least is not None and value < least:
            self.wrong(path(at, name), f"must be at least {least.total_seconds():,g} s")
            return default
        if most is not None and value > most:
            self.wrong(path(at, name), f"must be at most {most.total_seconds():,g} s")
            return default
        return value

    def time(self, message: Message, name: str, at: str) -> datetime | None:
        """None when the field is not set, or not a time."""
        if not message.HasField(name):
            return None
        try:
            return instant_from_pb(getattr(message, name))
        except ValueError as error:
            self.wrong(path(at, name), str(error))
            return None

    def unset(self, message: Message, names: Sequence[str], at: str) -> None:
        """What only the server sets has to be empty."""
        for name in names:
            if getattr(message, name) != getattr(type(message)(), name):
                self.wrong(path(at, name), "is set by the server and must be empty")


def path(at: str, name: str) -> str:
    """The path of the field ``name`` of the message at ``at``."""
    return f"{at}.{name}" if at else name


def optional(message: Message, name: str, default: D) -> Any | D:
    """The value of an ``optional`` field; ``default`` when it is not set."""
    return getattr(message, name) if message.HasField(name) else default


def duration_from_pb(value: Duration) -> timedelta:
    """Read a duration, rounded towards zero.

    Raises:
        ValueError: Seconds and nanoseconds have different signs, or one of them is out of range.
    """
    in_range = abs(value.seconds) <= MAX_DURATION_S and abs(value.nanos) < _NANOS_PER_S
    if not in_range or value.seconds * value.nanos < 0:
        raise ValueError("is no duration, or out of range")
    micros = abs(value.nanos) // 1_000
    return timedelta(seconds=value.seconds, microseconds=micros if value.nanos > 0 else -micros)


def duration_to_pb(value: timedelta | None) -> Duration | None:
    """None for None, which leaves a field unset."""
    if value is None:
        return None
    duration = Duration()
    duration.FromTimedelta(value)
    return duration


def instant_from_pb(value: Timestamp) -> datetime:
    """Read a time in UTC, rounded down.

    Raises:
        ValueError: Outside the years 1 to 9999, or the nanoseconds are out of range.
    """
    in_range = _MIN_TIMESTAMP_S <= value.seconds <= _MAX_TIMESTAMP_S
    if not in_range or not 0 <= value.nanos < _NANOS_PER_S:
        raise ValueError("is no time between the years 1 and 9999")
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1_000)


def instant_to_pb(value: datetime | None) -> Timestamp | None:
    """None for None, which leaves a field unset."""
    if value is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(value)
    return timestamp
