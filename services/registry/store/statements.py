"""Every statement of the registry, compiled at import."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
    values,
)

from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.statement import Statement, statement
from services.registry.store.tables import head, reference, resource, version

r = resource.c
v = version.c
_IS_CURRENT = r.valid_to.is_(None)
_THIS = and_(r.kind == bindparam("kind"), r.id == bindparam("id"))
_STORED = (
    r.kind, r.id, r.content_hash, r.valid_from, r.apply_set, r.updated_at, r.updated_by, r.body
)  # fmt: skip

_other = resource.alias("other")
_SAME = and_(_other.c.kind == r.kind, _other.c.id == r.id)

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

# Newest first: of a resource with many rows only the last ones are read.
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

_upserted = select(r.kind, r.id, r.body_bytes.label("size_bytes")).where(
    r.valid_from > _FROM, _in_version(_TO), _BEYOND
)
_removed = select(r.kind, r.id, literal(0, Integer).label("size_bytes")).where(
    r.valid_from <= _FROM,
    r.valid_to > _FROM,
    _BEYOND,
    ~exists().where(
        _SAME,
        _other.c.valid_from <= _TO,
        or_(_other.c.valid_to.is_(None), _other.c.valid_to > _TO),
    ),
)
_net = union_all(_upserted, _removed).subquery()
NET_CHANGE = statement(
    select(_net.c.kind, _net.c.id, _net.c.size_bytes).order_by(_net.c.kind, _net.c.id).limit(_LIMIT)
)

# The versions that are kept.
_VERSION = (
    v.version, v.created_at, v.created_by, v.method, v.request_id, v.change_count,
    v.restored_from, v.content_hash, v.lineage,
)  # fmt: skip
_NEWEST = bindparam("newest", type_=Integer)
_OLDEST = bindparam("oldest", type_=Integer)

# An empty actor means any.
_FITS = and_(
    v.version <= _NEWEST,
    v.created_at >= bindparam("since", type_=UtcMicros),
    v.created_at < bindparam("until", type_=UtcMicros),
    or_(
        bindparam("actor", type_=Text) == "",
        v.created_by == bindparam("actor", type_=Text),
    ),
)
PUBLISHED = statement(select(*_VERSION).where(_FITS).order_by(v.version.desc()).limit(_LIMIT))
PUBLISHED_FIRST = statement(select(*_VERSION).order_by(v.version).limit(_LIMIT))
UNHASHED = statement(
    select(*_VERSION).where(v.content_hash.is_(None)).order_by(v.version.desc()).limit(_LIMIT)
)
LINEAGE = statement(select(v.lineage).where(v.version == bindparam("version")))
KEEP_HASH = statement(
    version.update()
    .where(v.version == bindparam("of_version"), v.content_hash.is_(None))
    .values(content_hash=bindparam("hash", type_=LargeBinary))
)

# What content hashes are taken over: whatever was there at some time from oldest to newest.
ENTRIES = statement(
    select(r.kind, r.id, r.valid_from, r.valid_to, r.content_hash)
    .where(r.valid_from <= _NEWEST, or_(r.valid_to.is_(None), r.valid_to > _OLDEST))
    .order_by(r.kind, r.id, r.valid_from)
)

_new = select(r.kind, r.id, r.body_bytes.label("size_bytes")).where(
    r.valid_from > _OLDEST,
    r.valid_from <= _NEWEST,
    or_(r.valid_to.is_(None), r.valid_to > _NEWEST),
    _BEYOND,
    ~exists().where(
        _SAME,
        _other.c.valid_from <= _OLDEST,
        _other.c.valid_to > _OLDEST,
        _other.c.content_hash == r.content_hash,
    ),
)
_gone = select(r.kind, r.id, r.body_bytes.label("size_bytes")).where(
    r.valid_from <= _OLDEST,
    r.valid_to > _OLDEST,
    r.valid_to <= _NEWEST,
    _BEYOND,
    ~exists().where(
        _SAME,
        _other.c.valid_from <= _NEWEST,
        or_(_other.c.valid_to.is_(None), _other.c.valid_to > _NEWEST),
    ),
)
_differing = union_all(_new, _gone).subquery()
DIFFERING = statement(
    select(_differing.c.kind, _differing.c.id, _differing.c.size_bytes)
    .order_by(_differing.c.kind, _differing.c.id)
    .limit(_LIMIT)
)

# A change is found by its row: what a version brought begins with it, what it removed ends with
# it and nothing of that name begins.
_replaced_bytes = (
    select(func.max(_other.c.body_bytes))
    .where(_SAME, _other.c.valid_to == r.valid_from)
    .scalar_subquery()
)
_brought_bytes = (r.body_bytes + func.coalesce(_replaced_bytes, 0)).label("size_bytes")
_IS_REMOVED = ~exists().where(_SAME, _other.c.valid_from == r.valid_to)


def _in_span(at: ColumnElement[int], *columns: Any) -> Select[Any]:
    """By version, kind and id backwards; kind 0 means any."""
    before = tuple_(
        bindparam("before_version", type_=Integer),
        bindparam("before_kind", type_=Integer),
        bindparam("before_id", type_=Text),
    )
    kind = bindparam("kind", type_=Integer)
    return (
        select(at.label("version"), r.kind, r.id, *columns)
        .where(at >= _OLDEST, at <= _NEWEST, tuple_(at, r.kind, r.id) < before)
        .where(or_(kind == 0, r.kind == kind))
        .order_by(at.desc(), r.kind.desc(), r.id.desc())
        .limit(_LIMIT)
    )


def _of_one(at: ColumnElement[int], *columns: Any) -> Select[Any]:
    """One resource, newest first."""
    return (
        select(at.label("version"), r.kind, r.id, *columns)
        .join_from(resource, version, v.version == at)
        .where(r.kind == bindparam("kind"), r.id == bindparam("id"), _FITS)
        # Contents of one resource follow each other: this is the order of their ends too.
        .order_by(r.valid_from.desc())
        .limit(_LIMIT)
    )


_REMOVED_BYTES = r.body_bytes.label("size_bytes")
BROUGHT_IN = statement(_in_span(r.valid_from, _brought_bytes))
REMOVED_IN = statement(_in_span(r.valid_to, _REMOVED_BYTES).where(_IS_REMOVED))
BROUGHT_OF = statement(_of_one(r.valid_from, _brought_bytes))
REMOVED_OF = statement(_of_one(r.valid_to, _REMOVED_BYTES).where(_IS_REMOVED))

MOVE_OLDEST = statement(head.update().values(oldest_version=_OLDEST))
DROP_VERSIONS = statement(version.delete().where(v.version < _OLDEST))
_unneeded = (
    select(_other.c.kind, _other.c.id, _other.c.valid_from)
    .where(_other.c.valid_to < _OLDEST)
    .order_by(_other.c.valid_to, _other.c.kind, _other.c.id)
    .limit(_LIMIT)
)
SWEEP = statement(resource.delete().where(tuple_(r.kind, r.id, r.valid_from).in_(_unneeded)))

CHUNK = 64


class Lookup(NamedTuple):
    """A query by names, each a number and an id: for one name, and for ``CHUNK`` of them."""

    about_one: Statement
    about_many: Statement


def _lookup(
    found: Select[Any], table: FromClause, number: ColumnElement[int], id_: ColumnElement[str]
) -> Lookup:
    rows = [
        (bindparam(f"number_{n}", type_=Integer), bindparam(f"id_{n}", type_=Text))
        for n in range(CHUNK)
    ]
    asked = values(column("number", Integer), column("id", Text)).data(rows).cte("asked")
    among = and_(number == asked.c.number, id_ == asked.c.id)
    return Lookup(
        statement(found.where(number == bindparam("number"), id_ == bindparam("id"))),
        statement(found.select_from(asked).join(table, among)),
    )


# Current resources, by kind and id.
EXISTING = _lookup(
    select(r.kind, r.id, r.content_hash, r.apply_set).where(_IS_CURRENT), resource, r.kind, r.id
)
# The resources that refer to a target, by space and id of the target.
_e = reference.c
DEPENDENTS = _lookup(
    select(_e.space, _e.target_id, _e.kind, _e.id), reference, _e.space, _e.target_id
)
