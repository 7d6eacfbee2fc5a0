"""Large requests: counted on the wire before anything of them is parsed, and parsed in pieces.

Protobuf parses a message at once, and no other thread runs meanwhile: of millions of empty entries
that is seconds. A message that is cut between two of its fields may be merged piece by piece.
"""

from __future__ import annotations

import sys
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.protobuf.sizes import MAX_VIOLATIONS, Sizes, too_many, too_many_in_all
from services.chassis.protobuf.wire import DELIMITED, FIXED32, FIXED64, VARINT, Field, Fields
from services.chassis.slices import give_way

M = TypeVar("M", bound=Message)

# Protobuf merges so many in 15 ms at most, and in less than one of what is usual.
PIECE_BYTES = 100_000
# Of a request, and of what is nested in one of its fields: a piece has at least one of those.
MAX_FIELDS = 100_000
# Then the walk gives way.
_FIELDS_AT_ONCE = 256
_NEVER = sys.maxsize
# The bytes of packed varints that do not end one.
_NOT_LAST = bytes(range(0x80, 0x100))


def parsed(data: bytes, empty: M, sizes: Sizes, piece_bytes: int = PIECE_BYTES) -> M:
    """``empty`` with the fields of ``data``, in slices.

    Raises:
        InvalidRequestError: With the repeated fields that have too many entries.
        DecodeError: ``data`` is malformed.
    """
    begin, fields = 0, sizes.fields(empty)
    try:
        ends = _Walk(data, sizes, piece_bytes).pieces(fields)
    except _UncertainError:
        ends = _Walk(data, sizes, piece_bytes, estimate=False).pieces(fields)
    for end in ends:
        give_way()
        empty.MergeFromString(data[begin:end])
        begin = end
    return empty


class _UncertainError(Exception):
    """The request may have too many entries, by an estimate that is never too low."""


class _Walk:
    """Over the fields of a request, those of nested messages included.

    Args:
        estimate: Not into small messages: of each what may begin an entry is counted, at most more.
    """

    def __init__(
        self, data: bytes, sizes: Sizes, piece_bytes: int, *, estimate: bool = True
    ) -> None:
        self._data = data
        self._piece_bytes = piece_bytes
        self._estimate = estimate
        self._most_entries = self._entries_left = sizes.most_entries
        self._fields_left = MAX_FIELDS
        self._found: list[Violation] = []
        # The fields that the walk is in; of repeated ones with the index.
        self._inside: list[str] = []
        self._ends: list[int] = []

    def pieces(self, fields: Fields) -> list[int]:
        """Where the pieces of the request end.

        Raises:
            InvalidRequestError: With the repeated fields that have too many entries.
            DecodeError: The request is malformed.
        """
        try:
            self._message(0, len(self._data), fields, self._piece_bytes)
        except IndexError as error:
            raise DecodeError("the last field is cut off") from error
        if self._found:
            raise InvalidRequestError.of(self._found)
        return [*self._ends, len(self._data)]

    def _message(self, at: int, end: int, fields: Fields, cut: int) -> None:
        """From ``at`` to ``end``; a piece ends with the first field that reaches ``cut``."""
        data = self._data
        counts: dict[str, int] = {}
        passed = 0
        while at < end:
            passed += 1
            if passed % _FIELDS_AT_ONCE == 0:
                self._pause(passed, fields, counts)
            tag = data[at]
            at += 1
            if tag > 0x7F:
                tag, at = self._varint(at - 1)
            begin, at = self._value(tag & 7, at)
            if at > end:
                raise DecodeError("a field reaches beyond its message")
            if tag in fields:
                self._field(fields[tag], counts, begin, at)
            if at >= cut:
                self._ends.append(at)
                cut = at + self._piece_bytes
        if counts:
            self._judge(fields, counts)
        self._fields_left -= passed

    def _value(self, kind: int, at: int) -> tuple[int, int]:
        """Where the value of a field begins and ends, which is ``at`` after its tag."""
        if kind == DELIMITED:
            size = self._data[at]
            at += 1
            if size > 0x7F:
                size, at = self._varint(at - 1)
            return at, at + size
        if kind == VARINT:
            return at, self._varint(at)[1]
        if kind == FIXED64:
            return at, at + 8
        if kind == FIXED32:
            return at, at + 4
        # Groups: no message of ours has one.
        raise DecodeError("a field is encoded in a way that is not known")

    def _pause(self, passed: int, fields: Fields, counts: dict[str, int]) -> None:
        give_way()
        if passed > (self._fields_left if self._inside else MAX_FIELDS):
            self._judge(fields, counts, "more than ")
            self._refuse_fields()

    def _refuse_fields(self) -> None:
        """What the entries counted so far are not to blame for."""
        if not self._found:
            text = f"has more than {MAX_FIELDS:,} fields in it, which are allowed"
            self._found.append(Violation(self._inside[0] if self._inside else "request", text))
        raise InvalidRequestError.of(self._found)

    def _varint(self, at: int) -> tuple[int, int]:
        """The value of a varint and where it ends."""
        data = self._data
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise DecodeError("a number is too long")

    def _field(self, field: Field, counts: dict[str, int], begin: int, end: int) -> None:
        at = field.name
        if field.most is not None:
            before = counts.get(at, 0)
            more = self._entries(field, begin, end)
            counts[at] = before + more
            if before + more > field.most:
                return  # of what is too large nothing inside is judged
            self._entries_left -= more
            if self._entries_left < 0:
                text = too_many_in_all(self._path(at), self._most_entries)
                raise InvalidRequestError.of([text])
        if self._estimate and end - begin < field.harmless_bytes:
            count = self._data.count
            self._entries_left -= sum(count(each, begin, end) for each in field.countable)
            if self._entries_left < 0:
                raise _UncertainError
        elif field.inner is not None:
            at = at if field.most is None else f"{at}[{counts[at] - 1}]"
            self._nested(at, field.inner, begin, end)

    def _entries(self, field: Field, begin: int, end: int) -> int:
        return len(self._data[begin:end].translate(None, _NOT_LAST)) if field.packed else 1

    def _nested(self, at: str, fields: Fields, begin: int, end: int) -> None:
        if not self._inside:
            give_way()
            self._fields_left = MAX_FIELDS
        self._inside.append(at)
        self._message(begin, end, fields, _NEVER)
        if self._fields_left < 0:
            self._refuse_fields()
        self._inside.pop()

    def _judge(self, fields: Fields, counts: dict[str, int], least: str = "") -> None:
        """Note each field that has too many entries, once."""
        for field in fields.values():
            if field.most is not None and (count := counts.pop(field.name, 0)) > field.most:
                at = self._path(field.name)
                self._found.append(too_many(at, f"{least}{count:,}", field.most))
        if len(self._found) >= MAX_VIOLATIONS:
            raise InvalidRequestError.of(self._found)

    def _path(self, name: str) -> str:
        return ".".join((*self._inside, name))
