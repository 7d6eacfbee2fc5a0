"""A worker is asked about lost calls, and gets those of its schema; late results are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Text, UtcMicros

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("tool_call", sa.Column("probe_until", UtcMicros))
    for name in ("schema_digest", "withheld_from"):
        op.add_column("tool_call", sa.Column(name, Text, nullable=False, server_default=""))
    op.add_column("tool_call", sa.Column("late_results", Text, nullable=False, server_default="[]"))
    asked = sa.text("probe_until IS NOT NULL")
    op.create_index(
        "tool_call_probe",
        "tool_call",
        ["probe_until"],
        sqlite_where=asked,
        postgresql_where=asked,
    )
