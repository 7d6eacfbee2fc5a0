"""Every statement of the router, compiled at import."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, tuple_

from services.chassis.store.columns import Text
from services.chassis.store.statement import Statement, UpsertInsert, statement, upsert
from services.router.store.tables import shared, shared_head

# How many keys one statement takes.
KEYS_PER_LOOKUP = 32
ENDED_PER_DELETE = 1_000

_ENTRY = (
    shared.c.kind,
    shared.c.key,
    shared.c.body,
    shared.c.changed_at,
    shared.c.extended_at,
    shared.c.ends_at,
    shared.c.number,
)


def _advance() -> Statement:
    """Count writes; answers the number of the last one."""
    put = upsert(shared_head)
    number = shared_head.c.number + put.excluded.number
    counted = put.on_conflict_do_update(index_elements=["only"], set_={"number": number})
    return statement(counted.returning(shared_head.c.number))


def _put() -> UpsertInsert:
    """Add an entry, or replace one that it supersedes."""
    put = upsert(shared)
    rest = [column.name for column in shared.columns if column.name != "key_hash"]
    newer = tuple_(put.excluded.changed_at, put.excluded.extended_at) > tuple_(
        shared.c.changed_at, shared.c.extended_at
    )
    return put.on_conflict_do_update(
        index_elements=["key_hash"], set_={name: put.excluded[name] for name in rest}, where=newer
    )


def _locked() -> Statement:
    """Which of some entries another transaction has locked; locks those of them that are free."""
    keys = [bindparam(f"key_{number}", type_=Text) for number in range(KEYS_PER_LOOKUP)]
    named = shared.c.key_hash.in_(keys)
    free = select(shared.c.key_hash).where(named).order_by(shared.c.key_hash)
    locking = free.with_for_update(skip_locked=True).cte("free")
    return statement(
        select(shared.c.key_hash).where(named, ~shared.c.key_hash.in_(select(locking.c.key_hash)))
    )


def _drop_ended() -> Statement:
    """Leaves what another transaction has locked to the next time."""
    ended = select(shared.c.key_hash).where(shared.c.ends_at < bindparam("before"))
    free = ended.limit(ENDED_PER_DELETE).with_for_update(skip_locked=True).cte("free")
    return statement(delete(shared).where(shared.c.key_hash.in_(select(free.c.key_hash))))


ADVANCE = _advance()
HEAD = statement(select(shared_head.c.number))
LOCKED = _locked()
PUT = statement(_put())
DROP_ENDED = _drop_ended()
NEWS = statement(
    select(*_ENTRY)
    .where(shared.c.number > bindparam("after"))
    .order_by(shared.c.number)
    .limit(bindparam("most"))
)
FURTHEST = statement(
    select(*_ENTRY)
    .where(shared.c.kind == bindparam("kind"))
    .order_by(shared.c.extended_at.desc())
    .limit(bindparam("most"))
)
