"""Every statement of the registry, compiled at import."""

from __future__ import annotations

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    exists,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from services.chassis.store.columns import Integer, Text
from services.chassis.store.statement import statement
from services.registry.store.tables import head, reference, resource, version

r = resource.c
_IS_CURRENT = r.valid_to.is_(None)
_THIS = and_(r.kind == bindparam("kind"), r.id == bindparam("id"))
_STORED = (
    r.kind, r.id, r.content_hash, r.valid_from, r.apply_set, r.updated_at, r.updated_by, r.body
)  # fmt: skip

_head = select(head.c.version, head.c.oldest_version, head.c.incarnation, head.c.lineage)
HEAD = statement(_head)
LOCK_HEAD = statement(_head.with_for_update())
ADD_HEAD = statement(head.insert())
MOVE_HEAD = statement(
    head.update().values(version=bindparam("to_version"), lineage=bindparam("to_lineage"))
)

ADD_VERSION = statement(version.insert())
FIND_VERSION = statement(
    select(version.c.content_hash).where(version.c.version == bindparam("version"))
)

STORED = statement(select(*_STORED).where(_THIS, _IS_CURRENT))
MARKED = statement(select(r.kind, r.id).where(r.apply_set == bindparam("apply_set"), _IS_CURRENT))
ADD_RESOURCE = statement(resource.insert())
END_RESOURCE = statement(
    resource.update().where(_THIS, _IS_CURRENT).values(valid_to=bindparam("to_version"))
)
ADOPT = statement(
    resource.update().where(_THIS, _IS_CURRENT).values(apply_set=bindparam("new_apply_set"))
)

ADD_REFERENCE = statement(reference.insert())
DROP_REFERENCES = statement(
    reference.delete().where(
        reference.c.kind == bindparam("kind"), reference.c.id == bindparam("id")
    )
)


def _in_version(column: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(r.valid_from <= column, or_(r.valid_to.is_(None), r.valid_to > column))


_TO = bindparam("to_version", type_=Integer)
_FROM = bindparam("from_version", type_=Integer)


# Row values, not OR: only so does SQLite seek to where a page begins.
_AFTER = tuple_(bindparam("after_kind", type_=Integer), bindparam("after_id", type_=Text))
_BEYOND = tuple_(r.kind, r.id) > _AFTER
_LIMIT = bindparam("limit", type_=Integer)

# The newest first: of a resource with a long past only its last rows are looked at.
STORED_AT = statement(
    select(*_STORED).where(_THIS, _in_version(_TO)).order_by(r.valid_from.desc()).limit(1)
)

# A listing: kind 0 and an empty set mean any.
LISTED = statement(
    select(r.kind, r.id, r.body_bytes.label("size_bytes"))
    .where(
        _IS_CURRENT,
        or_(bindparam("kind", type_=Integer) == 0, r.kind == bindparam("kind", type_=Integer)),
        or_(
            bindparam("apply_set", type_=Text) == "",
            r.apply_set == bindparam("apply_set", type_=Text),
        ),
        _BEYOND,
    )
    .order_by(r.kind, r.id)
    .limit(_LIMIT)
)

# A whole snapshot, in the order of the primary key.
WHOLE = statement(
    select(r.kind, r.id, r.body_bytes.label("size_bytes"))
    .where(_in_version(_TO), _BEYOND)
    .order_by(r.kind, r.id)
    .limit(_LIMIT)
)

_later = resource.alias("later")
_upserted = select(r.kind, r.id, r.body_bytes.label("size_bytes")).where(
    r.valid_from > _FROM, _in_version(_TO), _BEYOND
)
_removed = select(r.kind, r.id, literal(0, Integer).label("size_bytes")).where(
    r.valid_from <= _FROM,
    r.valid_to > _FROM,
    _BEYOND,
    ~exists().where(
        _later.c.kind == r.kind,
        _later.c.id == r.id,
        _later.c.valid_from <= _TO,
        or_(_later.c.valid_to.is_(None), _later.c.valid_to > _TO),
    ),
)
_net = union_all(_upserted, _removed).subquery()
NET_CHANGE = statement(
    select(_net.c.kind, _net.c.id, _net.c.size_bytes).order_by(_net.c.kind, _net.c.id).limit(_LIMIT)
)
