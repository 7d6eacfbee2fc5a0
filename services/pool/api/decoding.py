"""Reading protobuf fields, with every mistake noted at its path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations

E = TypeVar("E", bound=Enum)
D = TypeVar("D")
T = TypeVar("T")

_MAX_SECONDS = 1_000_000_000
_MAX_NANOS = 999_999_999
_MIN_TIMESTAMP_S = -62_135_596_800  # year 1
_MAX_TIMESTAMP_S = 253_402_300_799  # year 9999


class Decoder:
    """Collects what is wrong while values are read; ``check`` refuses all of it at once."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def wrong(self, field: str, description: str) -> None:
        self._found.append(Violation(field, description))

    def check(self) -> None:
        """Raises:
        InvalidRequestError: Something was wrong.
        """
        if self._found:
            raise InvalidRequestError.of(self._found)

    def id(self, value: str, field: str) -> str:
        self._found += id_violations(value, field)
        return value

    def optional_id(self, value: str, field: str) -> str:
        return self.id(value, field) if value else ""

    def ids(self, values: Iterable[str], field: str, limit: int) -> tuple[str, ...]:
        """Sorted and unique."""
        given = list(values)
        self.at_most(given, field, limit)
        for index, value in enumerate(given):
            self.id(value, f"{field}[{index}]")
        return tuple(sorted(set(given)))

    def each(
        self, values: Iterable[T], field: str, limit: int, read: Callable[[T, str], D]
    ) -> list[D]:
        given = list(values)
        self.at_most(given, field, limit)
        return [read(value, f"{field}[{index}]") for index, value in enumerate(given)]

    def at_most(self, values: Sized, field: str, limit: int) -> None:
        if len(values) > limit:
            self.wrong(field, f"has {len(values)} entries, at most {limit} are allowed")

    def enum(self, table: Mapping[Any, E], number: int, field: str, default: E) -> E:
        """``default`` for 0; an unknown number is wrong."""
        if number and number not in table:
            self.wrong(field, f"is not a known value: {number}")
        return table.get(number, default)

    def duration(self, parent: Message, name: str, field: str) -> timedelta | None:
        """None when it is not set; never negative."""
        if not parent.HasField(name):
            return None
        value: Duration = getattr(parent, name)
        if not (0 <= value.seconds <= _MAX_SECONDS and 0 <= value.nanos <= _MAX_NANOS):
            self.wrong(field, f"must be from 0 to {_MAX_SECONDS} s")
            return timedelta(0)
        return timedelta(seconds=value.seconds, microseconds=value.nanos // 1_000)

    def time(self, parent: Message, name: str, field: str) -> datetime | None:
        """None when it is not set."""
        if not parent.HasField(name):
            return None
        value: Timestamp = getattr(parent, name)
        if not _MIN_TIMESTAMP_S <= value.seconds <= _MAX_TIMESTAMP_S:
            self.wrong(field, "is not within the years 1 to 9999")
            return None
        if not 0 <= value.nanos <= _MAX_NANOS:
            self.wrong(f"{field}.nanos", f"must be from 0 to {_MAX_NANOS}")
            return None
        whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value.seconds)
        return whole + timedelta(microseconds=value.nanos // 1_000)

    def unset(self, parent: Message, names: Sequence[str], field: str) -> None:
        """What only the server sets has to be empty."""
        for name in names:
            if getattr(parent, name) != getattr(type(parent)(), name):
                self.wrong(f"{field}.{name}", "is set by the server and must be empty")
