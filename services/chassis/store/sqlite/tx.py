"""The transaction of a closure on a SQLite connection, and the translation of its errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.chassis.errors import StoreUnavailableError
from services.chassis.slices import give_way
from services.chassis.store.errors import (
    RETRY_AFTER_S,
    ConstraintError,
    DatabaseLostError,
    read_too_long,
)
from services.chassis.store.port import Row
from services.chassis.store.read_only import ReadOnly
from services.chassis.store.statement import Compiled, Statement
from services.chassis.store.store_failpoints import STATEMENT

# The database did not do the work; a retry may succeed.
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Among the codes of input and output, those that say the same.
_DAMAGED_WHOLE = frozenset({"SQLITE_IOERR_CORRUPTFS", "SQLITE_IOERR_DATA"})


def translated(error: sqlite3.Error) -> Exception:
    """Return the engine-neutral error; a defect in our SQL is returned unchanged."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintError(str(error))
    if is_damage(error):
        return DatabaseLostError.of(_symbol(error))
    if _primary(error) in _UNAVAILABLE:
        return unavailable(error)
    return error


def unavailable(error: sqlite3.Error) -> StoreUnavailableError:
    return StoreUnavailableError(
        "the database did not take the work", cause=_symbol(error), retry_after_s=RETRY_AFTER_S
    )


def is_damage(error: sqlite3.Error) -> bool:
    return _primary(error) in _DAMAGED or _symbol(error) in _DAMAGED_WHOLE


def _primary(error: sqlite3.Error) -> int:
    """The code without its extension."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _symbol(error: sqlite3.Error) -> str:
    # The driver's message can hold file names; the name of its error code cannot.
    return str(getattr(error, "sqlite_errorname", "SQLITE_ERROR"))


def _bound(compiled: Compiled, rows: Iterable[Mapping[str, object]]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        give_way()
        yield compiled.bind(dict(row))


class _EndedCursor:
    """Replaces the cursor of a transaction that has ended."""

    def execute(self, *_: object) -> sqlite3.Cursor:
        raise RuntimeError("a transaction was used after its closure returned")

    executemany = execute


_ENDED = _EndedCursor()


class SqliteTx:
    """Implements ``port.Tx`` on a cursor shared by the closures of one connection.

    Attributes:
        doomed: The first database error; the closure fails even if it catches this error.
        notified: Channels to notify after the commit.
    """

    __slots__ = ("_cursor", "doomed", "notified")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor: sqlite3.Cursor | _EndedCursor = cursor
        self.doomed: sqlite3.Error | None = None
        self.notified: set[str] = set()

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        compiled = statement.sqlite
        raw = self._execute(compiled.text, compiled.bind(params)).fetchone()
        return None if raw is None else compiled.row(raw)

    def all(self, statement: Statement, /, **params: object) -> list[Row]:
        compiled = statement.sqlite
        return list(map(compiled.row, self._execute(compiled.text, compiled.bind(params))))

    def run(self, statement: Statement, /, **params: object) -> None:
        compiled = statement.sqlite
        self._execute(compiled.text, compiled.bind(params))

    def changed(self, statement: Statement, /, **params: object) -> int:
        compiled = statement.sqlite
        return self._execute(compiled.text, compiled.bind(params)).rowcount

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        compiled = statement.sqlite
        bound = _bound(compiled, rows)
        if STATEMENT.armed is not None:
            for each in bound:
                self._execute(compiled.text, each)
            return
        try:
            self._cursor.executemany(compiled.text, bound)
        except sqlite3.Error as error:
            self._doom(error)
            raise

    def notify(self, channel: str) -> None:
        self.notified.add(channel)

    def lock(self, name: str) -> None:
        """Do nothing: SQLite has one writer."""

    def end(self) -> None:
        """Refuse all later use: another closure uses the cursor next."""
        self._cursor = _ENDED

    def _execute(self, text: str, params: tuple[Any, ...]) -> sqlite3.Cursor:
        if STATEMENT.armed is not None:
            STATEMENT.reach()
        try:
            return self._cursor.execute(text, params)
        except sqlite3.Error as error:
            self._doom(error)
            raise

    def _doom(self, error: sqlite3.Error) -> None:
        self.doomed = self.doomed or error


class SqliteReadTx(ReadOnly, SqliteTx):
    """A read transaction that fails after ``deadline_s`` (``time.monotonic``): it pins the WAL."""

    __slots__ = ("_deadline_s",)

    def __init__(self, cursor: sqlite3.Cursor, deadline_s: float) -> None:
        super().__init__(cursor)
        self._deadline_s = deadline_s

    def _execute(self, text: str, params: tuple[Any, ...]) -> sqlite3.Cursor:
        # The connection's progress handler stops a single long statement.
        if time.monotonic() > self._deadline_s:
            raise read_too_long()
        return super()._execute(text, params)
