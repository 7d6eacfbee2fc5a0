"""From a URL to a running store, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import MetaData

from services.chassis.clock import Clock
from services.chassis.notifier import Notifier
from services.chassis.store.migrating import SchemaState, migrate, verify
from services.chassis.store.port import Store
from services.chassis.store.sqlite_files import database_path
from services.chassis.store.sqlite_store import SqliteTuning, open_sqlite

__all__ = ["SchemaState", "SqliteTuning", "migrate", "open_store", "verify"]


@asynccontextmanager
async def open_store(
    url: str,
    *,
    metadata: MetaData,
    migrations: Path,
    clock: Clock,
    notifier: Notifier,
    tuning: SqliteTuning | None = None,
) -> AsyncIterator[Store]:
    """Own, migrate and serve the database at ``url``; on exit commit and answer what was accepted.

    Args:
        url: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``; created when missing.
        metadata: Every table the service uses; start fails if one is not there after migration.
        migrations: Folder with ``versions/``.
        clock: Compared with by engines whose ownership runs out; a file lock does not.
        notifier: Rung on the event loop for every ``tx.ring`` that was committed.

    Raises:
        StoreOwnedError: Another process owns it.
        SchemaError: Its schema is newer than this code, or the URL names no file.
    """
    async with open_sqlite(
        database_path(url),
        metadata=metadata,
        migrations=migrations,
        notifier=notifier,
        tuning=tuning or SqliteTuning(),
    ) as store:
        yield store
