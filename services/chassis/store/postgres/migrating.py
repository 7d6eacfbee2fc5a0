"""Migrate and verify a PostgreSQL schema, and check the settings of its server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, MetaData, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from services.chassis.store.columns import is_text
from services.chassis.store.errors import DatabaseRefusedError, SchemaError
from services.chassis.store.migrating import (
    SchemaState,
    Versions,
    listed,
    log_migrated,
    refuse_missing,
)
from services.chassis.store.postgres.errors import symbol
from services.chassis.store.postgres.session import SessionKind, connect, refused

# Older releases are no longer maintained.
_OLDEST = 140_000

_MIGRATING = SessionKind(
    "BEGIN",
    {"lock_timeout": "60s", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"},
)
_LOOKING = SessionKind("BEGIN", {"default_transaction_read_only": "on"})

# What a migration meets whose tables are not there, or are there already.
_OTHER_TABLES = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
)

_FACTS = """
    SELECT current_setting('server_version_num')::bigint, current_setting('server_version'),
           current_setting('fsync'), current_setting('server_encoding'), pg_is_in_recovery(),
           current_schema(), current_setting('search_path')
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('migrations of ' || current_schema(), 0))"
_NAMES = """
    SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema()
"""
_COLUMNS = """
    SELECT c.relname, a.attname, a.attcollation = '"C"'::regcollation
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
"""


@dataclass(frozen=True, slots=True)
class PostgresFacts:
    """Facts about the server, read at start.

    Attributes:
        schema: The schema that holds the tables.
    """

    version: str
    durability: str
    schema: str


def migrate_postgres(
    url: str, metadata: MetaData, migrations: Path
) -> tuple[SchemaState, PostgresFacts]:
    """Migrate in one transaction; a lock lets one replica migrate and makes the others wait.

    Raises:
        DatabaseRefusedError: The server cannot be reached or is configured unsafely.
        SchemaError: The schema is newer than this code, or lacks parts of ``metadata`` afterwards.
    """
    versions = Versions(migrations)
    with _connected(url, _MIGRATING) as connection:
        facts = _facts(connection)
        connection.exec_driver_sql(_LOCK)
        state = versions.state_of(connection)
        if state.pending:
            versions.upgrade(connection)
        _check_shape(connection, metadata)
        connection.commit()
    log_migrated(state)
    return state, facts


def verify_postgres(url: str, metadata: MetaData, migrations: Path) -> SchemaState:
    """Check what ``migrate_postgres`` checks, without changing or locking anything."""
    versions = Versions(migrations)
    with _connected(url, _LOOKING) as connection:
        _facts(connection)
        state = versions.state_of(connection)
        if not state.pending:
            _check_shape(connection, metadata)
        return state


@contextmanager
def _connected(url: str, kind: SessionKind) -> Iterator[Connection]:
    """Connect in a transaction that is rolled back unless the caller commits it."""
    try:
        raw = connect(url, kind)
    except psycopg.OperationalError as error:
        raise refused(url, error) from None
    with closing(raw):
        raw.autocommit = False
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: raw,
            poolclass=StaticPool,
            use_native_hstore=False,
        )
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise _refusal(error) from error


def _refusal(error: DBAPIError) -> Exception:
    """An error that names the fix; a defect of a migration is returned unchanged."""
    match error.orig:
        case psycopg.errors.InsufficientPrivilege() as cause:
            fix = "grant the role of database_url the schema, CREATE on it, and its tables"
        case psycopg.errors.LockNotAvailable() as cause:
            fix = "end the transaction that holds a lock on the tables, or start again later"
        case psycopg.OperationalError() as cause:
            fix = "start again when the server is well"
        case cause if isinstance(cause, _OTHER_TABLES):
            return SchemaError(
                f"the migrations do not fit the database ({symbol(cause)}): is it that of another "
                "service? name another schema or database in database_url",
                cause=symbol(cause),
            )
        case _:
            return error
    said = cause.diag.message_primary or symbol(cause)
    return DatabaseRefusedError(
        f"the schema cannot be looked at or migrated: {said}; {fix}", cause=symbol(cause)
    )


def _facts(connection: Connection) -> PostgresFacts:
    number, version, fsync, encoding, is_standby, schema, path = _only(connection, _FACTS)
    if number < _OLDEST:
        raise DatabaseRefusedError(
            f"PostgreSQL 14 or newer is needed, this is {version}", version=version
        )
    if is_standby:
        raise DatabaseRefusedError(
            "database_url names a standby, which takes no writes; name the primary, or several "
            "hosts and target_session_attrs=read-write"
        )
    if fsync != "on":
        raise DatabaseRefusedError(
            "the PostgreSQL server runs with fsync = off and would lose acknowledged writes; "
            "set fsync = on"
        )
    if encoding != "UTF8":
        raise DatabaseRefusedError(
            f"the database has encoding {encoding}; create it with ENCODING 'UTF8'",
            encoding=encoding,
        )
    if schema is None:
        raise SchemaError(
            f"no schema of search_path {path} exists; create it with CREATE SCHEMA, or correct "
            "the options of database_url",
            search_path=path,
        )
    return PostgresFacts(version=version.split()[0], durability="full", schema=schema)


def _only(connection: Connection, query: str) -> Any:
    return connection.exec_driver_sql(query).one()


def _check_shape(connection: Connection, metadata: MetaData) -> None:
    names = set(connection.exec_driver_sql(_NAMES).scalars())
    rows = connection.exec_driver_sql(_COLUMNS).all()
    refuse_missing(metadata, names, {(table, column) for table, column, _ in rows})
    by_language = {(table, column) for table, column, is_c in rows if is_c is False}
    wrong = [
        f"{name}.{each.name}"
        for name, table in metadata.tables.items()
        for each in table.c
        if is_text(each.type) and (name, each.name) in by_language
    ]
    if wrong:
        raise SchemaError(
            f'columns do not sort by code point: {listed(wrong)}; migrate them to COLLATE "C"',
            columns=listed(wrong),
        )
