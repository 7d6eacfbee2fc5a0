"""What history needs: hashes and lineages of versions, and changes in the order of the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import LargeBinary, Text

revision = "0002"
down_revision = "0001"

ENDED = sa.text("valid_to IS NOT NULL")
UNHASHED = sa.text("content_hash IS NULL")


def upgrade() -> None:
    # Versions made before have no lineage, which no watcher is held to.
    for table in ("head", "version"):
        op.add_column(table, sa.Column("lineage", Text, nullable=False, server_default=""))
    op.add_column("version", sa.Column("content_hash", LargeBinary))
    op.create_index(
        "version_unhashed",
        "version",
        ["version"],
        sqlite_where=UNHASHED,
        postgresql_where=UNHASHED,
    )
    op.drop_index("resource_valid_from", "resource")
    op.create_index("resource_valid_from", "resource", ["valid_from", "kind", "id"])
    op.drop_index("resource_valid_to", "resource")
    op.create_index(
        "resource_valid_to",
        "resource",
        ["valid_to", "kind", "id"],
        sqlite_where=ENDED,
        postgresql_where=ENDED,
    )
