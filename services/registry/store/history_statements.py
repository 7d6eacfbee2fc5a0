"""The statements about the past, compiled at import."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    tuple_,
    union_all,
)

from services.chassis.store.columns import Integer, LargeBinary, Text, UtcMicros
from services.chassis.store.statement import statement
from services.registry.store.tables import head, resource, version

v = version.c
r = resource.c
_VERSION = (
    v.version, v.created_at, v.created_by, v.method, v.request_id, v.change_count,
    v.restored_from, v.content_hash, v.lineage,
)  # fmt: skip
_NEWEST = bindparam("newest", type_=Integer)
_OLDEST = bindparam("oldest", type_=Integer)
_LIMIT = bindparam("limit", type_=Integer)

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

_other = resource.alias("other")
_SAME = and_(_other.c.kind == r.kind, _other.c.id == r.id)

# Row values, not OR: only so is a page sought where it begins.
_BEYOND = tuple_(r.kind, r.id) > tuple_(
    bindparam("after_kind", type_=Integer), bindparam("after_id", type_=Text)
)
_came = select(r.kind, r.id, r.body_bytes.label("size_bytes")).where(
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
_went = select(r.kind, r.id, r.body_bytes.label("size_bytes")).where(
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
_net = union_all(_came, _went).subquery()
DIFFERING = statement(
    select(_net.c.kind, _net.c.id, _net.c.size_bytes).order_by(_net.c.kind, _net.c.id).limit(_LIMIT)
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
