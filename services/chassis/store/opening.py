"""From a URL to a running store, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import MetaData

from services.chassis.clock import Clock
from services.chassis.notifier import Notifier
from services.chassis.store.errors import SchemaError
from services.chassis.store.measured import measured
from services.chassis.store.migrating import SchemaState
from services.chassis.store.port import Store
from services.chassis.store.postgres_migrating import migrate_postgres, verify_postgres
from services.chassis.store.postgres_store import PostgresTuning, open_postgres
from services.chassis.store.sqlite_files import database_path
from services.chassis.store.sqlite_migrating import migrate_sqlite, verify_sqlite
from services.chassis.store.sqlite_store import SqliteTuning, open_sqlite

__all__ = [
    "PostgresTuning",
    "SchemaState",
    "SqliteTuning",
    "Tuning",
    "migrate",
    "open_store",
    "verify",
]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The numbers of both engines; the URL decides which of them matter."""

    sqlite: SqliteTuning = field(default_factory=SqliteTuning)
    postgres: PostgresTuning = field(default_factory=PostgresTuning)

    @classmethod
    def of(cls, *, connections: int) -> Tuning:
        """What an operator can set: ``connections`` for the closures of one process."""
        return cls(postgres=PostgresTuning(connections=connections))


@asynccontextmanager
async def open_store(
    url: str,
    *,
    metadata: MetaData,
    migrations: Path,
    clock: Clock,
    notifier: Notifier,
    tuning: Tuning | None = None,
) -> AsyncIterator[Store]:
    """Migrate and serve the database at ``url``; on exit commit and answer what was accepted.

    Args:
        url: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, created when missing and
            owned by this process alone; or ``postgresql://user:password@host:port/database``
            as libpq takes it, shared with other replicas.
        metadata: Every table the service uses; start fails if one is not there after migration.
        migrations: Folder with ``versions/``.
        clock: Compared with by engines whose ownership runs out; a file lock does not.
        notifier: Rung on the event loop for every ``tx.ring`` that was committed.

    Raises:
        StoreOwnedError: Another process owns the file.
        DatabaseRefusedError: The server cannot be reached or is not fit to be used.
        SchemaError: Its schema is newer than this code, or the URL names no database.
    """
    tuning = tuning or Tuning()
    if _is_postgres(url):
        opened = open_postgres(
            url,
            metadata=metadata,
            migrations=migrations,
            notifier=notifier,
            tuning=tuning.postgres,
        )
    else:
        opened = open_sqlite(
            database_path(url),
            metadata=metadata,
            migrations=migrations,
            notifier=notifier,
            tuning=tuning.sqlite,
        )
    async with opened as store:
        yield measured(store)


def migrate(url: str, *, metadata: MetaData, migrations: Path) -> SchemaState:
    """Take the database at ``url`` to the newest schema, creating a file if need be; blocks.

    The state answered is that from before.

    Raises:
        StoreOwnedError: A server runs on the file.
        DatabaseRefusedError: The server cannot be reached or is not fit to be used.
        SchemaError: It is newer than this code, or does not become what ``metadata`` says.
    """
    if _is_postgres(url):
        state, _ = migrate_postgres(url, metadata, migrations)
        return state
    return migrate_sqlite(url, metadata, migrations)


def verify(url: str, *, metadata: MetaData, migrations: Path) -> SchemaState:
    """Look without creating, changing or locking anything; blocks.

    Raises:
        DatabaseRefusedError: The server cannot be reached or is not fit to be used.
        SchemaError: The database is newer than this code or is not what ``metadata`` says.
    """
    look = verify_postgres if _is_postgres(url) else verify_sqlite
    return look(url, metadata, migrations)


def _is_postgres(url: str) -> bool:
    """Raises: SchemaError: Neither engine knows such a URL. It is not repeated."""
    scheme, colon, _ = url.partition(":")
    if scheme in {"postgresql", "postgres"} and colon:
        return True
    if scheme == "sqlite" and colon:
        return False
    raise SchemaError(
        "database_url begins with neither sqlite:/// nor postgresql://; write "
        "sqlite:////path/to/file.db or postgresql://user:password@host:port/database"
    )
