"""The registry's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros

revision = "0001"
down_revision = None

CURRENT = sa.text("valid_to IS NULL")
ENDED = sa.text("valid_to IS NOT NULL")


def upgrade() -> None:
    _versions()
    _resources()
    _references()
    _requests()


def _versions() -> None:
    op.create_table(
        "head",
        sa.Column(
            "only", Integer, sa.CheckConstraint('"only" = 1'), primary_key=True, autoincrement=False
        ),
        sa.Column("version", Integer, nullable=False),
        sa.Column("oldest_version", Integer, nullable=False),
        sa.Column("incarnation", Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "version",
        sa.Column("version", Integer, primary_key=True, autoincrement=False),
        sa.Column("created_at", UtcMicros, nullable=False),
        sa.Column("created_by", Text, nullable=False),
        sa.Column("method", Text, nullable=False),
        sa.Column("request_id", Text, nullable=False),
        sa.Column("change_count", Integer, nullable=False),
        sa.Column("restored_from", Integer),
        sqlite_strict=True,
    )


def _resources() -> None:
    op.create_table(
        "resource",
        sa.Column("kind", Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Text, primary_key=True),
        sa.Column("valid_from", Integer, primary_key=True, autoincrement=False),
        sa.Column("valid_to", Integer),
        sa.Column("content_hash", LargeBinary, nullable=False),
        sa.Column("apply_set", Text, nullable=False),
        sa.Column("updated_at", UtcMicros, nullable=False),
        sa.Column("updated_by", Text, nullable=False),
        sa.Column("body_bytes", Integer, nullable=False),
        sa.Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_index(
        "resource_current",
        "resource",
        ["kind", "id"],
        unique=True,
        sqlite_where=CURRENT,
        postgresql_where=CURRENT,
    )
    op.create_index(
        "resource_apply_set",
        "resource",
        ["apply_set"],
        sqlite_where=CURRENT,
        postgresql_where=CURRENT,
    )
    op.create_index("resource_valid_from", "resource", ["valid_from"])
    op.create_index(
        "resource_valid_to",
        "resource",
        ["valid_to"],
        sqlite_where=ENDED,
        postgresql_where=ENDED,
    )


def _references() -> None:
    op.create_table(
        "reference",
        sa.Column("space", Integer, primary_key=True, autoincrement=False),
        sa.Column("target_id", Text, primary_key=True),
        sa.Column("kind", Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Text, primary_key=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("reference_holder", "reference", ["kind", "id"])


def _requests() -> None:
    op.create_table(
        "request",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("method", Text, primary_key=True),
        sa.Column("key", Text, primary_key=True),
        sa.Column("digest", LargeBinary, nullable=False),
        sa.Column("body", LargeBinary, nullable=False),
        sa.Column("expires_at", UtcMicros, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("request_expires_at", "request", ["expires_at"])
