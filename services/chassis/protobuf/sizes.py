"""How large requests and answers may be.

The fields of a request are judged before anything is made of it; an answer stays below the 4 MiB
which every client accepts, and tells what it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import MAX_ID_BYTES
from services.chassis.protobuf.cursors import MAX_CURSOR_BYTES
from services.chassis.protobuf.decoder import path
from services.chassis.protobuf.pages import MAX_TOKEN_BYTES
from services.chassis.protobuf.wire import Fields, holding, repeated
from services.chassis.slices import give_way, in_a_slice

M = TypeVar("M", bound=Message)

# More than anybody reads; each is a text of its own.
MAX_VIOLATIONS = 1_000
# The rest of 4 MiB is for the other fields of an answer.
ANSWER_BYTES = 15 << 18
IDS_BYTES = 1 << 20
# Tag and length of an element.
_ELEMENT_BYTES = 5


class Unit(Enum):
    ENTRIES = "entries"
    BYTES = "bytes"
    CHARACTERS = "characters"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many entries, bytes of UTF-8 or characters."""

    most: int
    unit: Unit

    def exceeded(self, size: int) -> str:
        return f"is {size:,} {self.unit.value}, at most {self.most:,} are allowed"


def entries(most: int) -> Limit:
    return Limit(most, Unit.ENTRIES)


def size_bytes(most: int) -> Limit:
    return Limit(most, Unit.BYTES)


def characters(most: int) -> Limit:
    return Limit(most, Unit.CHARACTERS)


# The same in every contract.
ID = size_bytes(MAX_ID_BYTES)
CURSOR = size_bytes(MAX_CURSOR_BYTES)
PAGE_TOKEN = size_bytes(MAX_TOKEN_BYTES)

# By message and field, ``Agent.tools``; ``Agent.tools[]`` is each of its entries.
Limits: TypeAlias = Mapping[str, Limit]

Check: TypeAlias = "Callable[[Message], None]"
_Check: TypeAlias = "Callable[[Any, str, _Entries], Iterator[Violation]]"


class Sizes:
    """The limits of some requests and of the messages in them.

    Args:
        limits: One for every repeated field, every text and every bytes field, and for each entry
            of a repeated one of those. A name holds for messages of every package.
        most_entries: Of all repeated fields of a request together.

    Attributes:
        limits: The same.

    Raises:
        TypeError: A field has no limit, or a limit has no field.
    """

    def __init__(
        self, requests: Iterable[type[Message]], limits: Limits, *, most_entries: int
    ) -> None:
        self.most_entries = most_entries
        self.limits = limits
        self._unused = set(limits)
        self._messages: dict[str, _Sizes] = {}
        for request in requests:
            self._of(request.DESCRIPTOR)
        if self._unused:
            raise TypeError(f"no message has the fields {sorted(self._unused)}")

    def fields(self, request: Message) -> Fields:
        """What there is to count in ``request``: nothing, if it is not known."""
        known = self._messages.get(request.DESCRIPTOR.full_name)
        return {} if known is None else known.fields

    def check_of(self, request: type[Message]) -> Check | None:
        """What refuses requests of this type whose fields are too large; None = not known here.

        It raises InvalidRequestError with every field that is too large, up to 1,000 of them.
        """
        if request.DESCRIPTOR.full_name not in self._messages:
            return None

        def check(request: Message) -> None:
            if found := self.violations(request):
                raise InvalidRequestError.of(found)

        return check

    def violations(self, request: Message) -> list[Violation]:
        """Every field that is too large; of such a one nothing inside is judged."""
        sizes = self._messages[request.DESCRIPTOR.full_name]
        # In a slice it is large.
        if not in_a_slice() and request.ByteSize() < sizes.harmless_bytes:
            return []
        counted = _Entries(self.most_entries)
        try:
            return list(islice(sizes.found(request, "", counted), MAX_VIOLATIONS))
        except _TooManyError as error:
            return [too_many_in_all(error.field, self.most_entries)]

    def _of(self, message: Any) -> _Sizes:
        known = self._messages.get(message.full_name)
        if known is None:
            self._messages[message.full_name] = known = _Sizes()
            for field in message.fields:
                self._add(known, message, field)
        return known

    def _add(self, sizes: _Sizes, message: Descriptor, field: FieldDescriptor) -> None:
        name = f"{message.name}.{field.name}"
        nested = field.message_type
        inner = None if nested is None else self._of(nested)
        is_text = field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
        if field.is_repeated:
            each = self._limit(f"{name}[]") if is_text else None
            sizes.add_repeated(field.name, self._limit(name), each, inner)
            sizes.fields |= repeated(field, self._limit(name).most, inner.fields if inner else None)
        elif is_text:
            sizes.add_text(field.name, self._limit(name))
        elif inner is not None:
            sizes.fields |= holding(field, inner.fields)
            if inner.checks:
                sizes.add_message(field.name, inner)

    def _limit(self, name: str) -> Limit:
        if name not in self.limits:
            raise TypeError(f"{name} has no limit")
        self._unused.discard(name)
        return self.limits[name]


def too_many(field: str, count: str, most: int) -> Violation:
    return Violation(field, f"has {count} entries, at most {most:,} are allowed")


def too_many_in_all(field: str, most: int) -> Violation:
    """``field`` is the one that has the last of the entries that were counted."""
    text = f"brings the request to more than {most:,} entries in all, which are allowed"
    return Violation(field, text)


class _TooManyError(Exception):
    """A request has too many entries in all."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


# Knows no request.
NO_SIZES = Sizes((), {}, most_entries=0)


class _Entries:
    """Counts the entries of a request, so that judging it ends where it is too large."""

    def __init__(self, most: int) -> None:
        self._left = most

    def add(self, count: int, field: str) -> None:
        self._left -= count
        if self._left < 0:
            raise _TooManyError(field)


class _Sizes:
    """The checks of one message.

    Attributes:
        harmless_bytes: A smaller message keeps every limit.
        fields: Those with something to count.
    """

    def __init__(self) -> None:
        self.fields: Fields = {}
        self.checks: list[_Check] = []
        self.harmless_bytes = 1 << 62

    def found(self, message: Message, at: str, counted: _Entries) -> Iterator[Violation]:
        for check in self.checks:
            yield from check(message, at, counted)

    def add_text(self, name: str, limit: Limit) -> None:
        self._add(_text_check(name, limit), limit.most + 1)

    def add_message(self, name: str, inner: _Sizes) -> None:
        def check(message: Any, at: str, counted: _Entries) -> Iterator[Violation]:
            if message.HasField(name):
                yield from inner.found(getattr(message, name), path(at, name), counted)

        self._add(check, inner.harmless_bytes)

    def add_repeated(
        self, name: str, limit: Limit, each: Limit | None, inner: _Sizes | None
    ) -> None:
        def check(message: Any, at: str, counted: _Entries) -> Iterator[Violation]:
            values = getattr(message, name)
            if not values:
                return
            if len(values) > limit.most:
                yield too_many(path(at, name), f"{len(values):,}", limit.most)
                return
            counted.add(len(values), path(at, name))
            if each is not None:
                yield from _each_text(values, each, path(at, name))
            elif inner is not None and inner.checks:
                for index, value in enumerate(values):
                    give_way()
                    # The walk over the wire has counted what is in it.
                    if value.ByteSize() >= inner.harmless_bytes:
                        yield from inner.found(value, f"{path(at, name)}[{index}]", counted)

        # An entry takes a byte for its value at least, packed.
        smallest = limit.most + 1
        if each is not None:
            smallest = min(smallest, each.most + 1)
        self._add(check, min(smallest, inner.harmless_bytes if inner else smallest))

    def _add(self, check: _Check, harmless_bytes: int) -> None:
        self.checks.append(check)
        self.harmless_bytes = min(self.harmless_bytes, harmless_bytes)


def _text_check(name: str, limit: Limit) -> _Check:
    def check(message: Any, at: str, _: _Entries) -> Iterator[Violation]:
        value = getattr(message, name)
        # A character takes four bytes at most.
        if len(value) * 4 > limit.most and (size := _size(value, limit.unit)) > limit.most:
            yield Violation(path(at, name), limit.exceeded(size))

    return check


def _each_text(values: Any, limit: Limit, at: str) -> Iterator[Violation]:
    if max(map(len, values)) * 4 <= limit.most:
        return
    for index, value in enumerate(values):
        size = _size(value, limit.unit)
        if size > limit.most:
            yield Violation(f"{at}[{index}]", limit.exceeded(size))


def _size(value: str | bytes, unit: Unit) -> int:
    if unit is Unit.CHARACTERS or isinstance(value, bytes) or value.isascii():
        return len(value)
    return len(value.encode("utf-8", "surrogatepass"))


def fitting(messages: Iterable[M]) -> tuple[list[M], int]:
    """As many as one answer carries, from the first, and how many are left out."""
    kept: list[M] = []
    left_bytes, omitted = ANSWER_BYTES, 0
    for message in messages:
        give_way()
        left_bytes -= message.ByteSize() + _ELEMENT_BYTES
        if left_bytes < 0:
            omitted += 1
        else:
            kept.append(message)
    return kept, omitted


def fitting_ids(ids: Iterable[str]) -> list[str]:
    """As many as a list of ids carries, from the first."""
    kept: list[str] = []
    left_bytes = IDS_BYTES
    for id_ in ids:
        left_bytes -= len(id_.encode("utf-8")) + _ELEMENT_BYTES
        if left_bytes < 0:
            break
        kept.append(id_)
    return kept
