"""Ranges of events whose deltas are covered.

Deltas that were covered before stay: what covers them is only in the bodies of events.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, Text, UtcMicros

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "covered",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("run_id", Text, primary_key=True),
        sa.Column("last_run_seq", Integer, primary_key=True, autoincrement=False),
        sa.Column("first_run_seq", Integer, nullable=False),
        sa.Column("covered_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("covered_at", "covered", ["covered_at"])
