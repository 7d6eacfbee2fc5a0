"""Rows as entities, and entities as parameters: a column is named after the field it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from services.chassis.caller import in_tenant
from services.chassis.store.port import Row, Tx
from services.chassis.store.statement import Statement
from services.content.model import Message
from services.runcontrol.core.model import Input
from services.runcontrol.core.ports import Codec
from services.runcontrol.store import statements as sql

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

E = TypeVar("E")


def entity_of(kind: type[E], row: Row) -> E:
    return kind(**row._asdict())


def params_of(entity: DataclassInstance) -> dict[str, object]:
    names, read = _fields_of(type(entity))
    values = zip(names, read(entity), strict=True)
    return {name: _storable(each) if isinstance(each, str) else each for name, each in values}


@lru_cache
def _fields_of(kind: type[DataclassInstance]) -> tuple[tuple[str, ...], attrgetter[Any]]:
    names = tuple(each.name for each in fields(kind))
    return names, attrgetter(*names)


class StoredMessages(Sequence[Message]):
    """The messages of an input, loaded and decoded once they are read.

    A transaction loads the inputs of its run and seldom reads them; they may be 16 MiB.

    Args:
        load: Returns the stored body; called once at most, in the transaction.
    """

    def __init__(self, load: Callable[[], bytes], codec: Codec) -> None:
        self._load = load
        self._codec = codec

    @cached_property
    def body(self) -> bytes:
        return self._load()

    @cached_property
    def _messages(self) -> tuple[Message, ...]:
        return self._codec.decode_messages(self.body)

    def __getitem__(self, at: Any) -> Any:
        return self._messages[at]

    def __len__(self) -> int:
        return len(self._messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._messages == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # a sequence of any kind may equal it


def input_of(row: Row, codec: Codec) -> Input:
    stored = entity_of(Input, row)
    return replace(stored, messages=StoredMessages(lambda: bytes(row.messages), codec))


def unread_input(tx: Tx, row: Row, codec: Codec) -> Input:
    """An input, whose messages are loaded if they are read."""

    def load() -> bytes:
        found = tx.one(sql.INPUT_BODY, tenant=row.tenant, input_id=row.input_id)
        return b"" if found is None else bytes(found.messages)

    values = row._asdict()
    del values["size_bytes"]
    return Input(**values, messages=StoredMessages(load, codec))


def input_params(entity: Input, codec: Codec) -> dict[str, object]:
    messages = entity.messages
    if isinstance(messages, StoredMessages):
        body = messages.body
    else:
        body = codec.encode_messages(messages)
    return params_of(entity) | {"messages": body}


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


def _storable(text: str) -> str:
    """The text with NUL replaced: a model may send it, and no database stores it."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
