"""The tables that the contract of the store is tested on."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, bindparam, func, select, text

from services.chassis.outbox.rows import outbox_table
from services.chassis.store.columns import Bool, Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.idempotency import requests_table
from services.chassis.store.statement import Statement, statement

MIGRATIONS = Path(__file__).parent / "migrations"
METADATA = MetaData()
OPENING = {"metadata": METADATA, "migrations": MIGRATIONS}

account = Table(
    "account",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("balance", Integer, nullable=False),
    Column("open", Bool),
    Column("seen_at", UtcMicros),
    Column("photo", LargeBinary),
    sqlite_strict=True,
)
Index(
    "account_rich",
    account.c.balance,
    sqlite_where=account.c.open.is_(True),
    postgresql_where=account.c.open.is_(True),
)
card = Table(
    "card",
    METADATA,
    Column("id", Text, primary_key=True),
    # Checked by the COMMIT, so that a test can make one fail.
    Column("account_id", ForeignKey("account.id", deferrable=True, initially="DEFERRED")),
    sqlite_strict=True,
)
requests = requests_table(METADATA)
outbox = outbox_table(METADATA)

ADD = statement(account.insert().values(id=bindparam("id"), balance=bindparam("balance")))
ADD_WHOLE = statement(account.insert())
ADD_CARD = statement(card.insert())
GET = statement(select(account).where(account.c.id == bindparam("id")))
BALANCE = statement(select(account.c.balance).where(account.c.id == bindparam("id")))
LOCK = statement(select(account.c.balance).where(account.c.id == bindparam("id")).with_for_update())
DEPOSIT = statement(
    account.update()
    .where(account.c.id == bindparam("id"))
    .values(balance=account.c.balance + bindparam("amount", type_=Integer))
)
IDS = statement(select(account.c.id).order_by(account.c.id))
PHOTO = statement(select(account.c.photo))
BEYOND = statement(
    select(account.c.id).where(account.c.id > bindparam("after")).order_by(account.c.id)
)
TOTAL = statement(
    select(func.sum(account.c.balance).label("total"), func.count().label("accounts"))
)
ENDLESS = statement(
    text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) AS i FROM n")
)
PID = statement(text("SELECT pg_backend_pid() AS pid").columns(pid=Integer))


def raising(state: str) -> Statement:
    """What fails on PostgreSQL with that SQLSTATE."""
    return statement(text(f"DO $$ BEGIN RAISE 'scripted' USING ERRCODE = '{state}'; END $$"))
