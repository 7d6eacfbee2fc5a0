"""The tables of the changes of tickets."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from services.chassis.store.columns import Integer, Text
from services.runcontrol.store.tables import metadata

# The sequence of a tenant's newest change. Its row is locked from a change to the commit, so that
# the changes of a tenant become visible in the order of their sequences.
ticket_head = Table(
    "ticket_head",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
    sqlite_strict=True,
)

# The newest change of every ticket.
ticket_change = Table(
    "ticket_change",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("ticket_id", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
    sqlite_strict=True,
)
Index("ticket_change_seq", ticket_change.c.tenant, ticket_change.c.seq, unique=True)
