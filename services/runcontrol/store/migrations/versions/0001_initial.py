"""The first tables of run control."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Bool, Integer, LargeBinary, Text, UtcMicros

revision = "0001"
down_revision = None


def upgrade() -> None:
    _queue()
    _record()
    _tools()
    _pools()
    _chassis()


def _partial(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def _queue() -> None:
    op.create_table(
        "thread",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_id", Text, primary_key=True, autoincrement=False),
        sa.Column("epoch", Integer, nullable=False),
        sa.Column("fence", Integer, nullable=False),
        sa.Column("event_seq", Integer, nullable=False),
        sa.Column("input_seq", Integer, nullable=False),
        sa.Column("message_seq", Integer, nullable=False),
        sa.Column("agent_id", Text, nullable=False),
        sa.Column("active_run_id", Text, nullable=False),
        sa.Column("open_run_id", Text, nullable=False),
        sa.Column("latest_run_id", Text, nullable=False),
        sa.Column("ready_at", UtcMicros),
        sa.Column("created_at", UtcMicros, nullable=False),
        sa.Column("updated_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
    _partial("thread_ready", "thread", ["ready_at"], "ready_at IS NOT NULL")
    op.create_table(
        "run",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_id", Text, nullable=False),
        sa.Column("agent_id", Text, nullable=False),
        sa.Column("spec_digest", LargeBinary, nullable=False),
        sa.Column("registry_version", Integer, nullable=False),
        sa.Column("deadline_at", UtcMicros, nullable=False),
        sa.Column("created_at", UtcMicros, nullable=False),
        sa.Column("max_rounds", Integer, nullable=False),
        sa.Column("max_total_tokens", Integer, nullable=False),
        sa.Column("state", Text, nullable=False),
        sa.Column("phase", Text, nullable=False),
        sa.Column("step", Integer, nullable=False),
        sa.Column("step_seq", Integer, nullable=False),
        sa.Column("rounds", Integer, nullable=False),
        sa.Column("usage", Text, nullable=False),
        sa.Column("output_text", Text, nullable=False),
        sa.Column("termination", Text, nullable=False),
        sa.Column("waiting", Text, nullable=False),
        sa.Column("dispatch_id", Text, nullable=False),
        sa.Column("pool", Text, nullable=False),
        sa.Column("priority", Integer, nullable=False),
        sa.Column("principal", Text, nullable=False),
        sa.Column("event_seq", Integer, nullable=False),
        sa.Column("cancel_reason", Text, nullable=False),
        sa.Column("paused_at", UtcMicros),
        sa.Column("started_at", UtcMicros),
        sa.Column("ended_at", UtcMicros),
        sa.Column("traceparent", Text, nullable=False),
        sqlite_strict=True,
    )
    _partial(
        "run_deadline",
        "run",
        ["deadline_at"],
        "state IN ('queued', 'waiting') AND paused_at IS NULL",
    )
    op.create_index("run_thread", "run", ["tenant", "thread_id", "created_at"])
    op.create_table(
        "dispatch",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("dispatch_id", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_id", Text, nullable=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("epoch", Integer, nullable=False),
        sa.Column("priority", Integer, nullable=False),
        sa.Column("seq", Integer, nullable=False),
        sa.Column("available_at", UtcMicros, nullable=False),
        sa.Column("created_at", UtcMicros, nullable=False),
        sa.Column("state", Text, nullable=False),
        sa.Column("attempt", Integer, nullable=False),
        sa.Column("crashes", Integer, nullable=False),
        sa.Column("errors", Integer, nullable=False),
        sa.Column("throttles", Integer, nullable=False),
        sa.Column("handoffs", Integer, nullable=False),
        sa.Column("causes", Text, nullable=False),
        sa.Column("last_error", Text, nullable=False),
        sa.Column("traceparent", Text, nullable=False),
        sqlite_strict=True,
    )
    _partial("dispatch_dead", "dispatch", ["tenant", "created_at"], "state = 'dead'")
    _partial(
        "dispatch_one_claimed",
        "dispatch",
        ["tenant", "thread_id"],
        "state = 'claimed'",
        unique=True,
    )
    _partial(
        "dispatch_one_queued_per_run",
        "dispatch",
        ["tenant", "run_id"],
        "state = 'queued'",
        unique=True,
    )
    _partial(
        "dispatch_queue", "dispatch", ["tenant", "thread_id", "priority", "seq"], "state = 'queued'"
    )
    op.create_table(
        "lease",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_id", Text, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("dispatch_id", Text, nullable=False),
        sa.Column("fence", Integer, nullable=False),
        sa.Column("instance_id", Text, nullable=False),
        sa.Column("until", UtcMicros, nullable=False),
        sa.Column("cancel_requested", Bool, nullable=False),
        sqlite_strict=True,
    )


def _record() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, primary_key=True, autoincrement=False),
        sa.Column("step", Integer, primary_key=True, autoincrement=False),
        sa.Column("message_seq", Integer, nullable=False),
        sa.Column("finish_reason", Text, nullable=False),
        sa.Column("usage", Text, nullable=False),
        sa.Column("target_id", Text, nullable=False),
        sa.Column("model_id", Text, nullable=False),
        sa.Column("committed_at", UtcMicros, nullable=False),
        sa.Column("traceparent", Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "message",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_id", Text, primary_key=True, autoincrement=False),
        sa.Column("seq", Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("origin", Text, nullable=False),
        sa.Column("body", LargeBinary, nullable=False),
        sa.Column("created_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "thread_input",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("input_id", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_id", Text, nullable=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("seq", Integer, nullable=False),
        sa.Column("messages", LargeBinary, nullable=False),
        sa.Column("created_at", UtcMicros, nullable=False),
        sa.Column("state", Text, nullable=False),
        sa.Column("revision", Integer, nullable=False),
        sqlite_strict=True,
    )
    _partial(
        "thread_input_pending", "thread_input", ["tenant", "run_id", "seq"], "state = 'pending'"
    )
    op.create_table(
        "event",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_id", Text, primary_key=True, autoincrement=False),
        sa.Column("thread_seq", Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("run_seq", Integer, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("at", UtcMicros, nullable=False),
        sa.Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("event_run", "event", ["tenant", "run_id", "run_seq"], unique=True)
    op.create_table(
        "pinned_spec",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("digest", LargeBinary, primary_key=True, autoincrement=False),
        sa.Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )


def _tools() -> None:
    op.create_table(
        "tool_call",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("call_id", Text, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("step", Integer, nullable=False),
        sa.Column("index", Integer, nullable=False),
        sa.Column("model_call_id", Text, nullable=False),
        sa.Column("tool_id", Text, nullable=False),
        sa.Column("arguments_json", Text, nullable=False),
        sa.Column("digest", LargeBinary, nullable=False),
        sa.Column("effect_class", Text, nullable=False),
        sa.Column("state", Text, nullable=False),
        sa.Column("attempt", Integer, nullable=False),
        sa.Column("fence", Integer, nullable=False),
        sa.Column("generation", Integer, nullable=False),
        sa.Column("condition_id", Text, nullable=False),
        sa.Column("pool_id", Text, nullable=False),
        sa.Column("result", Text, nullable=False),
        sa.Column("traceparent", Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("tool_call_run", "tool_call", ["tenant", "run_id", "step", "index"])
    op.create_table(
        "ticket",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("ticket_id", Text, primary_key=True, autoincrement=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("thread_id", Text, nullable=False),
        sa.Column("agent_id", Text, nullable=False),
        sa.Column("call_id", Text, nullable=False),
        sa.Column("model_call_id", Text, nullable=False),
        sa.Column("tool_id", Text, nullable=False),
        sa.Column("arguments_json", Text, nullable=False),
        sa.Column("digest", LargeBinary, nullable=False),
        sa.Column("created_at", UtcMicros, nullable=False),
        sa.Column("question", Text, nullable=False),
        sa.Column("state", Text, nullable=False),
        sa.Column("winner", Text, nullable=False),
        sa.Column("void_reason", Text, nullable=False),
        sa.Column("traceparent", Text, nullable=False),
        sqlite_strict=True,
    )
    _partial("ticket_live", "ticket", ["tenant", "run_id"], "state IN ('open', 'decided')")
    op.create_index("ticket_run", "ticket", ["tenant", "run_id"])
    op.create_index("ticket_state", "ticket", ["tenant", "state", "created_at", "ticket_id"])
    op.create_table(
        "decision",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("ticket_id", Text, primary_key=True, autoincrement=False),
        sa.Column("decision_id", Text, primary_key=True, autoincrement=False),
        sa.Column("verdict", Text, nullable=False),
        sa.Column("digest", LargeBinary, nullable=False),
        sa.Column("decided_by", Text, nullable=False),
        sa.Column("comment", Text, nullable=False),
        sa.Column("decided_at", UtcMicros, nullable=False),
        sa.Column("won", Bool, nullable=False),
        sa.Column("traceparent", Text, nullable=False),
        sqlite_strict=True,
    )
    _partial("decision_one_winner", "decision", ["tenant", "ticket_id"], "won", unique=True)


def _pools() -> None:
    op.create_table(
        "wake",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("pool_id", Text, primary_key=True, autoincrement=False),
        sa.Column("condition_id", Text, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, nullable=False),
        sa.Column("status", Text, nullable=False),
        sa.Column("message_ids", Text, nullable=False),
        sa.Column("after", Text, nullable=False),
        sa.Column("summary", Text, nullable=False),
        sa.Column("cause_traceparent", Text, nullable=False),
        sa.Column("suspension_traceparent", Text, nullable=False),
        sa.Column("received_at", UtcMicros, nullable=False),
        sa.Column("taken", Bool, nullable=False),
        sqlite_strict=True,
    )
    _partial("wake_untaken", "wake", ["tenant", "run_id"], "NOT taken")
    op.create_table(
        "delivery",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, primary_key=True, autoincrement=False),
        sa.Column("pool_id", Text, primary_key=True, autoincrement=False),
        sa.Column("message_id", Text, primary_key=True, autoincrement=False),
        sa.Column("receipt", Text, nullable=False),
        sa.Column("body", Text, nullable=False),
        sa.Column("shown", Bool, nullable=False),
        sqlite_strict=True,
    )
    _partial("delivery_unshown", "delivery", ["tenant", "run_id"], "NOT shown")
    op.create_table(
        "membership",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("run_id", Text, primary_key=True, autoincrement=False),
        sa.Column("pool_id", Text, primary_key=True, autoincrement=False),
        sa.Column("cursor", Text, nullable=False),
        sqlite_strict=True,
    )


def _chassis() -> None:
    op.create_table(
        "outbox",
        sa.Column("lane", Text, primary_key=True, autoincrement=False),
        sa.Column("seq", Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Text, nullable=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("payload", LargeBinary, nullable=False),
        sa.Column("traceparent", Text, nullable=False),
        sa.Column("state", Integer, nullable=False),
        sa.Column("attempts", Integer, nullable=False),
        sa.Column("created_at", UtcMicros, nullable=False),
        sa.Column("due_at", UtcMicros),
        sa.Column("settled_at", UtcMicros),
        sa.Column("reason", Text, nullable=False),
        sa.Column("message", Text, nullable=False),
        sa.UniqueConstraint("lane", "id", name="outbox_lane_id"),
        sa.CheckConstraint("state IN (0, 1, 2)", name="outbox_state"),
        sqlite_strict=True,
    )
    _partial("outbox_due", "outbox", ["due_at"], "due_at IS NOT NULL")
    _partial("outbox_head", "outbox", ["lane"], "due_at IS NOT NULL", unique=True)
    _partial("outbox_settled", "outbox", ["state", "settled_at"], "settled_at IS NOT NULL")
    op.create_table(
        "request",
        sa.Column("tenant", Text, primary_key=True, autoincrement=False),
        sa.Column("method", Text, primary_key=True, autoincrement=False),
        sa.Column("key", Text, primary_key=True, autoincrement=False),
        sa.Column("digest", LargeBinary, nullable=False),
        sa.Column("body", LargeBinary, nullable=False),
        sa.Column("expires_at", UtcMicros, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("request_expires_at", "request", ["expires_at"])
    op.create_table(
        "kept_snapshot",
        sa.Column("only", Integer, primary_key=True, autoincrement=False),
        sa.Column("version", Integer, nullable=False),
        sa.Column("incarnation", Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "kept_resource",
        sa.Column("kind", Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Text, primary_key=True, autoincrement=False),
        sa.Column("body", LargeBinary, nullable=False),
        sqlite_strict=True,
    )
