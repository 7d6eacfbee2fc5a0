"""A wake says which events of the pool ended the wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Text

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("wake", sa.Column("events", Text, nullable=False, server_default="[]"))
