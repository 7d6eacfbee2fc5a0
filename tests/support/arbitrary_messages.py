"""Arbitrary messages, built from descriptors: legal ones with a few fields at their extremes.

    arbitrary = ArbitraryMessages(random.Random(7), known)
    request = arbitrary.changed(legal)

Most fields stay as they are in ``legal``, so that a request gets past the first check it meets.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.pages import FIELD as PAGE_TOKEN
from services.chassis.protobuf.pages import page_token
from tests.support.smallest_messages import NESTED

_I32, _I64 = 1 << 31, 1 << 63
_SIGNED_32 = (0, 1, -1, 2, _I32 - 1, -_I32)
_SIGNED_64 = (*_SIGNED_32, _I32, _I64 - 1, -_I64)
_UNSIGNED_32 = (0, 1, 2, _I32 - 1, _I32, 2 * _I32 - 1)
_UNSIGNED_64 = (*_UNSIGNED_32, _I64 - 1, _I64, 2 * _I64 - 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 5e-324, 1e308, float("inf"), float("-inf"), float("nan"))
_INTEGERS: Mapping[int, Sequence[int]] = {
    FieldDescriptor.TYPE_INT32: _SIGNED_32,
    FieldDescriptor.TYPE_SINT32: _SIGNED_32,
    FieldDescriptor.TYPE_SFIXED32: _SIGNED_32,
    FieldDescriptor.TYPE_INT64: _SIGNED_64,
    FieldDescriptor.TYPE_SINT64: _SIGNED_64,
    FieldDescriptor.TYPE_SFIXED64: _SIGNED_64,
    FieldDescriptor.TYPE_UINT32: _UNSIGNED_32,
    FieldDescriptor.TYPE_FIXED32: _UNSIGNED_32,
    FieldDescriptor.TYPE_UINT64: _UNSIGNED_64,
    FieldDescriptor.TYPE_FIXED64: _UNSIGNED_64,
}
# Control characters first: what one engine cannot store, and what breaks a line or a terminal.
TEXTS = (
    *("\0", "a\0b", "a\nb", "\r", "\t", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff"),
    *("\ufffd", "\uffff", "\U0010ffff", "é" * 256, "😀" * 129, "a" * 512, "a" * 513),
    *("", " ", " a ", ".", "..", "/", "a/b", "../../a", "%s%n", "{}", "'; --", "$1", ":a", "?"),
    *("{", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', "null", "[]"),
    *('"\\ud800"', "-1", "1e400", "0x1", "true"),
    *("http://", "http://[", "http://a:99999", "https://a.example", "data:,", "//a", "file:///a"),
)
LONG_TEXTS = ("a" * 70_000, "é" * 5_000, "[" * 5_000, "9" * 5_000)
_BYTES = (b"", b"\0", b"\xff", b"\xff" * 13, b"\x01" * 13, b"\x01" + b"\xff" * 12, b"a" * 70_000)
_SECONDS = (0, 1, -1, 4_000_000_000, 253_402_300_799, 253_402_300_800, -62_135_596_800)
_MORE_SECONDS = (*_SECONDS, 315_576_000_000, -315_576_000_000, _I64 - 1, -_I64)
_NANOS = (0, 0, 0, 1, 999_999_999, 1_000_000_000, -1, -_I32, _I32 - 1)
_POSITIONS = (0, 1, -1, _I64 - 1, _I64, -_I64, 1 << 70, "a", "", "a\0b", "\ud800", "a" * 513)
_KINDS_OF_CURSOR = ("run", "pool")
# How many entries a repeated field gets: around the limits of most, and beyond them.
_COUNTS = (1, 1, 1, 1, 2, 2, 3, 17, 65)
_MAX_DEPTH = 6


class ArbitraryMessages:
    """Messages by a source of randomness, the same again for the same source.

    Args:
        known: By the name of a field, texts that mean something to the server.
    """

    def __init__(self, chance: random.Random, known: Mapping[str, Sequence[str]]) -> None:
        self._chance = chance
        self._known = known
        self._makers: Mapping[int, Callable[[FieldDescriptor], Any]] = {
            FieldDescriptor.TYPE_STRING: self._text,
            FieldDescriptor.TYPE_BYTES: self._bytes,
            FieldDescriptor.TYPE_BOOL: lambda _: self._chance.random() < 0.5,
            FieldDescriptor.TYPE_FLOAT: lambda _: self._chance.choice(_FLOATS),
            FieldDescriptor.TYPE_DOUBLE: lambda _: self._chance.choice(_FLOATS),
            FieldDescriptor.TYPE_ENUM: self._enum,
        }

    def changed(self, legal: Message) -> Any:
        """A copy of ``legal`` with one to a few of its fields changed."""
        message = type(legal)()
        message.CopyFrom(legal)
        for _ in range(self._chance.choice((1, 1, 1, 2, 3, 6))):
            self._change_somewhere(message, _MAX_DEPTH)
        if PAGE_TOKEN in message.DESCRIPTOR.fields_by_name and self._chance.random() < 0.4:
            setattr(message, PAGE_TOKEN, page_token(message, self._position()))
        return message

    def _position(self) -> list[int | str]:
        return self._chance.choices(_POSITIONS, k=self._chance.randint(0, 3))

    def _change_somewhere(self, message: Message, depth: int) -> None:
        fields = message.DESCRIPTOR.fields
        if not fields or depth == 0:
            return
        present = [field for field, _ in message.ListFields()]
        # What is there is read more often than what is not.
        among = present if present and self._chance.random() < 0.5 else fields
        self._change(message, self._chance.choice(list(among)), depth)

    def _change(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if self._chance.random() < 0.08:
            message.ClearField(field.name)
        elif field.is_repeated:
            self._change_repeated(getattr(message, field.name), field, depth)
        elif field.message_type is not None:
            self._change_nested(getattr(message, field.name), field, depth)
        else:
            setattr(message, field.name, self._scalar(field))

    def _change_repeated(self, values: Any, field: FieldDescriptor, depth: int) -> None:
        count = self._chance.choice(_COUNTS)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            key, value = field.message_type.fields
            for _ in range(count):
                made = self._scalar(key)
                if value.message_type is None:
                    values[made] = self._scalar(value)
                else:
                    self._change_nested(values[made], value, depth - 1)
        elif field.message_type is None:
            values.extend(self._scalar(field) for _ in range(count))
        elif values and self._chance.random() < 0.6:
            self._change_nested(self._chance.choice(values), field, depth)
        else:
            for _ in range(count):
                self._change_nested(values.add(), field, depth)

    def _change_nested(self, nested: Message, field: FieldDescriptor, depth: int) -> None:
        if isinstance(nested, Timestamp | Duration):
            nested.seconds = self._chance.choice(_MORE_SECONDS)
            nested.nanos = self._chance.choice(_NANOS)
            return
        smallest = NESTED.get(nested.DESCRIPTOR.full_name)
        if smallest is not None and not nested.ListFields():
            nested.CopyFrom(smallest)
        nested.SetInParent()
        self._change_somewhere(nested, depth - 1)

    def _scalar(self, field: FieldDescriptor) -> Any:
        make = self._makers.get(field.type)
        return self._chance.choice(_INTEGERS[field.type]) if make is None else make(field)

    def _text(self, field: FieldDescriptor) -> str:
        known = self._known.get(field.name)
        if known and self._chance.random() < 0.3:
            return self._chance.choice(known)
        return self._chance.choice(TEXTS if self._chance.random() < 0.97 else LONG_TEXTS)

    def _bytes(self, _: FieldDescriptor) -> bytes:
        if self._chance.random() < 0.5:
            return self._chance.choice(_BYTES)
        # A genuine cursor, to any place.
        streams = list(itertools.chain(*(self._known.get(f"{k}_id", ()) for k in _KINDS_OF_CURSOR)))
        cursors = Cursors(self._chance.choice(_KINDS_OF_CURSOR))
        stream = self._chance.choice(streams or ["a"])
        return cursors.encode(stream, self._chance.choice(_UNSIGNED_64))

    def _enum(self, field: FieldDescriptor) -> int:
        assert field.enum_type is not None
        known: list[int] = [value.number for value in field.enum_type.values]
        return self._chance.choice((*known, *known, -1, 99, _I32 - 1, -_I32))
