"""SQLite databases that are migrated already: a copy takes a third of the time of a migration."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from services.chassis.store.schema import Schema


def new_sqlite(schema: Schema, path: Path) -> str:
    """The URL of a database with the tables of ``schema`` and no row, in a new file at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_migrated(schema))
    path.chmod(0o600)
    return f"sqlite:///{path}"


@cache
def _migrated(schema: Schema) -> bytes:
    with TemporaryDirectory() as folder:
        schema.migrate(f"sqlite:///{folder}/store.db")
        return Path(folder, "store.db").read_bytes()
