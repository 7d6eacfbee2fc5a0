"""Approvals may expire, and an approver may write the arguments of a call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Text, UtcMicros

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("tool_call", sa.Column("arguments_by", Text, nullable=False, server_default=""))
    op.add_column("ticket", sa.Column("expires_at", UtcMicros))
    open_ones = sa.text("state = 'open' AND expires_at IS NOT NULL")
    op.create_index(
        "ticket_expiry",
        "ticket",
        ["expires_at"],
        sqlite_where=open_ones,
        postgresql_where=open_ones,
    )
