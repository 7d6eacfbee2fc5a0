"""The column types of every table: ``Integer``, ``Text``, ``LargeBinary``, ``Bool``, ``UtcMicros``.

STRICT tables of SQLite refuse every other type, so ``statement`` refuses them at import. The
first three are SQLAlchemy's own; the two decorators below store a truth value and an instant in
what STRICT allows and come back as ``bool`` and ``datetime``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

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

__all__ = ["Bool", "Integer", "LargeBinary", "Text", "UtcMicros"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970 UTC; a naive ``instant`` is a TypeError, never a guess."""
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
    """An instant as integer microseconds since 1970 UTC: it sorts and compares as itself."""

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
    # A sequence or a byte count that fits SQLite's INTEGER has to fit everywhere.
    return "BIGINT"


@compiles(Text, "postgresql")
def _text_sorts_by_code_point(_type: Text, _compiler: Any, **options: Any) -> str:
    # As on SQLite, whatever the language of the server: pages are keyed by what sorts them. Only
    # where a column is declared: in a cast the collation would outrank that of the column.
    return 'TEXT COLLATE "C"' if isinstance(options.get("type_expression"), Column) else "TEXT"


def allowed(type_: TypeEngine[Any]) -> bool:
    """Whether a statement may bind or return it (comparisons are Boolean, literals String)."""
    known = (Integer, String, LargeBinary, Boolean, Bool, UtcMicros, types.NullType)
    return isinstance(type_, known)
