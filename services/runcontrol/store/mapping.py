"""Entities to rows and back: one mapper per table, made from the entity's types at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import msgspec
from sqlalchemy import ColumnElement, Table, TextClause

from services.chassis.store.port import Row, Tx
from services.chassis.store.statement import Statement, statement, upsert

E = TypeVar("E")

_PLAIN = (str, int, bytes, bool, datetime)
_Convert = Callable[[Any], Any]


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def from_json(hint: Any, value: str) -> Any:
    return msgspec.json.decode(value, type=hint)


def same(value: Any) -> Any:
    return value


def storable(text: str) -> str:
    """``text`` as every database takes it; what a model says may hold anything."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _enum_value(value: Enum) -> Any:
    return value.value


def converters(hint: Any) -> tuple[_Convert, _Convert]:
    """How a field of this type is stored and read."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_value, hint
    if hint is str:
        return storable, same
    options = [option for option in get_args(hint) if option is not type(None)]
    if hint in _PLAIN or (len(options) == 1 and options[0] is datetime):
        return same, same
    return to_json, partial(from_json, hint)


class Mapper(Generic[E]):
    """Keeps entities of one class in one table.

    Args:
        extra: Columns that are no field of the entity; given to ``save`` by name.
        overrides: Converters of fields whose form the caller decides.
    """

    def __init__(
        self,
        entity: type[E],
        table: Table,
        *,
        extra: tuple[str, ...] = (),
        overrides: dict[str, tuple[_Convert, _Convert]] | None = None,
    ) -> None:
        self._entity = entity
        self._table = table
        hints = get_type_hints(entity)
        given = overrides or {}
        self._fields = {
            field.name: given.get(field.name) or converters(hints[field.name])
            for field in fields(entity)  # type: ignore[arg-type]  # every entity is a dataclass
            if field.name in table.c
        }
        unknown = {column.name for column in table.c} - self._fields.keys() - set(extra)
        if unknown:
            raise TypeError(f"{entity.__name__} has no field for {sorted(unknown)}")
        self.put: Statement = statement(_put(table))

    def find(self, *conditions: ColumnElement[bool] | TextClause, **order: Any) -> Statement:
        """A query for whole entities; ``order_by`` and ``limit`` as of a select."""
        query = self._table.select().where(*conditions)
        if "order_by" in order:
            query = query.order_by(*order["order_by"])
        if "limit" in order:
            query = query.limit(order["limit"])
        return statement(query)

    def save(self, tx: Tx, entity: E, **extra: object) -> None:
        """Insert the entity, or replace the row of its key."""
        tx.run(self.put, **self.row(entity), **extra)

    def row(self, entity: E) -> dict[str, object]:
        """The columns of an entity."""
        return {name: to(getattr(entity, name)) for name, (to, _) in self._fields.items()}

    def load(self, row: Row) -> E:
        return self._entity(
            **{name: back(getattr(row, name)) for name, (_, back) in self._fields.items()}
        )

    def one(self, tx: Tx, query: Statement, **params: object) -> E | None:
        row = tx.one(query, **params)
        return None if row is None else self.load(row)

    def all(self, tx: Tx, query: Statement, **params: object) -> tuple[E, ...]:
        return tuple(self.load(row) for row in tx.all(query, **params))


def _put(table: Table) -> Any:
    keys = [column.name for column in table.primary_key.columns]
    insert = upsert(table)
    changed = {c.name: insert.excluded[c.name] for c in table.c if c.name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=changed)
