"""The router's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros

revision = "0001"
down_revision = None


def upgrade() -> None:
    _pins()
    _kept_snapshot()


def _pins() -> None:
    op.create_table(
        "pin",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("pool_id", Text, primary_key=True),
        sa.Column("session", Text, primary_key=True),
        sa.Column("revision", Text, nullable=False),
        sa.Column("member_id", Text, nullable=False),
        sa.Column("home_member_id", Text, nullable=False),
        sa.Column("reason", Text, nullable=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("moved_at", UtcMicros, nullable=False),
        sa.Column("used_at", UtcMicros, nullable=False),
        sa.Column("ttl_us", Integer, nullable=False),
        sa.Column("traceparent", Text, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("pin_used_at", "pin", ["used_at"])


def _kept_snapshot() -> None:
    op.create_table(
        "kept_snapshot",
        sa.Column("only", Integer, primary_key=True, autoincrement=False),
        sa.Column("version", Integer, nullable=False),
        sa.Column("incarnation", Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "kept_resource",
        sa.Column("kind", Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Text, primary_key=True),
        sa.Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
