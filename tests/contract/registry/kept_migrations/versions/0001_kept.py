"""A consumer's tables of the kept snapshot, as its own first migration would have them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, LargeBinary, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "kept_snapshot",
        sa.Column("only", Integer, primary_key=True, autoincrement=False),
        sa.Column("version", Integer, nullable=False),
        sa.Column("incarnation", Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "kept_resource",
        sa.Column("kind", Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Text, primary_key=True),
        sa.Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
