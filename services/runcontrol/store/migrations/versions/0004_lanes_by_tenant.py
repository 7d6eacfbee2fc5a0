"""A lane of the outbox belongs to one thread of one tenant.

Lanes were named ``tenant/thread``, and both can contain a slash, so two tenants could share one.
Rows that are not closed move to lanes whose name begins with the length of the tenant, in the
order they had; closed rows stay under the old name until they are deleted after a week.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.chassis.store.columns import Integer, LargeBinary, Text

revision = "0004"
down_revision = "0003"

_PENDING = 0

outbox = sa.table(
    "outbox",
    sa.column("lane", Text),
    sa.column("seq", Integer),
    sa.column("payload", LargeBinary),
    sa.column("state", Integer),
    sa.column("created_at", sa.BigInteger),
    sa.column("due_at", sa.BigInteger),
    sa.column("holder", Text),
)


def upgrade() -> None:
    connection, c = op.get_bind(), outbox.c
    pending = c.state == _PENDING
    rows = connection.execute(
        sa.select(c.lane, c.seq, c.payload, c.created_at, c.due_at)
        .where(pending)
        .order_by(c.lane, c.seq)
    ).all()
    # A lane may have one head only, also on the way.
    connection.execute(outbox.update().where(pending).values(due_at=None, holder=""))
    lanes = defaultdict[str, list[Any]](list)
    for row in rows:
        tenant = json.loads(bytes(row.payload))["tenant"]
        lanes[f"{len(tenant)}:{row.lane}"].append(row)
    for lane, queue in lanes.items():
        _move(connection, lane, queue)


def _move(connection: sa.Connection, lane: str, queue: list[Any]) -> None:
    """Put the rows at the end of ``lane``; the first of them is its head."""
    c = outbox.c
    last = connection.scalar(sa.select(sa.func.max(c.seq)).where(c.lane == lane)) or 0
    for position, row in enumerate(queue, start=1):
        head = position == 1
        connection.execute(
            outbox.update()
            .where(c.lane == row.lane, c.seq == row.seq)
            .values(
                lane=lane,
                seq=last + position,
                # The next row of a tenant that waited behind another's was not due yet.
                due_at=(row.due_at or row.created_at) if head else None,
            )
        )
