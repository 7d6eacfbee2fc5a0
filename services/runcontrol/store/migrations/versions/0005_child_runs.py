"""A run may be started by another one, which may wait for its end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, Text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for table, name in (
        ("run", "parent_run_id"),
        ("run", "parent_call_id"),
        ("tool_call", "child_run_id"),
    ):
        op.add_column(table, sa.Column(name, Text, nullable=False, server_default=""))
    op.add_column("run", sa.Column("depth", Integer, nullable=False, server_default="0"))
