"""Replicas share more than pins: entries of several kinds, numbered in the order of their writes.

Pins become entries of the kind "pin", and keep what they have.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, Text, UtcMicros

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    shared = op.create_table(
        "shared",
        sa.Column("key_hash", Text, primary_key=True),
        sa.Column("kind", Text, nullable=False),
        sa.Column("key", Text, nullable=False),
        sa.Column("body", Text),
        sa.Column("changed_at", UtcMicros, nullable=False),
        sa.Column("extended_at", UtcMicros, nullable=False),
        sa.Column("ends_at", UtcMicros),
        sa.Column("number", Integer, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("shared_number", "shared", ["number"])
    op.create_index("shared_extended_at", "shared", ["kind", "extended_at"])
    op.create_index("shared_ends_at", "shared", ["ends_at"])
    head = op.create_table(
        "shared_head",
        sa.Column("only", Integer, primary_key=True, autoincrement=False),
        sa.Column("number", Integer, nullable=False),
        sqlite_strict=True,
    )
    pins = op.get_bind().execute(sa.text("SELECT * FROM pin")).mappings().all()
    entries = [_entry(pin, number) for number, pin in enumerate(pins, start=1)]
    if entries:
        op.bulk_insert(sa.table("shared", *map(_bare, shared.columns)), entries)
    op.bulk_insert(head, [{"only": 1, "number": len(entries)}])
    op.drop_table("pin")


def _entry(pin: sa.RowMapping, number: int) -> dict[str, Any]:
    key = [pin["tenant"], pin["pool_id"], pin["session"]]
    body = {
        name: pin[name]
        for name in ("revision", "member_id", "home_member_id", "reason", "run_id", "traceparent")
    }
    body["ttl_s"] = pin["ttl_us"] / 1e6
    return {
        "key_hash": hashlib.sha256(_compact(["pin", key]).encode()).hexdigest(),
        "kind": "pin",
        "key": _compact(key),
        "body": _compact(body),
        "changed_at": pin["moved_at"],
        "extended_at": pin["used_at"],
        "ends_at": pin["used_at"] + pin["ttl_us"],
        "number": number,
    }


def _bare(column: sa.Column[Any]) -> sa.ColumnClause[Any]:
    """Instants are copied as they are stored, in microseconds."""
    return sa.column(column.name)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
