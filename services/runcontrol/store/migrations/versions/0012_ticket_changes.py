"""Tickets are followed by tenant, calls have times, and tools ask people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for name in ("planned_at", "dispatched_at", "accepted_at", "settled_at"):
        op.add_column("tool_call", sa.Column(name, UtcMicros))
    op.add_column("tool_call", sa.Column("asked", Integer, nullable=False, server_default="0"))
    op.add_column("tool_call", sa.Column("sealed_state", LargeBinary))
    op.add_column("tool_call", sa.Column("answer_json", Text, nullable=False, server_default=""))
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
