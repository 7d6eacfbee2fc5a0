"""Several processes send from one outbox: the head of a lane names who holds it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("holder", Text, nullable=False, server_default=""))
