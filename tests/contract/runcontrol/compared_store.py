"""The memory model and a database side by side: whatever one answers, the other has to."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from services.chassis.clock import Clock
from services.chassis.store.opening import migrate
from services.chassis.store.port import Tx
from services.chassis.store.postgres.session import connect, writing
from services.chassis.store.postgres.tx import PostgresTx
from services.chassis.store.postgres.wire import Wire
from services.chassis.store.sqlite.tx import SqliteTx
from services.runcontrol.api.codec import ProtobufCodec
from services.runcontrol.store.store import SqlTx
from services.runcontrol.store.tables import MIGRATIONS, metadata
from services.runcontrol.store.views import SqlViews
from tests.support.memory_runcontrol import MemoryStore, MemoryTx
from tests.support.memory_tables import Tables

T = TypeVar("T")

CODEC = ProtobufCodec()


class Database(Protocol):
    """One connection to run control's tables, empty at first."""

    def begin(self) -> Tx: ...

    def commit(self, tx: Any) -> None: ...

    def execute(self, text: str) -> list[tuple[Any, ...]]: ...

    def empty(self) -> None:
        """Delete every row."""
        for table in metadata.tables.values():
            self.execute(f"DELETE FROM {table.name}")  # noqa: S608  # a name of ours

    def close(self) -> None: ...


class SqliteInMemory(Database):
    """SQLite without a file."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        dialect = sqlite.dialect()
        for table in metadata.sorted_tables:
            self._connection.execute(str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                self._connection.execute(str(CreateIndex(index).compile(dialect=dialect)))

    def begin(self) -> Tx:
        self.execute("BEGIN")
        return SqliteTx(self._connection.cursor())

    def commit(self, tx: SqliteTx) -> None:
        self.execute("COMMIT")

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(text).fetchall()

    def close(self) -> None:
        self._connection.close()


class PostgresSchema(Database):
    """A schema of PostgreSQL, which has to be empty of rows."""

    def __init__(self, url: str) -> None:
        migrate(url, metadata=metadata, migrations=MIGRATIONS)
        self._connection = connect(url, writing(5.0, 30.0))
        self._wire = Wire(self._connection)

    def begin(self) -> Tx:
        return PostgresTx(self._wire, "BEGIN")

    def commit(self, tx: PostgresTx) -> None:
        tx.commit()  # with the changes that wait

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._connection.close()


class ComparedTx:
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


class ComparedStore(MemoryStore):
    """The memory store, with a database that takes part in everything."""

    def __init__(self, clock: Callable[[], Clock], database: Database) -> None:
        super().__init__(CODEC.encode_event)
        self._clock = clock
        self._database = database

    async def write(self, fn: Callable[[Any], T]) -> T:
        scratch = Tables(**{name: copy.copy(v) for name, v in vars(self.tables).items()})
        tx = self._database.begin()
        sql = SqlTx(tx, CODEC, self._clock())
        try:
            result = fn(ComparedTx(MemoryTx(scratch, CODEC.encode_event), sql))
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.commit(tx)
        self.tables = scratch
        return result

    async def read(self, fn: Callable[[Any], T]) -> T:
        view = SqlViews(self._database.begin(), CODEC)
        try:
            return fn(ComparedTx(MemoryTx(self.tables, CODEC.encode_event), view))
        finally:
            self._database.execute("ROLLBACK")

    def query(self, text: str) -> list[tuple[Any, ...]]:
        return self._database.execute(text)

    def close(self) -> None:
        self._database.close()
