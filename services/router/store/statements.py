"""Every statement of the router, compiled at import."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, tuple_

from services.chassis.store.columns import Text
from services.chassis.store.statement import Statement, UpsertInsert, statement, upsert
from services.router.store.tables import pin

# How many keys one statement takes.
KEYS_PER_LOOKUP = 12

_KEY = (pin.c.tenant, pin.c.pool_id, pin.c.session)


def _put() -> UpsertInsert:
    put = upsert(pin)
    rest = [column.name for column in pin.columns if column not in set(_KEY)]
    return put.on_conflict_do_update(
        index_elements=list(_KEY), set_={name: put.excluded[name] for name in rest}
    )


def _locked() -> Statement:
    """Which of some pins another transaction has locked; locks those of them that are free."""
    names = ("tenant", "pool_id", "session")
    keys = [
        tuple_(*(bindparam(f"{name}_{number}", type_=Text) for name in names))
        for number in range(KEYS_PER_LOOKUP)
    ]
    named = tuple_(*_KEY).in_(keys)
    free = select(*_KEY).where(named).order_by(*_KEY).with_for_update(skip_locked=True).cte("free")
    is_free = tuple_(*_KEY).in_(select(free.c.tenant, free.c.pool_id, free.c.session))
    return statement(select(*_KEY).where(named, ~is_free))


LOCKED_PINS = _locked()
PUT_PIN = statement(_put())
DROP_PIN = statement(
    delete(pin).where(
        pin.c.tenant == bindparam("of_tenant"),
        pin.c.pool_id == bindparam("of_pool"),
        pin.c.session == bindparam("of_session"),
    )
)
NEWEST_PINS = statement(select(pin).order_by(pin.c.used_at.desc()).limit(bindparam("most")))
