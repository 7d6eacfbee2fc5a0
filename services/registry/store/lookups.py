"""Looking up names: what a change touches, however many resources there are.

Each question is a round trip on PostgreSQL, so that many names are asked about together. A few are
asked about one by one: that is an index lookup for every planner, also for one that has not yet
counted the rows of a new table and would scan it for a longer list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    column,
    select,
    values,
)

from services.chassis.store.columns import Integer, Text
from services.chassis.store.port import Row, Tx
from services.chassis.store.statement import Statement, statement
from services.registry.store.tables import reference, resource

FEW = 8
CHUNK = 64
# Fills the last chunk; a real name would have its rows twice.
_NOBODY = (0, "")

_r, _e = resource.c, reference.c


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question about names, each a number and an id within it."""

    about_one: Statement
    about_many: Statement

    def rows(self, tx: Tx, names: Iterable[tuple[int, str]]) -> Iterator[Row]:
        """The rows of every name, once; in no order."""
        # Sorted: neighbours lie on the same pages of an index.
        asked = sorted(set(names))
        if len(asked) <= FEW:
            for number, id_ in asked:
                yield from tx.all(self.about_one, number=int(number), id=id_)
            return
        left = iter(asked)
        while chunk := list(islice(left, CHUNK)):
            yield from tx.all(self.about_many, **_params(chunk))


def _params(chunk: list[tuple[int, str]]) -> dict[str, object]:
    params: dict[str, object] = {}
    filled = chunk + [_NOBODY] * (CHUNK - len(chunk))
    for n, (number, id_) in enumerate(filled):
        params |= {f"number_{n}": int(number), f"id_{n}": id_}
    return params


def _lookup(
    found: Select[tuple[object, ...]],
    table: FromClause,
    number: ColumnElement[int],
    id_: ColumnElement[str],
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
HELD = _lookup(
    select(_r.kind, _r.id, _r.content_hash, _r.apply_set).where(_r.valid_to.is_(None)),
    resource,
    _r.kind,
    _r.id,
)

# Who refers to a target, by space and id of the target.
DEPENDENTS = _lookup(
    select(_e.space, _e.target_id, _e.kind, _e.id), reference, _e.space, _e.target_id
)
