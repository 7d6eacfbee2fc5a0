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
    """

    name: str
    most: int | None = None
    packed: bool = False
    inner: Fields | None = None


# By the tag on the wire, which is the number of the field and how it is encoded.
Fields: TypeAlias = "dict[int, Field]"


def holding(field: FieldDescriptor, inner: Fields) -> Fields:
    """A field that holds a message."""
    return {_tag(field, DELIMITED): Field(field.name, inner=inner)}


def repeated(field: FieldDescriptor, most: int, inner: Fields | None) -> Fields:
    """A repeated field in each of its encodings.

    Raises:
        TypeError: Nothing counts the entries of a field of this type.
    """
    if field.type in _DELIMITED:
        return {_tag(field, DELIMITED): Field(field.name, most, inner=inner)}
    if field.type in _FIXED:
        raise TypeError(f"{field.full_name} repeats numbers of a fixed size")
    return {
        _tag(field, VARINT): Field(field.name, most),
        _tag(field, DELIMITED): Field(field.name, most, packed=True),
    }


def _tag(field: FieldDescriptor, kind: int) -> int:
    number: int = field.number
    return number << 3 | kind
