"""Threads with work are found by tenant, so that tenants can take turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

READY = sa.text("ready_at IS NOT NULL")


def upgrade() -> None:
    op.drop_index("thread_ready", "thread")
    op.create_index(
        "thread_ready",
        "thread",
        ["tenant", "ready_at"],
        sqlite_where=READY,
        postgresql_where=READY,
    )
