"""The tables of what is deleted later, in slices."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from services.chassis.store.columns import Integer, Text, UtcMicros
from services.runcontrol.store.tables import metadata

# Ranges of runs whose deltas a later event covers. No two of a run end at the same event.
covered = Table(
    "covered",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("last_run_seq", Integer, primary_key=True, autoincrement=False),
    Column("first_run_seq", Integer, nullable=False),
    Column("covered_at", UtcMicros, nullable=False),
    sqlite_strict=True,
)
Index("covered_at", covered.c.covered_at)

# The runs of deleted threads.
deleted_run = Table(
    "deleted_run",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("thread_id", Text, nullable=False),
    sqlite_strict=True,
)
