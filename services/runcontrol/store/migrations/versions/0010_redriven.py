"""A dead letter knows the run that repeats it, and that run's dispatch the dead letter."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Text

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for name in ("redrive_of", "redriven_run_id"):
        op.add_column("dispatch", sa.Column(name, Text, nullable=False, server_default=""))
