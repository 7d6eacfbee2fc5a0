"""Runs have labels, and runs and threads are listed by time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("run", sa.Column("labels", Text, nullable=False, server_default="[]"))
    op.create_index("run_created", "run", ["tenant", "created_at", "run_id"])
    op.create_index("thread_used", "thread", ["tenant", "updated_at", "thread_id"])
