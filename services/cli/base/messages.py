"""Protobuf messages and enums, as commands show them."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def as_json(message: Message) -> dict[str, Any]:
    """The standard JSON form of a message, with the field names of its proto.

    False, 0, empty texts and empty lists are there: a program need not know the defaults. What was
    not chosen or not set is not.
    """
    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """The values of an enum by the names that manifests use, without the unspecified one."""
    prefix = f"{_upper_snake(enum.name)}_"
    return {
        value.name.removeprefix(prefix).lower(): value.number
        for value in enum.values
        if value.number != 0
    }


def short_name(enum: EnumDescriptor, number: int) -> str:
    """The name that manifests use for a value; the number itself for one that is not known."""
    return next((name for name, n in enum_names(enum).items() if n == number), str(number))


def _upper_snake(camel: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", camel).upper()


def moment(time: Timestamp) -> str:
    """``2026-01-31 12:00:00`` in UTC; empty when it is not known."""
    return f"{time.ToDatetime():%Y-%m-%d %H:%M:%S}" if time.seconds else ""
