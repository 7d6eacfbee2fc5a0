"""The tables of the pool service; ``tenant`` leads every key.

Values that are only ever read whole are JSON; what is searched, locked or ordered by
has a column of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Column, Index, MetaData, Table, UniqueConstraint

from services.chassis.outbox.rows import outbox_table
from services.chassis.store.columns import (
    Bool,
    EnumValue,
    Integer,
    Json,
    LargeBinary,
    Text,
    UtcMicros,
)
from services.chassis.store.idempotency import requests_table
from services.pool.core.events import Event, EventKind, TimerKind, Wake, WakeState
from services.pool.core.model import (
    DeliveryState,
    Message,
    MessageState,
    Policies,
    PoolConfig,
    PoolState,
    Receipt,
)

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


# Every command locks the row of its pool first; the next sequence of the log comes from it.
pool = Table(
    "pool",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    Column("config", Json(PoolConfig), nullable=False),
    Column("state", EnumValue(PoolState), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created", Bool, nullable=False),
    Column("member_count", Integer, nullable=False),
    Column("open_wakes", Integer, nullable=False),
    Column("head_sequence", Integer, nullable=False),
    Column("oldest_sequence", Integer, nullable=False),
    Column("create_time", UtcMicros, nullable=False),
    Column("update_time", UtcMicros, nullable=False),
    sqlite_strict=True,
)

member = Table(
    "member",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("run_id"),
    Column("agent_id", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("join_time", UtcMicros, nullable=False),
    Column("topics", Json(tuple[str, ...]), nullable=False),
    Column("policy_refs", Json(Policies), nullable=False),
    sqlite_strict=True,
)
Index("member_agent", member.c.tenant, member.c.pool_id, member.c.agent_id, member.c.run_id)

member_topic = Table(
    "member_topic",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("topic"),
    _key("run_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

message = Table(
    "message",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("message_id"),
    Column("idempotency_key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("from_run_id", Text, nullable=False),
    Column("state", EnumValue(MessageState), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("message", Json(Message), nullable=False),
    Column("receipt", Json(Receipt), nullable=False),
    UniqueConstraint("tenant", "pool_id", "idempotency_key", name="message_key"),
    sqlite_strict=True,
)

# Apart from its message: it can be removed earlier, and most reads do not need it.
message_body = Table(
    "message_body",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("message_id"),
    Column("media_type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_strict=True,
)

delivery = Table(
    "delivery",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("message_id"),
    _key("run_id"),
    Column("sequence", Integer, nullable=False),
    Column("state", EnumValue(DeliveryState), nullable=False),
    Column("is_open", Bool, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("lease_token", Text, nullable=False),
    Column("due_time", UtcMicros, nullable=False),
    Column("expire_time", UtcMicros),
    sqlite_strict=True,
)
Index(
    "delivery_inbox",
    delivery.c.tenant,
    delivery.c.pool_id,
    delivery.c.run_id,
    delivery.c.is_open,
    delivery.c.sequence,
)

reply = Table(
    "reply",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("request_message_id"),
    _key("responder_run_id"),
    Column("reply_message_id", Text, nullable=False),
    Column("late", Bool, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("reply_time", UtcMicros, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

wake = Table(
    "wake",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("condition_id"),
    Column("idempotency_key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("state", EnumValue(WakeState), nullable=False),
    Column("wake", Json(Wake), nullable=False),
    UniqueConstraint("tenant", "pool_id", "idempotency_key", name="wake_key"),
    sqlite_strict=True,
)

# Under its keys an event finds the registered wakes that it may match, without reading others.
wake_index = Table(
    "wake_index",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    _key("key"),
    _key("condition_id"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index(
    "wake_index_condition",
    wake_index.c.tenant,
    wake_index.c.pool_id,
    wake_index.c.condition_id,
)

log = Table(
    "log",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("kind", EnumValue(EventKind), nullable=False),
    Column("message_id", Text),
    Column("reply_to", Text),
    Column("actor", Text, nullable=False),
    Column("event", Json(Event), nullable=False),
    Column("fact_type", Text, nullable=False),
    Column("fact", Json(Any), nullable=False),
    sqlite_strict=True,
)
for _name in ("message_id", "reply_to"):
    _named = log.c[_name].is_not(None)
    Index(
        f"log_{_name}",
        log.c.tenant,
        log.c.pool_id,
        log.c[_name],
        log.c.sequence,
        sqlite_where=_named,
        postgresql_where=_named,
    )

timer = Table(
    "timer",
    metadata,
    _key("tenant"),
    _key("pool_id"),
    Column("kind", EnumValue(TimerKind), primary_key=True),
    _key("subject_id"),
    Column("due_time", UtcMicros, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("timer_due", timer.c.due_time)

request = requests_table(metadata)
outbox = outbox_table(metadata)
