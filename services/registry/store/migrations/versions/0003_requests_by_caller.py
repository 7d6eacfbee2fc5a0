"""A repeat is answered only to whom the first answer was given.

Answers stored before do not say to whom, so they are forgotten: a request that was answered before
this upgrade and is repeated after it takes effect again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import LargeBinary, Text, UtcMicros

revision = "0003"
down_revision = "0002"

KEY = ("tenant", "subject", "acting_run", "method", "key")


def upgrade() -> None:
    op.drop_table("request")
    op.create_table(
        "request",
        *(sa.Column(name, Text, primary_key=True, autoincrement=False) for name in KEY),
        sa.Column("digest", LargeBinary, nullable=False),
        sa.Column("body", LargeBinary, nullable=False),
        sa.Column("expires_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("request_expires_at", "request", ["expires_at"])
