"""Schema versions: reading the version of a database and migrating it to the newest one.

A service has only version files, ``store/migrations/versions/0001_initial.py`` and so on; this
module is the Alembic environment. All pending versions run in one transaction.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from services.chassis.store.errors import SchemaError

VERSION_TABLE = "schema_version"

# Version files get their connection from a global variable of Alembic.
_UPGRADING = threading.Lock()

_LOG = logging.getLogger(__name__)

# At INFO it logs the dialect on every look; ``log_migrated`` logs what was done.
logging.getLogger("alembic").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The version of a database and the version that this code needs.

    Attributes:
        found: Version of the database; None if it has none or does not exist.
        pending: Versions that ``migrate`` would apply, oldest first.
    """

    found: str | None
    wanted: str
    pending: tuple[str, ...]


class Versions:
    """The version files in ``migrations``.

    Raises:
        SchemaError: The folder holds none.
    """

    def __init__(self, migrations: Path) -> None:
        self._script = _scripts(migrations)
        wanted = self._script.get_current_head()
        if wanted is None:
            raise SchemaError("there is no migration to run", versions=str(self._script.versions))
        self._wanted = wanted

    def state_of(self, connection: Connection) -> SchemaState:
        """Raises: SchemaError: The database is newer than these versions."""
        options = {"version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        return self.state(context.get_current_revision())

    def state(self, found: str | None) -> SchemaState:
        known = [each.revision for each in self._script.walk_revisions()]  # newest first
        if found is not None and found not in known:
            raise SchemaError(
                f"the database has schema version {found}, newer than {self._wanted}, the newest "
                "this release knows; run the release that wrote it, or a later one",
                found=found,
                newest_known=self._wanted,
            )
        newer = known if found is None else known[: known.index(found)]
        return SchemaState(found, self._wanted, tuple(reversed(newer)))

    def upgrade(self, connection: Connection) -> None:
        """Run the pending versions in the open transaction of ``connection``."""
        script = self._script

        def steps(current: Any, _context: MigrationContext) -> list[Any]:
            # Alembic's own upgrade command does the same; there is no public name for it.
            return script._upgrade_revs("head", current)  # noqa: SLF001

        environment = EnvironmentContext(Config(), script, fn=steps, destination_rev="head")
        with _UPGRADING, environment:
            environment.configure(
                connection=connection,
                version_table=VERSION_TABLE,
                transactional_ddl=True,
                render_as_batch=True,
            )
            environment.run_migrations()


def refuse_missing(
    metadata: MetaData, names: Collection[str], columns: Collection[tuple[str, str]]
) -> None:
    """Raise SchemaError unless every table, column and index of ``metadata`` exists.

    Args:
        names: Tables and indexes of the database.
        columns: Pairs of table and column; tables outside ``metadata`` may be left out.
    """
    missing: list[str] = []
    for name, table in metadata.tables.items():
        if name not in names:
            missing.append(name)
            continue
        missing += [f"{name}.{each.name}" for each in table.c if (name, each.name) not in columns]
        missing += [f"index {each.name}" for each in table.indexes if each.name not in names]
    if missing:
        raise SchemaError(
            f"migrations did not create {listed(missing)}: is it the database of another service?",
            missing=listed(missing),
        )


def log_migrated(state: SchemaState) -> None:
    if state.pending:
        _LOG.info("schema migrated", extra={"found": state.found, "now": state.wanted})


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _scripts(migrations: Path) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", _escaped(migrations))
    config.set_main_option("version_locations", _escaped(migrations / "versions"))
    config.set_main_option("path_separator", "newline")
    return ScriptDirectory.from_config(config)


def _escaped(path: Path) -> str:
    return str(path.absolute()).replace("%", "%%")
