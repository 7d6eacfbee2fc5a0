"""Several processes share one database.

The head of an outbox lane names who holds it; fetched messages say in which order they came, which
no database promises by itself.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("holder", Text, nullable=False, server_default=""))
    op.add_column("delivery", sa.Column("position", Integer, nullable=False, server_default="0"))
