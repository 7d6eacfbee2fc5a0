"""The router's tables: what it keeps across restarts. No call reads them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Index, MetaData, Table

from services.chassis.store.columns import Integer, Text, UtcMicros
from services.chassis.store.kept_snapshot import kept_snapshot_tables

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()

kept_tables = kept_snapshot_tables(metadata)

# Times to live are stored in microseconds: the column types have no floating point.
pin = Table(
    "pin",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("pool_id", Text, primary_key=True),
    Column("session", Text, primary_key=True),
    Column("revision", Text, nullable=False),
    Column("member_id", Text, nullable=False),
    Column("home_member_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("moved_at", UtcMicros, nullable=False),
    Column("used_at", UtcMicros, nullable=False),
    Column("ttl_us", Integer, nullable=False),
    Column("traceparent", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("pin_used_at", pin.c.used_at)
