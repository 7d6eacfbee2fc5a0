"""Schema versions of a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, MetaData, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from services.chassis.store.errors import SchemaError
from services.chassis.store.migrating import (
    SchemaState,
    Versions,
    listed,
    log_migrated,
    refuse_missing,
)
from services.chassis.store.sqlite_files import (
    create_private,
    database_path,
    file_uri,
    open_writer,
    owner_lock,
)

_NO_DATABASE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


def migrate_sqlite(url: str, metadata: MetaData, migrations: Path) -> SchemaState:
    """Raises: StoreOwnedError: A server runs on it."""
    path = database_path(url)
    create_private(path)
    with owner_lock(path):
        return migrate_owned(path, metadata, migrations)


def verify_sqlite(url: str, metadata: MetaData, migrations: Path) -> SchemaState:
    """No file, no table, no lock is created."""
    path = database_path(url)
    versions = Versions(migrations)
    if not path.exists():
        return versions.state(None)
    # Without a -wal file nobody is writing, and opening as immutable creates none.
    has_wal = path.with_name(path.name + "-wal").exists()
    uri = file_uri(path, "mode=ro" if has_wal else "mode=ro&immutable=1")
    with (
        _refusing_what_is_none(path),
        closing(sqlite3.connect(uri, uri=True)) as raw,
        _alchemy(raw) as connection,
    ):
        state = versions.state_of(connection)
        if not state.pending:
            _check_shape(connection, metadata)
        return state


def migrate_owned(path: Path, metadata: MetaData, migrations: Path) -> SchemaState:
    """``migrate_sqlite`` for whoever holds the owner lock of ``path``."""
    versions = Versions(migrations)
    with _refusing_what_is_none(path), closing(open_writer(path)) as raw:
        # Rebuilding a table drops it for a moment: its references are checked at the end.
        raw.execute("PRAGMA foreign_keys=0")
        with _alchemy(raw) as connection:
            state = versions.state_of(connection)
            if state.pending:
                raw.execute("BEGIN IMMEDIATE")
                versions.upgrade(connection)
                _check_references(raw)
            _check_shape(connection, metadata)
            if raw.in_transaction:
                raw.execute("COMMIT")
    log_migrated(state)
    return state


@contextmanager
def _refusing_what_is_none(path: Path) -> Iterator[None]:
    """Raises SchemaError for a file that SQLite cannot make sense of."""
    try:
        yield
    except (sqlite3.DatabaseError, DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        if getattr(cause, "sqlite_errorcode", None) not in _NO_DATABASE:
            raise
        raise SchemaError(
            f"{path} is no database, or a damaged one: put a backup in its place, or name another "
            "file",
            path=str(path),
        ) from error


def _alchemy(raw: sqlite3.Connection) -> Connection:
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    return engine.connect()


def _check_references(raw: sqlite3.Connection) -> None:
    broken = raw.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = listed({row[0] for row in broken})
        raise SchemaError(f"migration breaks references in {tables}", tables=tables)


def _check_shape(connection: Connection, metadata: MetaData) -> None:
    names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    columns: set[tuple[str, str]] = set()
    for table in names & metadata.tables.keys():
        rows = connection.exec_driver_sql("SELECT name FROM pragma_table_info(?)", (table,))
        columns |= {(table, column) for column in rows.scalars()}
    refuse_missing(metadata, names, columns)
