"""Every leaf field of a message of a contract, and whether a reader of the message sees it.

A field is seen when what the reader makes of the message depends on it: values that are accepted
give different results, and values that are refused are refused because of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

Path: TypeAlias = tuple[FieldDescriptor, ...]
Smallest: TypeAlias = Mapping[str, Message]

# A member of a cycle of messages is followed once.
_MAX_DEPTH = 8
# Legal ids, sessions, JSON objects, and numbers as text: each field accepts two of a sort, or
# refuses.
_TEXTS = ("a1", "b2", "thread:a1", "thread:b2", '{"a": 1}', '{"b": 2}', "1.5", "2.5")
_INTEGERS = (2, 3)
_BY_TYPE: Mapping[int, Sequence[object]] = {
    FieldDescriptor.TYPE_STRING: _TEXTS,
    FieldDescriptor.TYPE_BYTES: (b"a1", b"b2"),
    FieldDescriptor.TYPE_DOUBLE: (0.25, 0.5),
    FieldDescriptor.TYPE_FLOAT: (0.25, 0.5),
    FieldDescriptor.TYPE_BOOL: (True, False),
}
_MESSAGES: Mapping[str, Sequence[Message]] = {
    Duration.DESCRIPTOR.full_name: (Duration(seconds=2), Duration(seconds=3)),
    Timestamp.DESCRIPTOR.full_name: (
        Timestamp(seconds=4_000_000_000),
        Timestamp(seconds=5_000_000_000),
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message: what was made of it, or why it was refused.

    Attributes:
        refused: Paths of the fields that it was refused for, without indices.
        unserved: Refused as something that is not served yet.
    """

    accepted: bool
    text: str
    refused: frozenset[str] = frozenset()
    unserved: bool = False


def leaves(descriptor: Any, skipped: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Paths of the fields that hold a value, through nested messages, arms and repeated fields.

    Args:
        skipped: Full names of messages that are not looked into, and fields of them.
    """
    yield from _leaves(descriptor, (), skipped)


def _leaves(descriptor: Descriptor, above: Path, skipped: frozenset[str]) -> Iterator[Path]:
    for field in descriptor.fields:
        here = (*above, field)
        if field.full_name in skipped:
            continue
        nested = field.message_type
        if nested is None or nested.full_name in _MESSAGES or not nested.fields:
            yield here
        elif nested.full_name not in skipped and len(here) <= _MAX_DEPTH:
            assert not nested.GetOptions().map_entry, f"{field.full_name}: a map is not walked"
            yield from _leaves(nested, here, skipped)


def name_of(path: Path) -> str:
    return ".".join(field.name for field in path)


def lost(
    base: Message,
    outcome_of: Callable[[Any], Outcome],
    smallest: Smallest,
    skipped: frozenset[str] = frozenset(),
) -> list[str]:
    """Names of the leaf fields of ``base`` that ``outcome_of`` does not depend on.

    Args:
        base: The smallest message that is accepted.
        smallest: By full name, the smallest legal form of nested messages; else the empty one.
    """
    assert outcome_of(base).accepted, f"{base.DESCRIPTOR.name}: {outcome_of(base).text}"
    return [
        name_of(path)
        for path in leaves(base.DESCRIPTOR, skipped)
        if not _is_seen(path, base, outcome_of, smallest)
    ]


def _is_seen(
    path: Path, base: Message, outcome_of: Callable[[Any], Outcome], smallest: Smallest
) -> bool:
    unset = outcome_of(with_value(base, path, None, smallest))
    outcomes = [
        outcome_of(with_value(base, path, value, smallest)) for value in candidates(path[-1])
    ]
    accepted = [outcome.text for outcome in outcomes if outcome.accepted]
    if not accepted and _is_refused_as_a_whole(path, unset):
        return True
    return len(set(accepted)) == len(accepted) and len({unset, *outcomes}) > 1


def _is_refused_as_a_whole(path: Path, unset: Outcome) -> bool:
    """Whether a message that ``path`` leads through may not be where it is."""
    above = {name_of(path[:count]) for count in range(1, len(path))}
    return unset.unserved or not above.isdisjoint(unset.refused)


def candidates(field: FieldDescriptor) -> Sequence[object]:
    """Values of one field, all different, none of them the default; a bool has both."""
    if field.enum_type is not None:
        return [value.number for value in field.enum_type.values if value.number]
    if field.message_type is not None:
        return _MESSAGES.get(field.message_type.full_name, (True,))
    if field.type == FieldDescriptor.TYPE_BOOL and not field.has_presence:
        return (True,)
    return _BY_TYPE.get(field.type, _INTEGERS)


def with_value(base: Message, path: Path, value: object, smallest: Smallest) -> Message:
    """A copy of ``base`` with ``value`` at ``path`` alone; None leaves it unset there.

    What the path leads through is made where ``base`` has none, in its smallest form.
    """
    message = type(base)()
    message.CopyFrom(base)
    holder = message
    for field in path[:-1]:
        holder = _entered(holder, field, smallest)
    last = path[-1]
    if last.is_repeated or value is None or last.message_type is not None:
        holder.ClearField(last.name)
    if value is not None:
        _set(holder, last, value)
    return message


def _entered(holder: Message, field: FieldDescriptor, smallest: Smallest) -> Message:
    assert field.message_type is not None
    made = smallest.get(field.message_type.full_name)
    if field.is_repeated:
        elements: Any = getattr(holder, field.name)
        if not elements:
            elements.add()
            if made is not None:
                elements[0].CopyFrom(made)
        first: Message = elements[0]
        return first
    nested: Message = getattr(holder, field.name)
    if not holder.HasField(field.name):
        nested.SetInParent()
        if made is not None:
            nested.CopyFrom(made)
    return nested


def _set(holder: Message, field: FieldDescriptor, value: object) -> None:
    target: Any = getattr(holder, field.name)
    if field.is_repeated:
        target.append(value) if field.message_type is None else target.add()
    elif not isinstance(target, Message):
        setattr(holder, field.name, value)
    else:
        target.SetInParent()
        if isinstance(value, Message):
            target.CopyFrom(value)


def described(value: object, skipped: frozenset[str]) -> str:
    """``value`` as text, the same for equal values.

    Args:
        skipped: Names of attributes that depend on the whole message, digests and sizes.
    """
    match value:
        case Enum():
            return str(value)
        case frozenset() | set():
            return f"{{{', '.join(sorted(described(item, skipped) for item in value))}}}"
        case tuple() | list():
            return f"({', '.join(described(item, skipped) for item in value)})"
        case _ if dataclasses.is_dataclass(value):
            fields = [each.name for each in dataclasses.fields(value) if each.name not in skipped]
            inner = [f"{name}={described(getattr(value, name), skipped)}" for name in fields]
            return f"{type(value).__name__}({', '.join(inner)})"
        case _ if callable(value):
            return "…"
    return repr(value)
