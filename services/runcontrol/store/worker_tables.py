"""The tables of tool workers, and the indexes by which their calls are found."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, TextClause, text

from services.chassis.store.columns import Integer, Text, UtcMicros
from services.runcontrol.store.tables import metadata, tool_call

# Qualified, for queries that join other tables; an index names the columns of its own table.
OFFERED = text("tool_call.state = 'ready' AND tool_call.due_at IS NOT NULL")
LEASED = text("tool_call.state IN ('dispatched', 'accepted') AND tool_call.due_at IS NOT NULL")
PROBED = text("tool_call.probe_until IS NOT NULL")
TIMED = text("tool_call.state IN ('ready', 'accepted') AND tool_call.timeout_at IS NOT NULL")


def _partial(name: str, *columns: str, where: TextClause) -> None:
    own = text(where.text.replace("tool_call.", ""))
    of_table = (tool_call.c[column] for column in columns)
    Index(name, *of_table, sqlite_where=own, postgresql_where=own)


_partial("tool_call_ready", "tenant", "tool_id", "due_at", where=OFFERED)
_partial("tool_call_due", "due_at", where=LEASED)
_partial("tool_call_timeout", "timeout_at", where=TIMED)
_partial("tool_call_probe", "probe_until", where=PROBED)

# Who ever served a tool: one row without a label, and one per label that was announced.
served_tool = Table(
    "served_tool",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("tool_id", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("seen_at", UtcMicros, nullable=False),
    sqlite_strict=True,
)

worker_session = Table(
    "worker_session",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("instance_id", Text, primary_key=True),
    Column("worker_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("begun_at", UtcMicros, nullable=False),
    sqlite_strict=True,
)
