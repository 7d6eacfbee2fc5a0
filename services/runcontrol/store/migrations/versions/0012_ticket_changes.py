"""Tickets are followed by tenant, in the order of their changes; calls say when they did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, Text, UtcMicros

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for name in ("planned_at", "dispatched_at", "accepted_at", "settled_at"):
        op.add_column("tool_call", sa.Column(name, UtcMicros))
    op.create_table(
        "ticket_head",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("seq", Integer, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "ticket_change",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("ticket_id", Text, primary_key=True),
        sa.Column("seq", Integer, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ticket_change_seq", "ticket_change", ["tenant", "seq"], unique=True)
