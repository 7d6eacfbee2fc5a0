"""Tool workers: who serves a tool, their sessions, and the calls that they execute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, Text, UtcMicros

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("label", "worker_id", "worker_instance"):
        op.add_column("tool_call", sa.Column(name, Text, nullable=False, server_default=""))
    for name in ("timeout_ms", "tries", "progress_seq"):
        op.add_column("tool_call", sa.Column(name, Integer, nullable=False, server_default="0"))
    for name in ("due_at", "timeout_at"):
        op.add_column("tool_call", sa.Column(name, UtcMicros))
    for name, columns, where in (
        (
            "tool_call_ready",
            ["tenant", "tool_id", "due_at"],
            "state = 'ready' AND due_at IS NOT NULL",
        ),
        (
            "tool_call_due",
            ["due_at"],
            "state IN ('dispatched', 'accepted') AND due_at IS NOT NULL",
        ),
        (
            "tool_call_timeout",
            ["timeout_at"],
            "state IN ('ready', 'accepted') AND timeout_at IS NOT NULL",
        ),
    ):
        condition = sa.text(where)
        op.create_index(
            name, "tool_call", columns, sqlite_where=condition, postgresql_where=condition
        )
    op.create_table(
        "served_tool",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("tool_id", Text, primary_key=True),
        sa.Column("label", Text, primary_key=True),
        sa.Column("seen_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "worker_session",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("instance_id", Text, primary_key=True),
        sa.Column("worker_id", Text, nullable=False),
        sa.Column("epoch", Integer, nullable=False),
        sa.Column("begun_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
