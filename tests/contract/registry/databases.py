"""Empty databases for the registry's suites: one schema of PostgreSQL is emptied again and again,
since making its tables takes longer than most tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from psycopg import sql

from services.chassis.notifier import LocalNotifier, Notifier
from services.chassis.store.opening import open_store
from services.registry.store.registry_store import SqlRegistryStore
from services.registry.store.tables import MIGRATIONS, metadata
from tests.support.clock import ManualClock
from tests.support.postgres import execute

# The URL of an empty database, for the length of the block.
Databases = Callable[[], AbstractContextManager[str]]

_TABLES = (
    "SELECT tablename FROM pg_tables"
    " WHERE schemaname = current_schema AND tablename <> 'schema_version'"
)


def clear(url: str) -> None:
    """Delete every row that the registry has written."""
    tables = execute(url, _TABLES)
    deletes = (sql.SQL("DELETE FROM {}").format(sql.Identifier(str(name))) for (name,) in tables)
    execute(url, sql.SQL(";").join(deletes))


@asynccontextmanager
async def opened(url: str, notifier: Notifier | None = None) -> AsyncIterator[SqlRegistryStore]:
    """A founded store; its incarnation is that of the model of dictionaries."""
    clock = ManualClock()
    database = open_store(
        url,
        metadata=metadata,
        migrations=MIGRATIONS,
        clock=clock,
        notifier=notifier or LocalNotifier(),
    )
    async with database as each:
        store = SqlRegistryStore(each, clock)
        await store.found("in-memory")
        yield store
