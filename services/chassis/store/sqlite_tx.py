"""A closure's view of one SQLite connection, and what its errors mean."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Any

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import RETRY_AFTER_S, ConstraintError, read_too_long
from services.chassis.store.port import Row
from services.chassis.store.read_only import ReadOnly
from services.chassis.store.statement import Statement

# The database did not take the work; the same work may be taken later.
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
    }
)


def translated(error: sqlite3.Error) -> Exception:
    """The engine-neutral error; an SQL mistake of ours stays what it is."""
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintError(str(error))
    if (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _UNAVAILABLE:
        return unavailable(error)
    return error


def unavailable(error: sqlite3.Error) -> StoreUnavailableError:
    # The driver's words can name files; its symbol cannot.
    symbol = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    return StoreUnavailableError(
        "the database did not take the work", cause=symbol, retry_after_s=RETRY_AFTER_S
    )


class _Over:
    """Stands in for the cursor of a transaction that ended."""

    def execute(self, *_: object) -> sqlite3.Cursor:
        raise RuntimeError("a transaction was used after its closure returned")

    executemany = execute


_OVER = _Over()


class SqliteTx:
    """Implements ``port.Tx`` on a cursor shared by the closures of one connection.

    Attributes:
        doomed: The first database error; a closure that swallows it fails all the same.
        rung: Channels to ring after the commit.
    """

    __slots__ = ("_cursor", "doomed", "rung")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor: sqlite3.Cursor | _Over = cursor
        self.doomed: sqlite3.Error | None = None
        self.rung: set[str] = set()

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        compiled = statement.sqlite
        raw = self._execute(compiled.text, compiled.bind(params)).fetchone()
        return None if raw is None else compiled.row(raw)

    def all(self, statement: Statement, /, **params: object) -> list[Row]:
        compiled = statement.sqlite
        return list(map(compiled.row, self._execute(compiled.text, compiled.bind(params))))

    def run(self, statement: Statement, /, **params: object) -> int:
        compiled = statement.sqlite
        return self._execute(compiled.text, compiled.bind(params)).rowcount

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        compiled = statement.sqlite
        bound = [compiled.bind(dict(row)) for row in rows]
        try:
            self._cursor.executemany(compiled.text, bound)
        except sqlite3.Error as error:
            self._doom(error)
            raise

    def ring(self, channel: str) -> None:
        self.rung.add(channel)

    def lock(self, name: str) -> None:
        """Nothing: there is one writer."""

    def end(self) -> None:
        """Refuse every later use: the cursor now serves another closure."""
        self._cursor = _OVER

    def _execute(self, text: str, params: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._cursor.execute(text, params)
        except sqlite3.Error as error:
            self._doom(error)
            raise

    def _doom(self, error: sqlite3.Error) -> None:
        self.doomed = self.doomed or error


class SqliteReadTx(ReadOnly, SqliteTx):
    """A read that may not outlive ``deadline_s`` (``time.monotonic``): it would pin the WAL."""

    __slots__ = ("_deadline_s",)

    def __init__(self, cursor: sqlite3.Cursor, deadline_s: float) -> None:
        super().__init__(cursor)
        self._deadline_s = deadline_s

    def _execute(self, text: str, params: tuple[Any, ...]) -> sqlite3.Cursor:
        # A single long statement is stopped by the connection's progress handler.
        if time.monotonic() > self._deadline_s:
            raise read_too_long()
        return super()._execute(text, params)
