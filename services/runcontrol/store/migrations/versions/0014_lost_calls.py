"""A worker is asked what has become of a lost call, until a certain time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import UtcMicros

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("tool_call", sa.Column("probe_until", UtcMicros))
    asked = sa.text("probe_until IS NOT NULL")
    op.create_index(
        "tool_call_probe",
        "tool_call",
        ["probe_until"],
        sqlite_where=asked,
        postgresql_where=asked,
    )
