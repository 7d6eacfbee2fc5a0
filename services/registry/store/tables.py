"""The tables. A resource is rows, each valid from a version up to, not including, another."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table

from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.idempotency import requests_table

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()

# One row: every writer locks it first, so that versions are given out in the order of commits.
head = Table(
    "head",
    metadata,
    Column("only", Integer, CheckConstraint('"only" = 1'), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("oldest_version", Integer, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("lineage", Text, nullable=False, server_default=""),
    sqlite_strict=True,
)

version = Table(
    "version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("change_count", Integer, nullable=False),
    Column("restored_from", Integer),
    Column("content_hash", LargeBinary),  # NULL: not computed yet
    Column("lineage", Text, nullable=False, server_default=""),
    sqlite_strict=True,
)
_unhashed = version.c.content_hash.is_(None)
Index("version_unhashed", version.c.version, sqlite_where=_unhashed, postgresql_where=_unhashed)

resource = Table(
    "resource",
    metadata,
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, primary_key=True),
    Column("valid_from", Integer, primary_key=True, autoincrement=False),
    Column("valid_to", Integer),  # NULL: current
    Column("content_hash", LargeBinary, nullable=False),
    Column("apply_set", Text, nullable=False),
    Column("updated_at", UtcMicros, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("body_bytes", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_strict=True,
)

_current = resource.c.valid_to.is_(None)
Index(
    "resource_current",
    resource.c.kind,
    resource.c.id,
    unique=True,
    sqlite_where=_current,
    postgresql_where=_current,
)
Index("resource_apply_set", resource.c.apply_set, sqlite_where=_current, postgresql_where=_current)
# In the order of the audit log, and of what one version changed.
Index("resource_valid_from", resource.c.valid_from, resource.c.kind, resource.c.id)
# Without the current rows: a listing must not find them here, unsorted.
_ended = resource.c.valid_to.is_not(None)
Index(
    "resource_valid_to",
    resource.c.valid_to,
    resource.c.kind,
    resource.c.id,
    sqlite_where=_ended,
    postgresql_where=_ended,
)

# The edges of the current version, looked up by what they point at.
reference = Table(
    "reference",
    metadata,
    Column("space", Integer, primary_key=True, autoincrement=False),
    Column("target_id", Text, primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, primary_key=True),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("reference_holder", reference.c.kind, reference.c.id)

request = requests_table(metadata)
