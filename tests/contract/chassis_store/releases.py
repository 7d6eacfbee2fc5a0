"""Releases of a service for the tests of migrations: version files and what its code expects."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, Table, Text

from services.chassis.store.migrating import SchemaState
from services.chassis.store.opening import migrate, verify
from services.chassis.store.sqlite.files import database_path
from tests.support.postgres import execute

_VERSION = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {previous!r}


def upgrade():
    {body}
"""
ONE = 'op.create_table("thing", sa.Column("id", sa.Text, primary_key=True), sqlite_strict=True)'
SIZE = 'sa.Column("size", sa.Integer, nullable=False, server_default="7")'
TWO = f'op.add_column("thing", {SIZE}); op.create_index("thing_size", "thing", ["size"])'
BROKEN = f'op.add_column("thing", {SIZE}); op.execute("NONSENSE")'


class Release:
    """A release of a service: its version files and what its code expects of the schema."""

    def __init__(self, folder: Path, *bodies: str, columns: tuple[str, ...] = ()) -> None:
        self.migrations = folder
        (folder / "versions").mkdir(parents=True)
        for number, body in enumerate(bodies, start=1):
            previous = f"{number - 1:04}" if number > 1 else None
            content = _VERSION.format(revision=f"{number:04}", previous=previous, body=body)
            (folder / "versions" / f"{number:04}_step.py").write_text(content)
        self.metadata = MetaData()
        extra = [Column(name, Integer) for name in columns]
        self.thing = Table("thing", self.metadata, Column("id", Text, primary_key=True), *extra)

    def verify(self, url: str) -> SchemaState:
        return verify(url, metadata=self.metadata, migrations=self.migrations)

    def migrate(self, url: str) -> SchemaState:
        return migrate(url, metadata=self.metadata, migrations=self.migrations)


def run(url: str, sql: str) -> list[tuple[object, ...]]:
    if url.startswith("postgresql"):
        return execute(url, sql)
    with closing(sqlite3.connect(database_path(url))) as connection, connection:
        return connection.execute(sql).fetchall()


def tables(url: str) -> list[object]:
    """What there is, by name."""
    catalog = (
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        if url.startswith("postgresql")
        else "SELECT name FROM sqlite_master"
    )
    return sorted(name for (name,) in run(url, catalog))
