"""Input says who reads it: its agent, its mode, what became of it, and the run after its run.

Input that is there was submitted with a run, so it is of that run's agent and has no next run.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, Text

revision = "0007"
down_revision = "0006"

_TEXTS = {
    "agent_id": "",
    "mode": "queue",
    "disposition": "queued",
    "blocked_by": "[]",
    "next_run": "null",
}


def upgrade() -> None:
    for name, value in _TEXTS.items():
        column = sa.Column(name, Text, nullable=False, server_default=value)
        op.add_column("thread_input", column)
    step = sa.Column("consumed_step", Integer, nullable=False, server_default="0")
    op.add_column("thread_input", step)
    op.execute(
        "UPDATE thread_input SET agent_id = (SELECT run.agent_id FROM run"
        " WHERE run.tenant = thread_input.tenant AND run.run_id = thread_input.run_id)"
    )
    op.create_index(
        "thread_input_of_thread",
        "thread_input",
        ["tenant", "thread_id", "seq"],
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
