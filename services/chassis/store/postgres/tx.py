"""The transaction of a closure on a PostgreSQL connection."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from services.chassis.slices import give_way
from services.chassis.store.errors import read_too_long
from services.chassis.store.port import Row
from services.chassis.store.postgres.wire import Call, Wire
from services.chassis.store.read_only import ReadOnly
from services.chassis.store.statement import Statement
from services.chassis.store.store_failpoints import STATEMENT

# Bounds what a large change holds in memory on both sides.
_LONGEST_PIPELINE = 500

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1, 0))"


class PostgresTx:
    """Implements ``port.Tx`` on one connection.

    The BEGIN and changes whose result is not read wait, and travel in one round trip with the next
    statement whose result is read, or with the COMMIT. So an error of such a change is raised by a
    later statement.

    Args:
        begin: Begins the transaction.

    Attributes:
        doomed: The first database error; the closure fails even if it catches this error.
        notified: Channels to notify after the commit.
        committing: The COMMIT may have been sent.
    """

    __slots__ = ("_begun", "_waiting", "_wire", "committing", "doomed", "notified")

    def __init__(self, wire: Wire, begin: str) -> None:
        self._wire: Wire | None = wire
        self._begun = False
        self.committing = False
        self._waiting: list[Call] = [wire.call(begin)]
        self.doomed: psycopg.Error | None = None
        self.notified: set[str] = set()

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        compiled = statement.postgresql
        result = self._execute(compiled.text, compiled.bind(params))
        return self._usable().row(result, compiled.row)

    def all(self, statement: Statement, /, **params: object) -> list[Row]:
        compiled = statement.postgresql
        result = self._execute(compiled.text, compiled.bind(params))
        return self._usable().rows(result, compiled.row)

    def run(self, statement: Statement, /, **params: object) -> None:
        compiled = statement.postgresql
        bound = compiled.bind(params)
        if statement.is_change:
            self._wait(compiled.text, bound)
        else:
            self._execute(compiled.text, bound)  # it might end the transaction

    def changed(self, statement: Statement, /, **params: object) -> int:
        compiled = statement.postgresql
        changed = self._execute(compiled.text, compiled.bind(params)).command_tuples
        return -1 if changed is None else changed

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        compiled = statement.postgresql
        for row in rows:
            give_way()
            self._wait(compiled.text, compiled.bind(dict(row)))

    def notify(self, channel: str) -> None:
        self.notified.add(channel)

    def lock(self, name: str) -> None:
        self._wait(_LOCK, (name,))

    def commit(self) -> None:
        """Execute what waits, and the COMMIT.

        Raises:
            psycopg.Error: Nothing was applied, unless the connection was lost while ``committing``.
        """
        if not self._begun:
            # The connection may have been lost while it was idle, and then this can be repeated.
            self._flush()
        self.committing = True
        self._waiting.append(self._usable().call("COMMIT"))
        self._flush()

    def refuse_doomed(self) -> None:
        """Raises: psycopg.Error: The first database error, which the closure caught."""
        if self.doomed is not None:
            raise self.doomed

    def refuse_ended(self) -> None:
        """Raises: RuntimeError: The closure ended the transaction itself."""
        status = self._usable().connection.pgconn.transaction_status
        if self._begun and status != TransactionStatus.INTRANS:
            raise RuntimeError("a closure ended its transaction itself")

    def end(self) -> None:
        """Refuse every later use: the connection now serves another closure."""
        self._wire = None

    def _wait(self, text: str, params: tuple[Any, ...]) -> None:
        if STATEMENT.armed is not None:
            self._execute(text, params)
            return
        self._add(text, params)
        if len(self._waiting) >= _LONGEST_PIPELINE:
            self._flush()

    def _execute(self, text: str, params: tuple[Any, ...]) -> PGresult:
        if STATEMENT.armed is not None:
            if self._waiting:
                self._flush()
            STATEMENT.reach()
        self._add(text, params)
        return self._flush()

    def _add(self, text: str, params: tuple[Any, ...]) -> None:
        try:
            self._waiting.append(self._usable().call(text, params))
        except psycopg.Error as error:
            self._doom(error)
            raise

    def _flush(self) -> PGresult:
        """Execute what waits; return the result of the last statement."""
        calls, self._waiting = self._waiting, []
        self._begun = True
        try:
            return self._usable().execute(calls)
        except psycopg.Error as error:
            self._doom(error)
            raise

    def _usable(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("a transaction was used after its closure returned")
        return self._wire

    def _doom(self, error: psycopg.Error) -> None:
        self.doomed = self.doomed or error


class PostgresReadTx(ReadOnly, PostgresTx):
    """A read transaction that fails after ``deadline_s`` (``time.monotonic``): it blocks VACUUM."""

    __slots__ = ("_deadline_s",)

    def __init__(self, wire: Wire, begin: str, deadline_s: float) -> None:
        super().__init__(wire, begin)
        self._deadline_s = deadline_s

    def _execute(self, text: str, params: tuple[Any, ...]) -> PGresult:
        # The server stops a single long statement.
        if time.monotonic() > self._deadline_s:
            raise read_too_long()
        return super()._execute(text, params)
