"""The router's tables: what its replicas share and keep across restarts. No call reads them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Index, MetaData, Table

from services.chassis.store.columns import Integer, Text, UtcMicros
from services.chassis.store.kept_snapshot import kept_snapshot_tables

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()

kept_tables = kept_snapshot_tables(metadata)

# An entry. Its key is hashed, because an index of PostgreSQL takes less than a key may have.
shared = Table(
    "shared",
    metadata,
    Column("key_hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", Text),
    Column("changed_at", UtcMicros, nullable=False),
    Column("extended_at", UtcMicros, nullable=False),
    Column("ends_at", UtcMicros),
    Column("number", Integer, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("shared_number", shared.c.number)
Index("shared_extended_at", shared.c.kind, shared.c.extended_at)
Index("shared_ends_at", shared.c.ends_at)

# How many entries were written. Whoever writes locks the row first, so numbers become visible in
# their order.
shared_head = Table(
    "shared_head",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    sqlite_strict=True,
)
