"""The column types of every table.

STRICT tables of SQLite hold only integers, text and bytes, so ``statement`` raises TypeError at
import for any other type. ``Integer``, ``Text`` and ``LargeBinary`` are SQLAlchemy's own. The
others store a ``bool``, a ``datetime``, an ``Enum`` or a structured value as one of these three and
convert it in both directions. See ADR 0020.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Integer,
    LargeBinary,
    String,
    Text,
    types,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["Bool", "EnumValue", "Integer", "Json", "LargeBinary", "Text", "UtcMicros"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Return microseconds since 1970 UTC; a naive ``instant`` raises TypeError."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


class Bool(TypeDecorator[bool]):
    """0 or 1 in SQLite, a native boolean in PostgreSQL."""

    impl = Integer
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Boolean() if dialect.name == "postgresql" else Integer())

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> bool | None:
        return None if value is None else bool(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> bool | None:
        return None if value is None else bool(value)


class UtcMicros(TypeDecorator[datetime]):
    """An instant, stored as integer microseconds since 1970 UTC, so that it sorts by time."""

    impl = Integer
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        wide = BigInteger() if dialect.name == "postgresql" else Integer()
        return dialect.type_descriptor(wide)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


@compiles(Integer, "postgresql")
def _integers_are_64_bits_wide(_type: Integer, _compiler: Any, **_options: Any) -> str:
    # SQLite's INTEGER has 64 bits; PostgreSQL's has 32.
    return "BIGINT"


@compiles(Text, "postgresql")
def _text_sorts_by_code_point(_type: Text, _compiler: Any, **options: Any) -> str:
    # Page tokens hold the sort key, so both engines must sort alike, whatever the server's locale.
    # Only in a column's declaration: in a cast the collation would override that of the column.
    return 'TEXT COLLATE "C"' if isinstance(options.get("type_expression"), Column) else "TEXT"


class EnumValue(TypeDecorator[Enum]):
    """An ``Enum`` member, stored as its value: text, or an integer for an ``IntEnum``."""

    impl = Text
    cache_ok = True

    def __init__(self, of: type[Enum]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if issubclass(self.of, int) else Text())

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> Any:
        return None if value is None else value.value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Enum | None:
        return None if value is None else self.of(value)


class Json(TypeDecorator[Any]):
    """A structured value as JSON text; None is stored as ``null``.

    Give every field that is added later a default, so that older rows can still be decoded.

    Args:
        of: The type to decode to: a dataclass, a tuple of them, or an optional one.
    """

    impl = Text
    cache_ok = True

    def __init__(self, of: Any) -> None:
        super().__init__()
        self.of = of

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return to_json(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value, type=self.of)


def to_driver(type_: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return a converter for parameters that are not None, or None if the driver needs none.

    Raises:
        TypeError: ``type_`` is not one of the column types of this module.
    """
    _check(type_)
    if isinstance(type_, UtcMicros):
        return to_micros
    if isinstance(type_, EnumValue):
        return _value_of
    return bool if isinstance(type_, Bool | Boolean) else None


def from_driver(type_: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return a converter for values that are not NULL, or None if they need none.

    Raises:
        TypeError: ``type_`` is not one of the column types of this module.
    """
    _check(type_)
    if isinstance(type_, UtcMicros):
        return from_micros
    if isinstance(type_, EnumValue):
        return type_.of
    if isinstance(type_, Json):
        return msgspec.json.Decoder(type_.of).decode
    return bool if isinstance(type_, Bool | Boolean) else None


def is_text(type_: TypeEngine[Any]) -> bool:
    """Whether PostgreSQL stores ``type_`` as text, which has to sort by code point."""
    if isinstance(type_, EnumValue):
        return not issubclass(type_.of, int)
    return isinstance(type_, Text | Json)


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _value_of(member: Enum) -> Any:
    return member.value


def _check(type_: TypeEngine[Any]) -> None:
    if not allowed(type_):
        raise TypeError(f"{type_!r} is not a column type of services.chassis.store.columns")


def allowed(type_: TypeEngine[Any]) -> bool:
    """Whether a statement may bind or return it; comparisons are Boolean, literals String."""
    known = (
        Integer,
        String,
        LargeBinary,
        Boolean,
        Bool,
        UtcMicros,
        EnumValue,
        Json,
        types.NullType,
    )
    return isinstance(type_, known)
