"""Pages of the past are sought in an index where they begin: their cost is that of a page."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime

import psycopg
import pytest

from services.chassis.store.statement import Statement
from services.registry.store import statements as sql

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_BEFORE = {"before_version": 9, "before_kind": 1, "before_id": "", "limit": 3}
_SPAN = {"oldest": 1, "newest": 9, "kind": 0, **_BEFORE}
_FILTER = {"newest": 9, "actor": "", "since": _NOW, "until": _NOW, "limit": 3}
_ONE = {"kind": 1, "id": "a", **_FILTER}

CASES: list[tuple[Statement, Mapping[str, object], str]] = [
    (sql.BROUGHT_IN, _SPAN, "resource_valid_from"),
    (sql.REMOVED_IN, _SPAN, "resource_valid_to"),
    (sql.BROUGHT_OF, _ONE, "resource_pkey"),
    (sql.REMOVED_OF, _ONE, "resource_pkey"),
    (sql.UNHASHED, {"limit": 3}, "version_unhashed"),
    (sql.PUBLISHED, _FILTER, "version_pkey"),
    (sql.STORED_AT, {"kind": 1, "id": "a", "to_version": 3}, "resource_pkey"),
]
# What SQLite calls a primary key with several columns, and one that is the row's number.
_SQLITE = {"resource_pkey": "sqlite_autoindex_resource_1", "version_pkey": "INTEGER PRIMARY KEY"}


EACH_STATEMENT = pytest.mark.parametrize(
    ("statement", "params", "index"), CASES, ids=lambda one: str(one)[:40]
)


@EACH_STATEMENT
def test_sqlite_seeks(
    sqlite_url: str, statement: Statement, params: Mapping[str, object], index: str
) -> None:
    # when
    compiled = statement.sqlite
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        text = f"EXPLAIN QUERY PLAN {compiled.text}"
        plan = [row[3] for row in connection.execute(text, compiled.bind(dict(params)))]

    # then by one index, and nothing is sorted
    wanted = _SQLITE.get(index, index)
    assert any("SEARCH" in step or "SCAN version USING" in step for step in plan), plan
    assert any(wanted in step for step in plan if "other" not in step), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


@EACH_STATEMENT
def test_postgresql_seeks(
    postgres_url: str, statement: Statement, params: Mapping[str, object], index: str
) -> None:
    # when the planner does not mind how small the tables are
    compiled = statement.postgresql
    values = compiled.bind(dict(params))
    text = re.sub(r"\$(\d+)", r"%(p\1)s", compiled.text)
    named = {f"p{number}": value for number, value in enumerate(values, 1)}
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_sort = off")
        connection.execute("SET enable_bitmapscan = off; SET enable_incremental_sort = off")
        rows = connection.execute(f"EXPLAIN {text}".encode(), named).fetchall()
        plan = [str(line) for (line,) in rows]

    # then
    assert any(f"using {index} on" in line for line in plan), plan
    assert not any("Sort" in line or "Seq Scan" in line for line in plan), plan
