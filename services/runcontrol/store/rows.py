"""Rows as entities, and entities as parameters: a column is named after the field it keeps."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from services.chassis.caller import in_tenant
from services.chassis.store.port import Row, Tx
from services.chassis.store.statement import Statement
from services.runcontrol.core.model import Input
from services.runcontrol.core.ports import Codec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

E = TypeVar("E")


def entity_of(kind: type[E], row: Row) -> E:
    return kind(**row._asdict())


def params_of(entity: DataclassInstance) -> dict[str, object]:
    return {each.name: _storable(getattr(entity, each.name)) for each in fields(entity)}


def input_of(row: Row, codec: Codec) -> Input:
    """An input with its messages decoded."""
    stored = entity_of(Input, row)
    return replace(stored, messages=codec.decode_messages(row.messages))


def input_params(entity: Input, codec: Codec) -> dict[str, object]:
    return params_of(entity) | {"messages": codec.encode_messages(entity.messages)}


def one(tx: Tx, kind: type[E], query: Statement, **params: object) -> E | None:
    """The first row of ``query`` as an entity, or None."""
    row = tx.one(query, **params)
    return None if row is None else entity_of(kind, row)


def every(tx: Tx, kind: type[E], query: Statement, **params: object) -> tuple[E, ...]:
    """Every row of ``query`` as an entity."""
    return tuple(entity_of(kind, row) for row in tx.all(query, **params))


def lane_of(tenant: str, thread_id: str) -> str:
    """The outbox lane of a tenant's thread."""
    return in_tenant(tenant, thread_id)


def _storable(value: Any) -> Any:
    """``value``, with NUL replaced in texts: a model may send it, and no database stores it."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
