"""Clauses compiled once: text, parameters, rows, and what is refused at import."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from services.chassis.store import columns
from services.chassis.store.statement import statement, upsert

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NEW_YEAR_MICROS = 1_767_225_600_000_000

_metadata = sa.MetaData()
item = sa.Table(
    "item",
    _metadata,
    sa.Column("id", columns.Text, primary_key=True),
    sa.Column("size", columns.Integer, nullable=False),
    sa.Column("ready", columns.Bool),
    sa.Column("at", columns.UtcMicros),
    sa.Column("body", columns.LargeBinary),
    sqlite_strict=True,
)
other_id = sa.Column("id", columns.Text, primary_key=True)
other = sa.Table("other", _metadata, other_id, sa.Column("at", sa.DateTime))

by_id = sa.select(item.c.id).where(item.c.id == sa.bindparam("id"))


def flat(sql: str) -> str:
    return " ".join(sql.split())


def test_an_insert_binds_every_column_by_its_name_in_the_order_of_the_table() -> None:
    add = statement(item.insert()).sqlite

    bound = add.bind({"at": NEW_YEAR, "ready": True, "id": "a", "body": b"b", "size": 3})

    assert add.text == "INSERT INTO item (id, size, ready, at, body) VALUES (?, ?, ?, ?, ?)"
    assert bound == ("a", 3, True, NEW_YEAR_MICROS, b"b")


@pytest.mark.parametrize(
    ("clause", "given", "bound"),
    [
        (item.insert(), dict.fromkeys(item.c.keys()), (None,) * 5),
        (by_id, {"id": "a"}, ("a",)),
        (sa.select(item.c.id), {}, ()),
        (by_id.where(item.c.id > sa.bindparam("id")), {"id": "a"}, ("a", "a")),
    ],
    ids=["none is null whatever the type", "one", "none at all", "used twice and given once"],
)
def test_parameters_are_bound_as_a_tuple(
    clause: ClauseElement, given: dict[str, object], bound: tuple[object, ...]
) -> None:
    assert statement(clause).sqlite.bind(given) == bound


def test_rows_are_named_after_their_columns_and_converted() -> None:
    row = statement(sa.select(item)).sqlite.row(("a", 3, 1, NEW_YEAR_MICROS, None))

    assert row == ("a", 3, True, NEW_YEAR, None)
    assert (row.id, row.ready, row.at) == ("a", True, NEW_YEAR)
    assert row.ready is True


def test_rows_without_conversions_are_only_named() -> None:
    row = statement(sa.select(item.c.id, item.c.size)).sqlite.row(("a", 3))
    assert (row.id, row.size) == ("a", 3)


def test_a_name_used_twice_gets_a_suffix() -> None:
    joined = sa.select(item.c.id, other.c.id).join(other, item.c.id == other.c.id)
    assert statement(joined).sqlite.row(("a", "b"))._fields == ("id", "id_1")


def test_returned_rows_are_named_too() -> None:
    change = statement(item.delete().where(item.c.id == sa.bindparam("id")).returning(item.c.at))
    assert change.sqlite.row((NEW_YEAR_MICROS,)).at == NEW_YEAR


def test_a_comparison_comes_back_as_a_truth_value() -> None:
    found = statement(sa.select(sa.exists().where(item.c.id == sa.bindparam("id")).label("found")))
    assert found.sqlite.row((1,)).found is True
    assert found.sqlite.row((0,)).found is False


@pytest.mark.parametrize(
    ("params", "missing", "surplus"),
    [({}, "['id']", "[]"), ({"id": "a", "size": 1}, "[]", "['size']")],
)
def test_parameters_that_do_not_fit_are_named(
    params: dict[str, object], missing: str, surplus: str
) -> None:
    by_time = sa.select(item.c.id).where(item.c.at == sa.bindparam("id"))
    for clause in (by_id, by_time):
        with pytest.raises(TypeError) as refused:
            statement(clause).sqlite.bind(dict(params))
        assert f"missing {missing}, not wanted {surplus}" in str(refused.value)


def test_constants_become_part_of_the_text() -> None:
    """A planner can use what it sees, above all for partial indexes."""
    constant = statement(
        sa.select(item.c.id)
        .where(item.c.size == 7, item.c.ready.is_(True), item.c.id == "it's", item.c.at > NEW_YEAR)
        .limit(1)
    )

    assert constant.sqlite.bind({}) == ()
    assert flat(constant.sqlite.text) == (
        "SELECT item.id FROM item WHERE item.size = 7 AND item.ready IS 1 AND item.id = 'it''s' "
        "AND item.at > 1767225600000000 LIMIT 1 OFFSET 0"
    )


def test_a_percent_sign_in_a_constant_is_no_placeholder() -> None:
    like = statement(sa.select(item.c.id).where(item.c.id.like("50%")))
    assert "LIKE '50%'" in like.sqlite.text
    assert "LIKE '50%'" in like.postgresql.text


def test_bytes_stay_a_parameter_and_need_not_be_given() -> None:
    """Neither engine's literal for bytes is the other's."""
    by_body = statement(
        sa.select(item.c.id).where(item.c.body == b"\x00'", item.c.id == sa.bindparam("id"))
    )
    assert by_body.sqlite.bind({"id": "a"}) == (b"\x00'", "a")
    assert by_body.postgresql.bind({"id": "b"}) == (b"\x00'", "b")


def test_an_update_sets_expressions_and_parameters() -> None:
    grow = statement(
        item.update()
        .where(item.c.id == sa.bindparam("id"))
        .values(size=item.c.size + 1, at=sa.bindparam("now"))
    )
    assert grow.sqlite.text == "UPDATE item SET size=(item.size + 1), at=? WHERE item.id = ?"
    assert grow.sqlite.bind({"id": "a", "now": NEW_YEAR}) == (NEW_YEAR_MICROS, "a")


def test_a_row_lock_is_written_once_and_used_where_there_are_locks() -> None:
    locked = statement(sa.select(item.c.id).with_for_update(skip_locked=True))
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
    plain = statement(sa.text("SELECT 1 WHERE 2 = :two"))
    typed = statement(sa.text("SELECT 1 AS at").columns(at=columns.UtcMicros))

    assert plain.sqlite.text == "SELECT 1 WHERE 2 = ?"
    assert plain.sqlite.row([1]) == (1,)
    assert typed.sqlite.row((NEW_YEAR_MICROS,)).at == NEW_YEAR
    assert "SELECT 1 WHERE" in repr(plain)


@pytest.mark.parametrize(
    ("clause", "reason"),
    [
        (sa.select(item.c.id).where(item.c.id.in_(["a", "b"])), "json_each"),
        (sqlite.insert(item).on_conflict_do_nothing(), "upsert"),
        (sa.select(sa.func.count() + 1), "label"),
        (sa.select(sa.exists().where(item.c.id == "a")), "label"),
        (sa.select(other.c.at), "not a column type"),
        (other.insert(), "not a column type"),
        (sa.select(sa.literal(0.5, sa.Float).label("half")), "not a column type"),
        (sa.select(item.c.id).where(item.c.id == sa.bindparam("x", callable_=str)), "per call"),
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
    assert columns.to_micros(instant) == micros
    assert columns.from_micros(micros) == instant


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 2


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


painted = sa.Table(
    "painted",
    _metadata,
    sa.Column("colour", columns.EnumValue(Colour)),
    sa.Column("size", columns.EnumValue(Size)),
    sa.Column("at", columns.Json(Point | None), nullable=False),
    sqlite_strict=True,
)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ((Colour.RED, Size.LARGE, Point(1, 2)), ("red", 2, '{"x":1,"y":2}')),
        ((None, None, None), (None, None, "null")),
    ],
)
def test_enums_and_structures_are_kept_as_text_and_come_back(
    values: tuple[object, ...], stored: tuple[object, ...]
) -> None:
    add, read = statement(painted.insert()), statement(sa.select(painted))
    names = ("colour", "size", "at")

    for each in (add.sqlite, add.postgresql):
        assert each.bind(dict(zip(names, values, strict=True))) == stored
    for each in (read.sqlite, read.postgresql):
        assert tuple(each.row(stored)) == values


def test_a_field_added_later_reads_what_was_stored_before_it() -> None:
    (_, _, at) = statement(sa.select(painted)).sqlite.row((None, None, '{"x":1,"gone":3}'))
    assert at == Point(1, 0)


def test_an_enum_written_into_a_clause_is_its_value() -> None:
    red = statement(sa.select(painted.c.size).where(painted.c.colour == Colour.RED))
    assert flat(red.sqlite.text).endswith("WHERE painted.colour = 'red'")


@pytest.mark.parametrize(
    ("type_", "value", "kept"),
    [
        (columns.UtcMicros(), NEW_YEAR, NEW_YEAR_MICROS),
        (columns.Bool(), True, True),
        (columns.EnumValue(Colour), Colour.RED, "red"),
        (columns.EnumValue(Size), Size.LARGE, 2),
        (columns.Json(Point), Point(1), '{"x":1,"y":0}'),
    ],
)
def test_the_types_serve_sqlalchemy_itself(
    type_: sa.TypeDecorator[Any], value: object, kept: object
) -> None:
    """Migrations and defaults go through it."""
    dialect = sqlite.dialect()
    assert type_.process_bind_param(value, dialect) == kept
    assert type_.process_result_value(kept, dialect) == value
    if not isinstance(type_, columns.Json):
        assert type_.process_bind_param(None, dialect) is None
    assert type_.process_result_value(None, dialect) is None


def test_a_truth_value_of_the_database_is_one_of_python() -> None:
    dialect = sqlite.dialect()
    assert columns.Bool().process_bind_param(True, dialect) is True
    assert columns.Bool().process_result_value(0, dialect) is False


@pytest.mark.parametrize(
    ("type_", "is_a_text"),
    [
        (columns.Text(), True),
        (columns.Json(Point), True),
        (columns.EnumValue(Colour), True),
        (columns.EnumValue(Size), False),
    ],
)
def test_what_postgresql_has_to_sort_by_code_point(type_: TypeEngine[Any], is_a_text: bool) -> None:
    assert columns.is_text(type_) is is_a_text
