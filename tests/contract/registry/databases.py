"""Empty databases for the registry's suites, without making the tables again for each: that takes
longer than most tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from psycopg import sql
from sqlalchemy import delete

from services.chassis.follow.notifier import LocalNotifier, Notifier
from services.chassis.store import port
from services.chassis.store.opening import open_store
from services.chassis.store.statement import statement
from services.registry.store.store import SqlStore
from services.registry.store.tables import MIGRATIONS, metadata
from tests.support.clock import ManualClock
from tests.support.postgres import execute

# A store without a version but the first; what was in it before is gone.
EmptyStore = Callable[[], Awaitable[SqlStore]]

_TABLES = (
    "SELECT tablename FROM pg_tables"
    " WHERE schemaname = current_schema AND tablename <> 'schema_version'"
)
_DELETES = [statement(delete(table)) for table in reversed(metadata.sorted_tables)]


def clear(url: str) -> None:
    """Delete every row that the registry has written."""
    tables = execute(url, _TABLES)
    deletes = (sql.SQL("DELETE FROM {}").format(sql.Identifier(str(name))) for (name,) in tables)
    execute(url, sql.SQL(";").join(deletes))


def open_database(
    url: str, notifier: Notifier | None = None
) -> AbstractAsyncContextManager[port.Store]:
    notifier = notifier or LocalNotifier()
    return open_store(url, metadata=metadata, migrations=MIGRATIONS, notifier=notifier)


@asynccontextmanager
async def opened(url: str, notifier: Notifier | None = None) -> AsyncIterator[SqlStore]:
    """A founded store; its incarnation is that of the model of dictionaries."""
    async with open_database(url, notifier) as database:
        yield await _founded(database)


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[EmptyStore]:
    """One open database, emptied and founded for each caller: opening it takes longer than that."""
    async with open_database(url) as database:

        async def empty() -> SqlStore:
            await database.write(_delete_all)
            return await _founded(database)

        yield empty


async def _founded(database: port.Store) -> SqlStore:
    store = SqlStore(database, ManualClock())
    await store.initialise("in-memory")
    return store


def _delete_all(tx: port.Tx) -> None:
    for each in _DELETES:
        tx.run(each)
