"""Covered ranges of events, what is left of deleted threads, and when runs may start.

Deltas that were covered before stay: what covers them is only in the bodies of events. Answers that
were stored before do not know their thread; they expire within seven days.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Bool, Integer, Text, UtcMicros

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "covered",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("run_id", Text, primary_key=True),
        sa.Column("last_run_seq", Integer, primary_key=True, autoincrement=False),
        sa.Column("first_run_seq", Integer, nullable=False),
        sa.Column("covered_at", UtcMicros, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("covered_at", "covered", ["covered_at"])
    op.create_table(
        "deleted_run",
        sa.Column("tenant", Text, primary_key=True),
        sa.Column("run_id", Text, primary_key=True),
        sa.Column("thread_id", Text, nullable=False),
        sqlite_strict=True,
    )
    op.add_column("thread", sa.Column("deleted_at", UtcMicros, nullable=True))
    op.add_column("thread", sa.Column("deleted_by", Text, nullable=False, server_default=""))
    op.add_column(
        "thread", sa.Column("purged", Bool, nullable=False, server_default=sa.text("false"))
    )
    op.add_column("run", sa.Column("not_before", UtcMicros, nullable=True))
    op.add_column("request", sa.Column("thread_id", Text, nullable=False, server_default=""))
    op.drop_index("thread_used", "thread")
    op.drop_index("thread_input_pending", "thread_input")
    _partial("thread_used", "thread", ["tenant", "updated_at", "thread_id"], "deleted_at IS NULL")
    _partial("thread_deleted", "thread", ["deleted_at"], "deleted_at IS NOT NULL AND NOT purged")
    _partial("request_thread", "request", ["tenant", "thread_id"], "thread_id <> ''")
    op.create_index("thread_input_run", "thread_input", ["tenant", "run_id", "seq"])
    _partial("dispatch_begun", "dispatch", ["tenant", "thread_id"], "state <> 'queued'")
    _partial("wake_taken", "wake", ["tenant", "run_id"], "taken")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    of_rows = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=of_rows, postgresql_where=of_rows)
