"""Fields as they stand on the wire of protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.descriptor import FieldDescriptor

# How a field is encoded.
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

_DELIMITED = {
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_BYTES,
    FieldDescriptor.TYPE_MESSAGE,
}
_FIXED = {
    FieldDescriptor.TYPE_DOUBLE,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
    FieldDescriptor.TYPE_FLOAT,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_SFIXED32,
}


@dataclass(frozen=True, slots=True)
class Field:
    """A repeated field, or one that holds a message.

    Attributes:
        most: Of its entries; None when it is not repeated.
        packed: Its entries stand together, each a varint.
        inner: Of its message; None when it holds none.
        countable: What the fields of its message begin with, which hold nothing to count themselves
            and of which a message of fewer than ``harmless_bytes`` never has too many; empty when
            its message has others.
    """

    name: str
    most: int | None = None
    packed: bool = False
    inner: Fields | None = None
    countable: tuple[bytes, ...] = ()
    harmless_bytes: int = 0


# By the tag on the wire, which is the number of the field and how it is encoded.
Fields: TypeAlias = "dict[int, Field]"


def holding(field: FieldDescriptor, inner: Fields) -> Fields:
    """A field that holds a message."""
    return {_tag(field, DELIMITED): _with_inner(field, None, inner)}


def repeated(field: FieldDescriptor, most: int, inner: Fields | None) -> Fields:
    """A repeated field in each of its encodings.

    Raises:
        TypeError: Nothing counts the entries of a field of this type.
    """
    if field.type in _DELIMITED:
        return {_tag(field, DELIMITED): _with_inner(field, most, inner)}
    if field.type in _FIXED:
        raise TypeError(f"{field.full_name} repeats numbers of a fixed size")
    return {
        _tag(field, VARINT): Field(field.name, most),
        _tag(field, DELIMITED): Field(field.name, most, packed=True),
    }


def _with_inner(field: FieldDescriptor, most: int | None, inner: Fields | None) -> Field:
    repeated = {tag: each for tag, each in (inner or {}).items() if each.most is not None}
    plain = all(tag < 0x80 and not each.packed for tag, each in repeated.items())
    if not repeated or not plain or any(_counts(each.inner) for each in (inner or {}).values()):
        return Field(field.name, most, inner=inner)
    smallest = min(each.most for each in repeated.values() if each.most is not None)
    tags = tuple(bytes((tag,)) for tag in repeated)
    return Field(field.name, most, inner=inner, countable=tags, harmless_bytes=smallest + 1)


def _counts(fields: Fields | None) -> bool:
    """Whether a message with these fields has something to count."""
    return any(each.most is not None or _counts(each.inner) for each in (fields or {}).values())


def _tag(field: FieldDescriptor, kind: int) -> int:
    number: int = field.number
    return number << 3 | kind
