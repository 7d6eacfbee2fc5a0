"""Schema versions: forward on start, or only looked at.

A service keeps nothing but version files, ``store/migrations/versions/0001_initial.py`` and on;
the Alembic environment is this module. All pending versions run in one transaction.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine
from sqlalchemy.pool import StaticPool

from services.chassis.store.errors import SchemaError
from services.chassis.store.sqlite_files import (
    create_private,
    database_path,
    file_uri,
    open_writer,
    owner_lock,
)

_VERSION_TABLE = "schema_version"

_LOG = logging.getLogger(__name__)

# It reports at INFO how it would treat a dialect, each time it looks; we say what was done.
logging.getLogger("alembic").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where a database is and where this code would take it.

    Attributes:
        found: Version of the database; None when it has none or does not exist.
        pending: Versions that ``migrate`` would apply, oldest first.
    """

    found: str | None
    wanted: str
    pending: tuple[str, ...]


def migrate(url: str, *, metadata: MetaData, migrations: Path) -> SchemaState:
    """Take the database at ``url`` to the newest schema, creating it if need be.

    Blocks; for the command line and for ``open_store``, which holds the lock already.

    Raises:
        StoreOwnedError: A server runs on it.
        SchemaError: It is newer than this code, or does not become what ``metadata`` says.
    """
    path = database_path(url)
    create_private(path)
    with owner_lock(path):
        return migrate_owned(path, metadata, migrations)


def verify(url: str, *, metadata: MetaData, migrations: Path) -> SchemaState:
    """Look without touching: no file, no table, no lock is created.

    Raises:
        SchemaError: The database is newer than this code or is not what ``metadata`` says.
    """
    path = database_path(url)
    script = _scripts(migrations)
    if not path.exists():
        return _state(None, script)
    # Without a -wal file nobody is writing, and opening as immutable creates none.
    has_wal = path.with_name(path.name + "-wal").exists()
    uri = file_uri(path, "mode=ro" if has_wal else "mode=ro&immutable=1")
    with closing(sqlite3.connect(uri, uri=True)) as raw, _alchemy(raw) as connection:
        state = _state(_found(connection), script)
        if not state.pending:
            _check_shape(connection, metadata)
        return state


def migrate_owned(path: Path, metadata: MetaData, migrations: Path) -> SchemaState:
    """``migrate`` for whoever holds the owner lock of ``path``."""
    script = _scripts(migrations)
    with closing(open_writer(path)) as raw:
        # Rebuilding a table drops it for a moment: its references are checked at the end.
        raw.execute("PRAGMA foreign_keys=0")
        with _alchemy(raw) as connection:
            state = _state(_found(connection), script)
            if state.pending:
                raw.execute("BEGIN IMMEDIATE")
                _upgrade(connection, script)
                _check_references(raw)
            _check_shape(connection, metadata)
            if raw.in_transaction:
                raw.execute("COMMIT")
    if state.pending:
        _LOG.info("schema migrated", extra={"found": state.found, "now": state.wanted})
    return state


def _scripts(migrations: Path) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", _escaped(migrations))
    config.set_main_option("version_locations", _escaped(migrations / "versions"))
    config.set_main_option("path_separator", "newline")
    return ScriptDirectory.from_config(config)


def _escaped(path: Path) -> str:
    return str(path.absolute()).replace("%", "%%")


def _alchemy(raw: sqlite3.Connection) -> Connection:
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    return engine.connect()


def _found(connection: Connection) -> str | None:
    options = {"version_table": _VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _state(found: str | None, script: ScriptDirectory) -> SchemaState:
    wanted = script.get_current_head()
    if wanted is None:
        raise SchemaError("there is no migration to run", versions=str(script.versions))
    known = [each.revision for each in script.walk_revisions()]  # newest first
    if found is not None and found not in known:
        raise SchemaError(
            f"the database has schema version {found}, newer than {wanted}, the newest this "
            "release knows; run the release that wrote it, or a later one",
            found=found,
            newest_known=wanted,
        )
    newer = known if found is None else known[: known.index(found)]
    return SchemaState(found, wanted, tuple(reversed(newer)))


def _upgrade(connection: Connection, script: ScriptDirectory) -> None:
    def steps(current: Any, _context: MigrationContext) -> list[Any]:
        # Alembic's own upgrade command does the same; there is no public name for it.
        return script._upgrade_revs("head", current)  # noqa: SLF001

    environment = EnvironmentContext(Config(), script, fn=steps, destination_rev="head")
    with environment:
        environment.configure(
            connection=connection,
            version_table=_VERSION_TABLE,
            transactional_ddl=True,
            render_as_batch=True,
        )
        environment.run_migrations()


def _check_references(raw: sqlite3.Connection) -> None:
    broken = raw.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = _listed({row[0] for row in broken})
        raise SchemaError(f"migration breaks references in {tables}", tables=tables)


def _check_shape(connection: Connection, metadata: MetaData) -> None:
    """Fail at start rather than at the first statement that misses a column."""
    present = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
    missing: list[str] = []
    for name, table in metadata.tables.items():
        if name not in present:
            missing.append(name)
            continue
        rows = connection.exec_driver_sql("SELECT name FROM pragma_table_info(?)", (name,))
        columns = set(rows.scalars())
        missing += [f"{name}.{each.name}" for each in table.columns if each.name not in columns]
        missing += [f"index {each.name}" for each in table.indexes if each.name not in present]
    if missing:
        names = _listed(missing)
        raise SchemaError(f"migrations did not create {names}", missing=names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
