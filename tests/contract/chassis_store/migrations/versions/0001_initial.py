"""The tables of the store's contract."""

from __future__ import annotations

from alembic import op

from tests.contract.chassis_store.schema import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
