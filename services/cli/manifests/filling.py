"""Turn manifest fields into any protobuf message, by its descriptor, with every problem located.

Field names are those of the contract, enum values their short lower-case names, durations are
written with a unit, and a field that holds JSON text may be written as YAML.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.cli.base.messages import enum_names
from services.cli.manifests.documents import (
    Problem,
    fields_of,
    is_null,
    joined,
    line_of,
    nearest,
    unknown_name,
)

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST_MS = 10_000 * 365 * _UNIT_MS["d"]
_INTEGER = re.compile(r"[-+]?\d[\d_]*")
_DECIMAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?")
_DEEPEST_JSON = 64
_STEP = re.compile(r"([^.\[\]]+)(?:\[(\d+)\])?")

RANGES: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}


class _ValueError(ValueError):
    """The text is not a value of the field's type; the message says what is allowed."""


@dataclass
class MessageFiller:
    """Fills one message from one document, and collects what is wrong with it.

    Attributes:
        lines: Line of every field that was met, by its path in the message.
    """

    file: str
    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def message(self, node: yaml.MappingNode, into: Message, shown: str, path: str) -> None:
        """Fill ``into``; ``shown`` is the path in the file, ``path`` the one in the message."""
        known = into.DESCRIPTOR.fields_by_name
        for name, key, value in fields_of(node, self.file, shown, self.problems):
            at = joined(shown, name)
            if name not in known:
                meant = joined(shown, nearest(name, known) or name)
                self._problem(key, at, unknown_name("field", name, known), meant)
                continue
            self.lines[joined(path, name)] = line_of(key)
            if self._taken(known[name], into, key, at):
                continue
            self._field(known[name], value, into, at, joined(path, name))

    def _taken(self, of: FieldDescriptor, into: Message, key: yaml.Node, at: str) -> bool:
        """Whether another choice of the same oneof is set already."""
        oneof = of.containing_oneof
        other = into.WhichOneof(oneof.name) if oneof is not None else None
        if other is not None:
            self._problem(key, at, f'cannot stand beside "{other}": only one of them can be set')
        return other is not None

    def _field(
        self, of: FieldDescriptor, node: yaml.Node, into: Message, at: str, path: str
    ) -> None:
        if is_null(node):
            empty = "{}" if of.type == FieldDescriptor.TYPE_MESSAGE else '""'
            self._problem(
                node, at, f"has no value: leave it out, or write {empty} for an empty one"
            )
        elif of.is_repeated:
            self._list(of, node, getattr(into, of.name), at, path)
        elif is_message(of):
            self._submessage(node, getattr(into, of.name), at, path)
        else:
            value = self._scalar(of, node, at)
            if value is not None:
                setattr(into, of.name, value)

    def _list(self, of: FieldDescriptor, node: yaml.Node, into: Any, at: str, path: str) -> None:
        if not isinstance(node, yaml.SequenceNode):
            self._problem(node, at, "must be a list")
            return
        for index, item in enumerate(node.value):
            self.lines[f"{path}[{index}]"] = line_of(item)
            if is_null(item):
                self._problem(item, f"{at}[{index}]", "has no value: leave the entry out")
            elif is_message(of):
                self._submessage(item, into.add(), f"{at}[{index}]", f"{path}[{index}]")
            elif (value := self._scalar(of, item, f"{at}[{index}]")) is not None:
                into.append(value)

    def _submessage(self, node: yaml.Node, into: Message, at: str, path: str) -> None:
        convert = _WELL_KNOWN.get(into.DESCRIPTOR.full_name)
        if convert is not None:
            text = self._plain(node, at)
            if text is not None:
                self._converted(lambda: convert(text, into), node, at)
        elif isinstance(node, yaml.MappingNode):
            into.SetInParent()
            self.message(node, into, at, path)
        else:
            names = ", ".join(sorted(into.DESCRIPTOR.fields_by_name)) or "{}"
            self._problem(node, at, f"must be a mapping of fields: {names}")

    def _scalar(self, of: FieldDescriptor, node: yaml.Node, at: str) -> Any:
        if holds_json(of) and not isinstance(node, yaml.ScalarNode):
            return self._converted(lambda: json_text(node), node, at)
        text = self._plain(node, at)
        return None if text is None else self._converted(lambda: _parse(of, node, text), node, at)

    def _plain(self, node: yaml.Node, at: str) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._problem(node, at, "must be a single value")
        return None

    def _converted(self, convert: Callable[[], Any], node: yaml.Node, at: str) -> Any:
        try:
            return convert()
        except _ValueError as error:
            self._problem(node, at, str(error))
            return None

    def _problem(self, node: yaml.Node, at: str, message: str, meant: str = "") -> None:
        self.problems.append(Problem(self.file, line_of(node), at, message, meant))


def field_at(inside: Descriptor, path: str) -> tuple[FieldDescriptor, int] | None:
    """The field that ``members[1].weight`` leads to, and the last index on it, 0 without one."""
    message: Descriptor | None = inside
    found = None
    for name, index in _STEP.findall(path):
        if message is None or name not in message.fields_by_name:
            return None
        of = message.fields_by_name[name]
        found = (of, int(index) if index else 0)
        message = of.message_type
    return found


def is_message(of: FieldDescriptor) -> bool:
    return bool(of.type == FieldDescriptor.TYPE_MESSAGE)


def holds_json(of: FieldDescriptor) -> bool:
    is_text = of.type == FieldDescriptor.TYPE_STRING
    return bool(is_text and of.name.endswith(("_json", "json_schema")))


def _parse(of: FieldDescriptor, node: yaml.Node, text: str) -> Any:
    if of.type == FieldDescriptor.TYPE_STRING:
        return text
    if of.type == FieldDescriptor.TYPE_BOOL:
        return _bool(node, text)
    if of.type == FieldDescriptor.TYPE_ENUM:
        return _enum(of.enum_type, text)
    if of.type in RANGES:
        return _integer(text, *RANGES[of.type])
    if of.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(text)
    return _float(text)


def _bool(node: yaml.Node, text: str) -> bool:
    if node.tag != "tag:yaml.org,2002:bool":
        raise _ValueError(f"{text!r} is neither true nor false")
    return text.lower() in {"true", "yes", "on"}


def _enum(enum: EnumDescriptor, text: str) -> int:
    names = enum_names(enum)
    if text not in names:
        raise _ValueError(unknown_name("value", text, names))
    return names[text]


def _integer(text: str, least: int, most: int) -> int:
    if not _INTEGER.fullmatch(text):
        raise _ValueError(f"{text!r} is no whole number")
    try:
        number = int(text)
    except ValueError:  # more digits than Python reads
        raise _ValueError(f"has too many digits, it is not between {least} and {most}") from None
    if not least <= number <= most:
        raise _ValueError(f"{text} is not between {least} and {most}")
    return number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _ValueError(f"{text!r} is no number") from None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _ValueError("is no base64 text") from None


def _duration(text: str, into: Message) -> None:
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise _ValueError(f"{text!r} is no duration: write 30s, 200ms, 1h30m or 7d")
    milliseconds = sum(float(number) * _UNIT_MS[unit] for number, unit in parts)
    if milliseconds > _LONGEST_MS:
        raise _ValueError(f"{text!r} is longer than a duration can be")
    into.MergeFrom(_made_duration(milliseconds))
    into.SetInParent()


def _made_duration(milliseconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(milliseconds * 1_000_000))
    return duration


def _timestamp(text: str, into: Message) -> None:
    moment = _moment(text)
    if moment is None or moment.tzinfo is None:
        raise _ValueError(f"{text!r} is no time with a zone: write 2026-01-31T12:00:00Z")
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    into.MergeFrom(timestamp)
    into.SetInParent()


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


_WELL_KNOWN: Mapping[str, Callable[[str, Message], None]] = {
    "google.protobuf.Duration": _duration,
    "google.protobuf.Timestamp": _timestamp,
}


def json_text(node: yaml.Node) -> str:
    """A YAML value as JSON text, as a field that holds some keeps it.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    return json.dumps(_json(node, 0))


def _json(node: yaml.Node, depth: int) -> Any:
    """A YAML value as JSON: what YAML 1.1 makes of dates and octal numbers stays text."""
    if depth > _DEEPEST_JSON:
        raise _ValueError(f"is nested more than {_DEEPEST_JSON} levels deep")
    if isinstance(node, yaml.MappingNode):
        return dict(_json_members(node, depth + 1))
    if isinstance(node, yaml.SequenceNode):
        return [_json(item, depth + 1) for item in node.value]
    return _json_scalar(node)


def _json_members(node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _ValueError("a key must be plain text")
        if key.tag == "tag:yaml.org,2002:merge":
            raise _ValueError("merge keys (<<) are not supported")
        if key.value in seen:
            raise _ValueError(f'"{key.value}" is written twice')
        seen.add(key.value)
        yield str(key.value), _json(value, depth)


def _json_scalar(node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2]
    text = str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        return _bool(node, text)
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _DECIMAL.fullmatch(text):
        return float(text)
    return text
