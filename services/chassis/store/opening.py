"""Open, migrate or verify the database at a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import MetaData

from services.chassis.follow.notifier import Notifier
from services.chassis.store.errors import SchemaError
from services.chassis.store.metrics import timed
from services.chassis.store.migrating import SchemaState
from services.chassis.store.port import Store
from services.chassis.store.postgres.migrating import migrate_postgres, verify_postgres
from services.chassis.store.postgres.store import PostgresTuning, open_postgres
from services.chassis.store.sqlite.files import database_path
from services.chassis.store.sqlite.migrating import migrate_sqlite, verify_sqlite
from services.chassis.store.sqlite.store import SqliteTuning, open_sqlite


@dataclass(frozen=True, slots=True)
class Tuning:
    """Tuning of both engines; the URL decides which of the two is used."""

    sqlite: SqliteTuning = field(default_factory=SqliteTuning)
    postgres: PostgresTuning = field(default_factory=PostgresTuning)

    @classmethod
    def of(cls, *, connections: int) -> Tuning:
        """Build from what operators set: ``connections`` run the closures of one process."""
        return cls(postgres=PostgresTuning(connections=connections))


@asynccontextmanager
async def open_store(
    url: str,
    *,
    metadata: MetaData,
    migrations: Path,
    notifier: Notifier,
    tuning: Tuning | None = None,
) -> AsyncIterator[Store]:
    """Migrate and open the database at ``url``; on exit, commit and answer all accepted work.

    Args:
        url: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, created if missing and
            owned by this process alone; or ``postgresql://user:password@host:port/database``
            as libpq takes it, shared with other replicas.
        metadata: Every table that the service uses.
        migrations: Folder with ``versions/``.
        notifier: Called on the event loop for every committed ``tx.notify``.

    Raises:
        StoreOwnedError: Another process owns the file.
        DatabaseRefusedError: The server or file cannot be reached or is unsafe.
        SchemaError: The schema is newer than this code, of others, or lacks a table after
            migration, or the URL names no database.
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
        yield timed(store)


def migrate(url: str, *, metadata: MetaData, migrations: Path) -> SchemaState:
    """Migrate the database at ``url`` to the newest schema, creating a missing file; blocks.

    Returns the state before the migration.

    Raises:
        StoreOwnedError: A server process owns the file.
        DatabaseRefusedError: The server or file cannot be reached or is unsafe.
        SchemaError: The schema is newer than this code, or lacks parts of ``metadata`` afterwards.
    """
    if _is_postgres(url):
        state, _ = migrate_postgres(url, metadata, migrations)
        return state
    return migrate_sqlite(url, metadata, migrations)


def verify(url: str, *, metadata: MetaData, migrations: Path) -> SchemaState:
    """Check the schema without creating, changing or locking anything; blocks.

    Raises:
        DatabaseRefusedError: The server or file cannot be reached or is unsafe.
        SchemaError: The schema is newer than this code, or current without all of ``metadata``.
    """
    look = verify_postgres if _is_postgres(url) else verify_sqlite
    return look(url, metadata, migrations)


def _is_postgres(url: str) -> bool:
    """Raises: SchemaError: No engine has such URLs. The text leaves out the URL: passwords."""
    scheme, colon, _ = url.partition(":")
    if scheme in {"postgresql", "postgres"} and colon:
        return True
    if scheme == "sqlite" and colon:
        return False
    raise SchemaError(
        "database_url begins with neither sqlite:/// nor postgresql://; write "
        "sqlite:////path/to/file.db or postgresql://user:password@host:port/database"
    )
