"""The tables of run control; the tenant is the first column of every key.

Columns are named after the fields of the entity they keep, and their types convert the values.
A transaction that writes locks the row of ``thread`` first.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from sqlalchemy import Column, Index, MetaData, Table, TextClause, text

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
from services.chassis.store.kept_snapshot import kept_snapshot_tables
from services.content.model import EffectClass, Usage
from services.runcontrol.core.exchange import (
    CallState,
    Decision,
    LateResult,
    TicketKind,
    TicketState,
    Verdict,
    WakeEvent,
    WakeStatus,
)
from services.runcontrol.core.model import (
    Cause,
    DispatchKind,
    DispatchState,
    InputDisposition,
    InputMode,
    InputState,
    MessageOrigin,
    NextRun,
    Phase,
    PoolMembership,
    Priority,
    RunState,
    Termination,
    WaitingReason,
)

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()


def _key(name: str, type_: type = Text) -> Column[object]:
    return Column(name, type_, primary_key=True, autoincrement=False)


def _text(name: str) -> Column[object]:
    return Column(name, Text, nullable=False)


def _int(name: str) -> Column[object]:
    return Column(name, Integer, nullable=False)


def _enum(name: str, of: type[Enum]) -> Column[object]:
    return Column(name, EnumValue(of), nullable=False)


def _json(name: str, of: object) -> Column[object]:
    return Column(name, Json(of), nullable=False)


def _instant(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, UtcMicros, nullable=nullable)


def _bytes(name: str) -> Column[object]:
    return Column(name, LargeBinary, nullable=False)


def _flag(name: str) -> Column[object]:
    return Column(name, Bool, nullable=False)


# A partial index serves only queries that repeat its condition word for word, not as parameters.
BEGUN = text("state <> 'queued'")
QUEUED = text("state = 'queued'")
CLAIMED = text("state = 'claimed'")
DEAD = text("state = 'dead'")
EXPIRING = text("state = 'open' AND expires_at IS NOT NULL")
IDLE = text("state IN ('queued', 'waiting') AND paused_at IS NULL")
LIVING = text("deleted_at IS NULL")
LIVE = text("state IN ('open', 'decided')")
OF_THREAD = text("thread_id <> ''")
OPEN = text("state = 'open'")
PENDING = text("state = 'pending'")
READY = text("ready_at IS NOT NULL")
TAKEN = text("taken")
UNPURGED = text("deleted_at IS NOT NULL AND NOT purged")
UNSHOWN = text("NOT shown")
UNTAKEN = text("NOT taken")
WON = text("won")


def _table(name: str, *columns: Column[object]) -> Table:
    return Table(name, metadata, *columns, sqlite_strict=True)


def _partial(name: str, *columns: Column[object], where: TextClause, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


thread = _table(
    "thread",
    _key("tenant"),
    _key("thread_id"),
    _int("epoch"),
    _int("fence"),
    _int("event_seq"),
    _int("input_seq"),
    _int("message_seq"),
    _text("agent_id"),
    _text("active_run_id"),
    _text("open_run_id"),
    _text("latest_run_id"),
    _instant("ready_at", nullable=True),
    _instant("created_at"),
    _instant("updated_at"),
    _instant("deleted_at", nullable=True),
    Column("deleted_by", Text, nullable=False, server_default=""),
    Column("purged", Bool, nullable=False, server_default=text("false")),
)
_partial("thread_ready", thread.c.tenant, thread.c.ready_at, where=READY)
_partial("thread_used", thread.c.tenant, thread.c.updated_at, thread.c.thread_id, where=LIVING)
_partial("thread_deleted", thread.c.deleted_at, where=UNPURGED)

run = _table(
    "run",
    _key("tenant"),
    _key("run_id"),
    _text("thread_id"),
    _text("agent_id"),
    _bytes("spec_digest"),
    _int("registry_version"),
    _instant("deadline_at"),
    _instant("created_at"),
    _int("max_rounds"),
    _int("max_total_tokens"),
    _enum("state", RunState),
    _enum("phase", Phase),
    _int("step"),
    _int("step_seq"),
    _int("rounds"),
    _json("usage", Usage),
    _text("output_text"),
    _json("termination", Termination | None),
    _json("waiting", tuple[WaitingReason, ...]),
    _text("dispatch_id"),
    _json("pool", PoolMembership | None),
    _enum("priority", Priority),
    _text("principal"),
    _int("event_seq"),
    _text("cancel_reason"),
    _instant("paused_at", nullable=True),
    _instant("started_at", nullable=True),
    _instant("ended_at", nullable=True),
    _text("traceparent"),
    Column("parent_run_id", Text, nullable=False, server_default=""),
    Column("parent_call_id", Text, nullable=False, server_default=""),
    Column("depth", Integer, nullable=False, server_default="0"),
    Column("labels", Json(tuple[tuple[str, str], ...]), nullable=False, server_default="[]"),
    _instant("not_before", nullable=True),
)
Index("run_created", run.c.tenant, run.c.created_at, run.c.run_id)
Index("run_thread", run.c.tenant, run.c.thread_id, run.c.created_at)
_partial("run_deadline", run.c.deadline_at, where=IDLE)

dispatch = _table(
    "dispatch",
    _key("tenant"),
    _key("dispatch_id"),
    _text("thread_id"),
    _text("run_id"),
    _enum("kind", DispatchKind),
    _int("epoch"),
    _enum("priority", Priority),
    _int("seq"),
    _instant("available_at"),
    _instant("created_at"),
    _enum("state", DispatchState),
    _int("attempt"),
    _int("crashes"),
    _int("errors"),
    _int("throttles"),
    _int("handoffs"),
    _json("causes", tuple[Cause, ...]),
    _text("last_error"),
    _text("traceparent"),
    Column("redrive_of", Text, nullable=False, server_default=""),
    Column("redriven_run_id", Text, nullable=False, server_default=""),
)
_partial(
    "dispatch_one_claimed", dispatch.c.tenant, dispatch.c.thread_id, where=CLAIMED, unique=True
)
_partial(
    "dispatch_one_queued_per_run", dispatch.c.tenant, dispatch.c.run_id, where=QUEUED, unique=True
)
_partial(
    "dispatch_queue",
    dispatch.c.tenant,
    dispatch.c.thread_id,
    dispatch.c.priority,
    dispatch.c.seq,
    where=QUEUED,
)
# Not of queued ones: the planner would read the queue of a thread by it.
_partial("dispatch_begun", dispatch.c.tenant, dispatch.c.thread_id, where=BEGUN)
_partial("dispatch_dead", dispatch.c.tenant, dispatch.c.created_at, where=DEAD)

# A separate, narrow table: its rows are written every few seconds for every running run.
lease = _table(
    "lease",
    _key("tenant"),
    _key("thread_id"),
    _text("run_id"),
    _text("dispatch_id"),
    _int("fence"),
    _text("instance_id"),
    _instant("until"),
    _flag("cancel_requested"),
)

checkpoint = _table(
    "checkpoint",
    _key("tenant"),
    _key("run_id"),
    _key("step", Integer),
    _int("message_seq"),
    _text("finish_reason"),
    _json("usage", Usage),
    _text("target_id"),
    _text("model_id"),
    _instant("committed_at"),
    _text("traceparent"),
)

message = _table(
    "message",
    _key("tenant"),
    _key("thread_id"),
    _key("seq", Integer),
    _text("run_id"),
    _enum("origin", MessageOrigin),
    _bytes("body"),
    _instant("created_at"),
)

tool_call = _table(
    "tool_call",
    _key("tenant"),
    _key("call_id"),
    _text("run_id"),
    _int("step"),
    _int("index"),
    _text("model_call_id"),
    _text("tool_id"),
    _text("arguments_json"),
    _bytes("digest"),
    _enum("effect_class", EffectClass),
    _enum("state", CallState),
    _int("attempt"),
    _int("fence"),
    _int("generation"),
    _text("condition_id"),
    _text("pool_id"),
    _text("result"),
    _text("traceparent"),
    Column("child_run_id", Text, nullable=False, server_default=""),
    Column("label", Text, nullable=False, server_default=""),
    Column("timeout_ms", Integer, nullable=False, server_default="0"),
    _instant("due_at", nullable=True),
    _instant("timeout_at", nullable=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("worker_id", Text, nullable=False, server_default=""),
    Column("worker_instance", Text, nullable=False, server_default=""),
    Column("progress_seq", Integer, nullable=False, server_default="0"),
    _instant("probe_until", nullable=True),
    Column("arguments_by", Text, nullable=False, server_default=""),
    Column("asked", Integer, nullable=False, server_default="0"),
    Column("sealed_state", LargeBinary),
    Column("answer_json", Text, nullable=False, server_default=""),
    _instant("planned_at", nullable=True),
    _instant("dispatched_at", nullable=True),
    _instant("accepted_at", nullable=True),
    _instant("settled_at", nullable=True),
    Column("schema_digest", Text, nullable=False, server_default=""),
    Column("withheld_from", Text, nullable=False, server_default=""),
    Column("late_results", Json(tuple[LateResult, ...]), nullable=False, server_default="[]"),
)
Index("tool_call_run", tool_call.c.tenant, tool_call.c.run_id, tool_call.c.step, tool_call.c.index)

ticket = _table(
    "ticket",
    _key("tenant"),
    _key("ticket_id"),
    _enum("kind", TicketKind),
    _text("run_id"),
    _text("thread_id"),
    _text("agent_id"),
    _text("call_id"),
    _text("model_call_id"),
    _text("tool_id"),
    _text("arguments_json"),
    _bytes("digest"),
    _instant("created_at"),
    _text("question"),
    _enum("state", TicketState),
    _json("winner", Decision | None),
    _text("void_reason"),
    _text("traceparent"),
    _instant("expires_at", nullable=True),
)
Index("ticket_run", ticket.c.tenant, ticket.c.run_id)
_partial("ticket_live", ticket.c.tenant, ticket.c.run_id, where=LIVE)
_partial("ticket_expiry", ticket.c.expires_at, where=EXPIRING)
Index("ticket_state", ticket.c.tenant, ticket.c.state, ticket.c.created_at, ticket.c.ticket_id)

decision = _table(
    "decision",
    _key("tenant"),
    _key("ticket_id"),
    _key("decision_id"),
    _json("verdict", Verdict),
    _bytes("digest"),
    _text("decided_by"),
    _text("comment"),
    _instant("decided_at"),
    _flag("won"),
    _text("traceparent"),
)
_partial("decision_one_winner", decision.c.tenant, decision.c.ticket_id, where=WON, unique=True)

# Not "input", which is a keyword of SQL dialects.
thread_input = _table(
    "thread_input",
    _key("tenant"),
    _key("input_id"),
    _text("thread_id"),
    _text("run_id"),
    _int("seq"),
    _bytes("messages"),
    _instant("created_at"),
    _enum("state", InputState),
    _int("revision"),
    _text("agent_id"),
    _enum("mode", InputMode),
    _enum("disposition", InputDisposition),
    _json("blocked_by", tuple[str, ...]),
    _json("next_run", NextRun | None),
    _int("consumed_step"),
)
Index("thread_input_run", thread_input.c.tenant, thread_input.c.run_id, thread_input.c.seq)
_partial(
    "thread_input_of_thread",
    thread_input.c.tenant,
    thread_input.c.thread_id,
    thread_input.c.seq,
    where=PENDING,
)

event = _table(
    "event",
    _key("tenant"),
    _key("thread_id"),
    _key("thread_seq", Integer),
    _text("run_id"),
    _int("run_seq"),
    _text("kind"),
    _instant("at"),
    _bytes("body"),
)
Index("event_run", event.c.tenant, event.c.run_id, event.c.run_seq, unique=True)

wake = _table(
    "wake",
    _key("tenant"),
    _key("pool_id"),
    _key("condition_id"),
    _text("run_id"),
    _enum("status", WakeStatus),
    _json("message_ids", tuple[str, ...]),
    _text("after"),
    _text("summary"),
    _text("cause_traceparent"),
    _text("suspension_traceparent"),
    _instant("received_at"),
    _flag("taken"),
    _json("events", tuple[WakeEvent, ...]),
)
_partial("wake_taken", wake.c.tenant, wake.c.run_id, where=TAKEN)
_partial("wake_untaken", wake.c.tenant, wake.c.run_id, where=UNTAKEN)

delivery = _table(
    "delivery",
    _key("tenant"),
    _key("run_id"),
    _key("pool_id"),
    _key("message_id"),
    _text("receipt"),
    _text("body"),
    _flag("shown"),
    Column("position", Integer, nullable=False, server_default="0"),
)
_partial("delivery_unshown", delivery.c.tenant, delivery.c.run_id, where=UNSHOWN)

membership = _table(
    "membership",
    _key("tenant"),
    _key("run_id"),
    _key("pool_id"),
    _text("cursor"),
)

pinned_spec = _table(
    "pinned_spec",
    _key("tenant"),
    _key("digest", LargeBinary),
    _bytes("body"),
)

outbox = outbox_table(metadata)
# An answer with content knows the thread that the content is from.
request = requests_table(metadata, Column("thread_id", Text, nullable=False, server_default=""))
_partial("request_thread", request.c.tenant, request.c.thread_id, where=OF_THREAD)
kept_snapshot = kept_snapshot_tables(metadata)
