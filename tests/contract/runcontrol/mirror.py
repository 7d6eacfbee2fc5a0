"""The memory model and a database side by side: whatever one answers, the other has to."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from services.chassis.clock import Clock
from services.chassis.store.sqlite_tx import SqliteTx
from services.runcontrol.api.events import ProtobufCodec
from services.runcontrol.store.runcontrol_store import SqlRunControlTx
from services.runcontrol.store.tables import metadata
from services.runcontrol.store.views import SqlViews
from tests.support.runcontrol_memory import MemoryStore, MemoryTx, Tables

T = TypeVar("T")

CODEC = ProtobufCodec()


class Mirrored:
    """Every method of a transaction, on the model and on the database; their answers compared."""

    def __init__(self, model: MemoryTx, database: object) -> None:
        self._model = model
        self._database = database

    def __getattr__(self, name: str) -> Callable[..., Any]:
        on_model, on_database = getattr(self._model, name), getattr(self._database, name)

        def both(*args: Any) -> Any:
            expected, found = on_model(*args), on_database(*args)
            assert found == expected, f"{name}: the database says {found}, not {expected}"
            return expected

        return both


class MirrorStore(MemoryStore):
    """The memory store, with a database in memory that takes part in everything."""

    def __init__(self, clock: Callable[[], Clock]) -> None:
        super().__init__()
        self._clock = clock
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        dialect = sqlite.dialect()
        for table in metadata.sorted_tables:
            self._connection.execute(str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                self._connection.execute(str(CreateIndex(index).compile(dialect=dialect)))

    async def write(self, fn: Callable[[Any], T]) -> T:
        scratch = Tables(**{name: copy.copy(v) for name, v in vars(self.tables).items()})
        cursor = self._connection.cursor()
        cursor.execute("BEGIN")
        sql = SqlRunControlTx(SqliteTx(cursor), CODEC, self._clock())
        try:
            result = fn(Mirrored(MemoryTx(scratch, CODEC.encode_event), sql))
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
        self.tables = scratch
        return result

    async def read(self, fn: Callable[[Any], T]) -> T:
        view = SqlViews(SqliteTx(self._connection.cursor()), CODEC)
        return fn(Mirrored(MemoryTx(self.tables, CODEC.encode_event), view))

    def query(self, text: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(text).fetchall()

    def close(self) -> None:
        self._connection.close()
