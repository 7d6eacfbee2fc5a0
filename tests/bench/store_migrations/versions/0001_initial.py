"""The tables of the store benchmark."""

from __future__ import annotations

from alembic import op

from tests.bench.store_cycle import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
