"""The pool's first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from services.chassis.store.columns import Bool, Integer, LargeBinary, Text, UtcMicros

revision = "0001"
down_revision = None


def upgrade() -> None:
    _pools()
    _members()
    _messages()
    _inboxes()
    _wakes()
    _log()
    _timers()
    _requests()
    _outbox()


def _table(name: str, keys: str, *columns: SchemaItem, **options: Any) -> None:
    """A table of a tenant's pool; ``keys`` are those beyond tenant and pool."""
    key_columns = [sa.Column(key, Text, primary_key=True) for key in _in_pool(keys)]
    op.create_table(name, *key_columns, *columns, sqlite_strict=True, **options)


def _in_pool(names: str) -> list[str]:
    return ["tenant", "pool_id", *names.split()]


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, Text, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, Integer, nullable=False)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, UtcMicros, nullable=False)


def _pools() -> None:
    _table(
        "pool",
        "",
        _text("config"),
        _text("state"),
        _integer("revision"),
        sa.Column("created", Bool, nullable=False),
        _integer("member_count"),
        _integer("open_wakes"),
        _integer("head_sequence"),
        _integer("oldest_sequence"),
        _time("create_time"),
        _time("update_time"),
    )


def _members() -> None:
    _table(
        "member",
        "run_id",
        _text("agent_id"),
        _text("principal"),
        _integer("incarnation"),
        _integer("sequence"),
        _time("join_time"),
        _text("topics"),
        _text("policy_refs"),
    )
    op.create_index("member_agent", "member", _in_pool("agent_id run_id"))
    _table("member_topic", "topic run_id", sqlite_with_rowid=False)


def _messages() -> None:
    _table(
        "message",
        "message_id",
        _text("idempotency_key"),
        sa.Column("digest", LargeBinary, nullable=False),
        _text("from_run_id"),
        _text("state"),
        _integer("sequence"),
        _text("message"),
        _text("receipt"),
        sa.UniqueConstraint(*_in_pool("idempotency_key"), name="message_key"),
    )
    _table(
        "message_body",
        "message_id",
        _text("media_type"),
        sa.Column("data", LargeBinary, nullable=False),
    )


def _inboxes() -> None:
    _table(
        "delivery",
        "message_id run_id",
        _integer("sequence"),
        _text("state"),
        sa.Column("is_open", Bool, nullable=False),
        _integer("attempt"),
        _text("lease_token"),
        _time("due_time"),
        sa.Column("expire_time", UtcMicros),
    )
    op.create_index("delivery_inbox", "delivery", _in_pool("run_id is_open sequence"))
    _table(
        "reply",
        "request_message_id responder_run_id",
        _text("reply_message_id"),
        sa.Column("late", Bool, nullable=False),
        _integer("sequence"),
        _time("reply_time"),
        sqlite_with_rowid=False,
    )


def _wakes() -> None:
    _table(
        "wake",
        "condition_id",
        _text("idempotency_key"),
        sa.Column("digest", LargeBinary, nullable=False),
        _text("run_id"),
        _text("state"),
        _text("wake"),
        sa.UniqueConstraint(*_in_pool("idempotency_key"), name="wake_key"),
    )
    _table("wake_index", "key condition_id", sqlite_with_rowid=False)
    op.create_index("wake_index_condition", "wake_index", _in_pool("condition_id"))


def _log() -> None:
    op.create_table(
        "log",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("pool_id", Text, primary_key=True),
        sa.Column("sequence", Integer, primary_key=True, autoincrement=False),
        _text("kind"),
        sa.Column("message_id", Text),
        sa.Column("reply_to", Text),
        _text("actor"),
        _text("event"),
        _text("fact_type"),
        _text("fact"),
        sqlite_strict=True,
    )
    for name in ("message_id", "reply_to"):
        named = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"log_{name}",
            "log",
            _in_pool(f"{name} sequence"),
            sqlite_where=named,
            postgresql_where=named,
        )


def _timers() -> None:
    _table("timer", "kind subject_id", _time("due_time"), sqlite_with_rowid=False)
    op.create_index("timer_due", "timer", ["due_time"])


def _requests() -> None:
    op.create_table(
        "request",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("method", Text, primary_key=True),
        sa.Column("key", Text, primary_key=True),
        sa.Column("digest", LargeBinary, nullable=False),
        sa.Column("body", LargeBinary, nullable=False),
        _time("expires_at"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("request_expires_at", "request", ["expires_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("lane", Text, primary_key=True),
        sa.Column("seq", Integer, primary_key=True, autoincrement=False),
        _text("id"),
        _text("kind"),
        sa.Column("payload", LargeBinary, nullable=False),
        _text("traceparent"),
        _integer("state"),
        _integer("attempts"),
        _time("created_at"),
        sa.Column("due_at", UtcMicros),
        sa.Column("settled_at", UtcMicros),
        _text("reason"),
        _text("message"),
        sa.UniqueConstraint("lane", "id", name="outbox_lane_id"),
        sa.CheckConstraint("state IN (0, 1, 2)", name="outbox_state"),
        sqlite_strict=True,
    )
    _outbox_index("outbox_head", ["lane"], "due_at IS NOT NULL", unique=True)
    _outbox_index("outbox_due", ["due_at"], "due_at IS NOT NULL")
    _outbox_index("outbox_settled", ["state", "settled_at"], "settled_at IS NOT NULL")


def _outbox_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(
        name,
        "outbox",
        columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )
