"""Clauses compiled once: text, parameters, rows, and what is refused at import."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Float,
    MetaData,
    Table,
    bindparam,
    exists,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ClauseElement

from services.chassis.store.columns import (
    Bool,
    Integer,
    LargeBinary,
    Text,
    UtcMicros,
    from_micros,
    to_micros,
)
from services.chassis.store.statement import statement, upsert

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NEW_YEAR_MICROS = 1_767_225_600_000_000

_metadata = MetaData()
item = Table(
    "item",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("ready", Bool),
    Column("at", UtcMicros),
    Column("body", LargeBinary),
    sqlite_strict=True,
)
other = Table("other", _metadata, Column("id", Text, primary_key=True), Column("at", DateTime))


def flat(sql: str) -> str:
    return " ".join(sql.split())


def test_an_insert_binds_every_column_by_its_name_in_the_order_of_the_table() -> None:
    add = statement(item.insert())

    bound = add.sqlite.bind({"at": NEW_YEAR, "ready": True, "id": "a", "body": b"b", "size": 3})

    assert add.sqlite.text == "INSERT INTO item (id, size, ready, at, body) VALUES (?, ?, ?, ?, ?)"
    assert bound == ("a", 3, True, NEW_YEAR_MICROS, b"b")


def test_none_is_bound_as_null_whatever_the_type() -> None:
    add = statement(item.insert())
    given = {"id": "a", "size": 3, "ready": None, "at": None, "body": None}
    assert add.sqlite.bind(given) == ("a", 3, None, None, None)


def test_rows_are_named_after_their_columns_and_converted() -> None:
    row = statement(select(item)).sqlite.row(("a", 3, 1, NEW_YEAR_MICROS, None))

    assert row == ("a", 3, True, NEW_YEAR, None)
    assert (row.id, row.ready, row.at) == ("a", True, NEW_YEAR)
    assert row.ready is True


def test_rows_without_conversions_are_only_named() -> None:
    row = statement(select(item.c.id, item.c.size)).sqlite.row(("a", 3))
    assert (row.id, row.size) == ("a", 3)


def test_a_name_used_twice_gets_a_suffix() -> None:
    joined = select(item.c.id, other.c.id).join(other, item.c.id == other.c.id)
    assert statement(joined).sqlite.row(("a", "b"))._fields == ("id", "id_1")


def test_returned_rows_are_named_too() -> None:
    change = statement(item.delete().where(item.c.id == bindparam("id")).returning(item.c.at))
    assert change.sqlite.row((NEW_YEAR_MICROS,)).at == NEW_YEAR


def test_a_comparison_comes_back_as_a_truth_value() -> None:
    found = statement(select(exists().where(item.c.id == bindparam("id")).label("found")))
    assert found.sqlite.row((1,)).found is True
    assert found.sqlite.row((0,)).found is False


def test_one_parameter_and_none_are_tuples() -> None:
    by_id = statement(select(item.c.id).where(item.c.id == bindparam("id")))
    assert by_id.sqlite.bind({"id": "a"}) == ("a",)
    assert statement(select(item.c.id)).sqlite.bind({}) == ()


def test_a_parameter_used_twice_is_given_once() -> None:
    both = statement(
        select(item.c.id).where((item.c.id == bindparam("x")) | (item.c.id > bindparam("x")))
    )
    assert both.sqlite.bind({"x": "a"}) == ("a", "a")


@pytest.mark.parametrize(
    ("params", "missing", "surplus"),
    [({}, "['id']", "[]"), ({"id": "a", "size": 1}, "[]", "['size']")],
)
def test_parameters_that_do_not_fit_are_named(
    params: dict[str, object], missing: str, surplus: str
) -> None:
    by_id = statement(select(item.c.id).where(item.c.id == bindparam("id")))
    by_time = statement(select(item.c.id).where(item.c.at == bindparam("id")))
    for each in (by_id, by_time):
        with pytest.raises(TypeError) as refused:
            each.sqlite.bind(dict(params))
        assert f"missing {missing}, not wanted {surplus}" in str(refused.value)


def test_constants_become_part_of_the_text() -> None:
    """A planner can use what it sees, above all for partial indexes."""
    constant = statement(
        select(item.c.id)
        .where(item.c.size == 7, item.c.ready.is_(True), item.c.id == "it's", item.c.at > NEW_YEAR)
        .limit(1)
    )

    assert constant.sqlite.bind({}) == ()
    assert flat(constant.sqlite.text) == (
        "SELECT item.id FROM item WHERE item.size = 7 AND item.ready IS 1 AND item.id = 'it''s' "
        "AND item.at > 1767225600000000 LIMIT 1 OFFSET 0"
    )


def test_a_percent_sign_in_a_constant_is_no_placeholder() -> None:
    like = statement(select(item.c.id).where(item.c.id.like("50%")))
    assert "LIKE '50%'" in like.sqlite.text
    assert "LIKE '50%'" in like.postgresql.text


def test_bytes_stay_a_parameter_and_need_not_be_given() -> None:
    """Neither engine's literal for bytes is the other's."""
    by_body = statement(
        select(item.c.id).where(item.c.body == b"\x00'", item.c.id == bindparam("id"))
    )
    given = {"id": "a"}
    assert by_body.sqlite.bind(given) == (b"\x00'", "a")
    assert by_body.postgresql.bind({"id": "b"}) == (b"\x00'", "b")


def test_an_update_sets_expressions_and_parameters() -> None:
    grow = statement(
        item.update()
        .where(item.c.id == bindparam("id"))
        .values(size=item.c.size + 1, at=bindparam("now"))
    )
    assert grow.sqlite.text == "UPDATE item SET size=(item.size + 1), at=? WHERE item.id = ?"
    assert grow.sqlite.bind({"id": "a", "now": NEW_YEAR}) == (NEW_YEAR_MICROS, "a")


def test_a_row_lock_is_written_once_and_used_where_there_are_locks() -> None:
    locked = statement(select(item.c.id).with_for_update(skip_locked=True))
    assert "FOR UPDATE" not in locked.sqlite.text
    assert locked.postgresql.text.endswith("FOR UPDATE SKIP LOCKED")


def test_an_upsert_compiles_on_both_engines() -> None:
    insert = upsert(item)
    put = statement(
        insert.on_conflict_do_update(index_elements=["id"], set_={"size": insert.excluded.size})
    )
    for compiled in (put.sqlite, put.postgresql):
        assert compiled.text.endswith("ON CONFLICT (id) DO UPDATE SET size = excluded.size")


def test_postgresql_gets_positional_parameters_and_wide_integers() -> None:
    add = statement(item.insert()).postgresql

    assert add.text == (
        "INSERT INTO item (id, size, ready, at, body) "
        "VALUES ($1::VARCHAR, $2::BIGINT, $3, $4::BIGINT, $5)"
    )
    assert add.bind({"id": "a", "size": 1, "ready": True, "at": NEW_YEAR, "body": b""}) == (
        "a", 1, True, NEW_YEAR_MICROS, b"",
    )  # fmt: skip


def test_tables_are_strict_on_sqlite_and_native_on_postgresql() -> None:
    lite = flat(str(CreateTable(item).compile(dialect=sqlite.dialect())))
    assert "ready INTEGER, at INTEGER, body BLOB" in lite
    assert lite.endswith("STRICT")


def test_text_is_taken_as_it_is() -> None:
    plain = statement(text("SELECT 1 WHERE 2 = :two"))
    typed = statement(text("SELECT 1 AS at").columns(at=UtcMicros))

    assert plain.sqlite.text == "SELECT 1 WHERE 2 = ?"
    assert plain.sqlite.row([1]) == (1,)
    assert typed.sqlite.row((NEW_YEAR_MICROS,)).at == NEW_YEAR
    assert "SELECT 1 WHERE" in repr(plain)


@pytest.mark.parametrize(
    ("clause", "reason"),
    [
        (select(item.c.id).where(item.c.id.in_(["a", "b"])), "json_each"),
        (sqlite.insert(item).on_conflict_do_nothing(), "upsert"),
        (select(func.count() + 1), "label"),
        (select(exists().where(item.c.id == "a")), "label"),
        (select(other.c.at), "not a column type"),
        (other.insert(), "not a column type"),
        (select(literal(0.5, Float).label("half")), "not a column type"),
        (select(item.c.id).where(item.c.id == bindparam("x", callable_=str)), "per call"),
        (CreateTable(item), "migration"),
    ],
)
def test_what_cannot_be_compiled_once_for_both_engines_is_refused(
    clause: ClauseElement, reason: str
) -> None:
    with pytest.raises(TypeError, match=reason):
        statement(clause)


@pytest.mark.parametrize(
    ("instant", "micros"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), -1),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_instants_are_exact_to_the_microsecond(instant: datetime, micros: int) -> None:
    assert to_micros(instant) == micros
    assert from_micros(micros) == instant


def test_the_decorators_serve_sqlalchemy_itself() -> None:
    """Migrations and defaults go through it."""
    dialect = sqlite.dialect()
    assert UtcMicros().process_bind_param(NEW_YEAR, dialect) == NEW_YEAR_MICROS
    assert UtcMicros().process_result_value(NEW_YEAR_MICROS, dialect) == NEW_YEAR
    assert Bool().process_bind_param(True, dialect) is True
    assert Bool().process_result_value(0, dialect) is False
    for decorator in (UtcMicros(), Bool()):
        assert decorator.process_bind_param(None, dialect) is None
        assert decorator.process_result_value(None, dialect) is None
