"""Statements written in SQLAlchemy Core and executed by the database driver.

``statement(clause)`` compiles a clause once per dialect into SQL text, the order and conversion of
its parameters, and the type of its rows. Executing it does not run SQLAlchemy: through
``Connection.execute`` the same statements take four to five times as long.

    _FIND = statement(select(run.c.id, run.c.state).where(run.c.id == bindparam("run_id")))
    _ADD = statement(run.insert())                      # binds every column by its name
    row = tx.one(_FIND, run_id="r1"); row.state
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import BindParameter, Dialect, Insert, LargeBinary, TextClause
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import Insert as UpsertInsert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import String, TypeEngine

from services.chassis.store.columns import Json, from_driver, to_driver, to_json
from services.chassis.store.errors import ConstraintError

__all__ = ["Compiled", "Statement", "UpsertInsert", "statement", "upsert"]

Params = dict[str, Any]
Convert = Callable[[Any], Any]
MakeRow = Callable[[Sequence[Any]], Any]


class _ConstantsInline(SQLCompiler):
    """Writes the constants of a clause into its text; only ``bindparam`` stays a parameter.

    The planner uses a partial index ``WHERE state = 0`` for ``state = 0`` but not for
    ``state = ?``, for which SQLite scans the table.
    """

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **options: Any) -> Any:
        if _is_literal(bindparam):
            options["literal_binds"] = True
        return super().visit_bindparam(bindparam, *args, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy


def _is_literal(bind: BindParameter[Any]) -> bool:
    is_given = not bind.required and bind.value is not None and bind.callable is None
    return is_given and not bind.expanding and not isinstance(bind.type, LargeBinary)


class _SqliteCompiler(_ConstantsInline, SQLiteCompiler):
    pass


class _PostgresqlCompiler(_ConstantsInline, PGCompiler_psycopg):
    pass


_SQLITE: Dialect = sqlite.dialect(paramstyle="qmark")
# PostgreSQL's own numbered parameters: the driver then does not parse the text for placeholders.
_POSTGRESQL: Dialect = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy
_POSTGRESQL._backslash_escapes = False  # type: ignore[attr-defined]  # noqa: SLF001  # its default is for servers before 9.1
_SQLITE.statement_compiler = _SqliteCompiler
_POSTGRESQL.statement_compiler = _PostgresqlCompiler


class Compiled:
    """One statement in one dialect.

    Attributes:
        text: SQL with positional parameters.
        bind: Returns named parameters in positional order; may change its argument. Raises
            ConstraintError for text with NUL, which PostgreSQL cannot store.
        row: Converts a driver row to a named tuple.
    """

    __slots__ = ("bind", "row", "text")

    def __init__(self, compiled: SQLCompiler, row: MakeRow) -> None:
        self.text = compiled.string
        self.bind = _binder(compiled)
        self.row = row


class Statement:
    """A clause, compiled for SQLite at once and for PostgreSQL at first use.

    Attributes:
        is_change: Whether it is an INSERT, UPDATE or DELETE.
        locks: Whether it has FOR UPDATE, which locks the selected rows on PostgreSQL.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self.is_change = isinstance(clause, UpdateBase)
        self.locks = getattr(clause, "_for_update_arg", None) is not None
        self._row = _row_maker(clause)
        self.sqlite = self._compile(_SQLITE)

    @cached_property
    def postgresql(self) -> Compiled:
        return self._compile(_POSTGRESQL)

    def __repr__(self) -> str:
        return f"<Statement {self.sqlite.text!r}>"

    def _compile(self, dialect: Dialect) -> Compiled:
        return Compiled(cast(SQLCompiler, self._clause.compile(dialect=dialect)), self._row)


def statement(clause: ClauseElement) -> Statement:
    """Compile ``clause``; call it once, at import.

    A row's fields have the names of the columns or their ``label``; a repeated name gets a suffix
    (``id``, ``id_1``). Values in the clause are constants; use ``bindparam("name")`` for values
    that change. For ON CONFLICT begin with ``upsert(table)``.

    Raises:
        TypeError: The clause differs between the engines or cannot be compiled once: an IN over
            a list, an unlabelled expression, a column type outside ``columns``.
    """
    if isinstance(clause, ExecutableDDLElement):
        raise TypeError(f"DDL belongs in a migration: {clause}")
    if isinstance(clause, sqlite.Insert):
        raise TypeError("use statement.upsert: sqlite.insert does not compile on PostgreSQL")
    if isinstance(clause, Insert) and not len(clause.exported_columns):
        clause = clause.inline()  # prevents an implicit RETURNING of the primary key
    return Statement(clause)


def _binder(compiled: SQLCompiler) -> Callable[[Params], tuple[Any, ...]]:
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise TypeError(f"IN over a list is not compiled once; use json_each: {compiled.string}")
    order = tuple(compiled.positiontup or ())
    binds = {name: compiled.binds[name] for name in order}
    constants = {name: _constant(bind) for name, bind in binds.items() if not bind.required}
    converts = [
        (name, convert)
        for name, bind in binds.items()
        if bind.required and (convert := to_driver(bind.type)) is not None
    ]
    structured = [name for name, bind in binds.items() if isinstance(bind.type, Json)]
    check = _checker(binds, compiled.string)
    pick = _picker(order)

    def bind(params: Params) -> tuple[Any, ...]:
        check(params)
        return pick(params)

    def bind_converted(params: Params) -> tuple[Any, ...]:
        check(params)
        for name, convert in converts:
            value = params[name]
            if value is not None:
                params[name] = convert(value)
        for name in structured:
            params[name] = to_json(params[name])
        params |= constants
        return pick(params)

    return bind_converted if converts or structured or constants else bind


def _checker(binds: Mapping[str, BindParameter[Any]], text: str) -> Callable[[Params], None]:
    wanted = frozenset(name for name, bind in binds.items() if bind.required)
    texts = [name for name in wanted if isinstance(binds[name].type, String)]

    def check(params: Params) -> None:
        if params.keys() != wanted:
            raise _mismatch(wanted, params, text)
        for name in texts:
            value = params[name]
            if isinstance(value, str) and "\0" in value:
                raise ConstraintError(
                    f"text must not hold NUL, which PostgreSQL cannot store: {name}"
                )

    return check


def _picker(order: tuple[str, ...]) -> Callable[[Params], tuple[Any, ...]]:
    if len(order) > 1:
        return itemgetter(*order)
    if order:
        (only,) = order
        return lambda params: (params[only],)
    return lambda _params: ()


def _constant(bind: BindParameter[Any]) -> Any:
    if bind.callable is not None:
        raise TypeError(f"parameter {bind.key} is computed per call; pass it as a bindparam")
    convert = to_driver(bind.type)
    return bind.value if convert is None or bind.value is None else convert(bind.value)


def _mismatch(wanted: frozenset[str], given: Params, text: str) -> TypeError:
    missing = sorted(wanted - given.keys())
    surplus = sorted(given.keys() - wanted)
    return TypeError(f"parameters missing {missing}, not wanted {surplus}: {text}")


def _row_maker(clause: ClauseElement) -> MakeRow:
    if isinstance(clause, TextClause):
        return tuple
    columns = _columns_of(clause)
    row_type = namedtuple("Row", [name for name, _ in columns])  # type: ignore[misc]  # run-time fields
    named: MakeRow = partial(tuple.__new__, row_type)
    converts = [
        (index, convert)
        for index, (_, type_) in enumerate(columns)
        if (convert := from_driver(type_)) is not None
    ]
    return _converting(named, converts) if converts else named


def _converting(named: MakeRow, converts: Sequence[tuple[int, Convert]]) -> MakeRow:
    def row(raw: Sequence[Any]) -> Any:
        values = list(raw)
        for index, convert in converts:
            value = values[index]
            if value is not None:
                values[index] = convert(value)
        return named(values)

    return row


def _columns_of(clause: ClauseElement) -> list[tuple[str, TypeEngine[Any]]]:
    try:
        columns = [(name, column.type) for name, column in clause.exported_columns.items()]  # type: ignore[attr-defined]  # queries and changes have it
    except AttributeError as error:
        raise TypeError(f"label every column that is an expression: {clause}") from error
    for name, _ in columns:
        if not name.isidentifier() or name.startswith("_"):
            raise TypeError(f"label column {name!r}: {clause}")
    return columns
