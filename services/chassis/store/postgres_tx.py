"""A closure's view of one PostgreSQL connection."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import RawCursor

from services.chassis.store.errors import read_too_long
from services.chassis.store.port import Row
from services.chassis.store.read_only import ReadOnly
from services.chassis.store.statement import Statement

Cursor = RawCursor[tuple[Any, ...]]

_LOCK = b"SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1, 0))"


class PostgresTx:
    """Implements ``port.Tx`` on the cursor of one connection.

    Attributes:
        doomed: The first database error; a closure that swallows it fails all the same.
        rung: Channels to ring after the commit.
    """

    __slots__ = ("_cursor", "doomed", "rung")

    def __init__(self, cursor: Cursor) -> None:
        self._cursor: Cursor | None = cursor
        self.doomed: psycopg.Error | None = None
        self.rung: set[str] = set()

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        compiled = statement.postgresql
        cursor = self._execute(compiled.text, compiled.bind(params))
        raw = cursor.fetchone() if _has_rows(cursor) else None
        return None if raw is None else compiled.row(raw)

    def all(self, statement: Statement, /, **params: object) -> list[Row]:
        compiled = statement.postgresql
        cursor = self._execute(compiled.text, compiled.bind(params))
        return list(map(compiled.row, cursor.fetchall())) if _has_rows(cursor) else []

    def run(self, statement: Statement, /, **params: object) -> int:
        compiled = statement.postgresql
        return self._execute(compiled.text, compiled.bind(params)).rowcount

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        compiled = statement.postgresql
        bound = [compiled.bind(dict(row)) for row in rows]
        cursor = self._usable()
        try:
            # All of them are sent before the first answer is read.
            cursor.executemany(compiled.text, bound)
        except psycopg.Error as error:
            self._doom(error)
            raise

    def ring(self, channel: str) -> None:
        self.rung.add(channel)

    def lock(self, name: str) -> None:
        self._execute(_LOCK, (name,))

    def refuse_doomed(self) -> None:
        """Raises: psycopg.Error: The first error of the database, swallowed by the closure."""
        if self.doomed is not None:
            raise self.doomed

    def end(self) -> None:
        """Refuse every later use: the cursor now serves another closure."""
        self._cursor = None

    def _execute(self, text: str | bytes, params: tuple[Any, ...]) -> Cursor:
        cursor = self._usable()
        try:
            return cursor.execute(text, params, binary=True)
        except psycopg.Error as error:
            self._doom(error)
            raise

    def _usable(self) -> Cursor:
        if self._cursor is None:
            raise RuntimeError("a transaction was used after its closure returned")
        return self._cursor

    def _doom(self, error: psycopg.Error) -> None:
        self.doomed = self.doomed or error


def _has_rows(cursor: Cursor) -> bool:
    """False for a change without RETURNING, of which the driver would refuse to say "no rows"."""
    return cursor.rownumber is not None


class PostgresReadTx(ReadOnly, PostgresTx):
    """A read that may not outlive ``deadline_s`` (``time.monotonic``): it keeps dead rows."""

    __slots__ = ("_deadline_s",)

    def __init__(self, cursor: Cursor, deadline_s: float) -> None:
        super().__init__(cursor)
        self._deadline_s = deadline_s

    def _execute(self, text: str | bytes, params: tuple[Any, ...]) -> Cursor:
        # A single long statement is stopped by the server.
        if time.monotonic() > self._deadline_s:
            raise read_too_long()
        return super()._execute(text, params)
