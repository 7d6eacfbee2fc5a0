"""Connections to PostgreSQL: how they are set up, and how they come back after an outage."""

from __future__ import annotations

import logging
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import Connection, RawCursor
from psycopg.adapt import AdaptersMap, Buffer
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper, NumericBinaryLoader, NumericLoader

from services.chassis.store.errors import DatabaseRefusedError, SchemaError
from services.chassis.store.postgres_errors import symbol
from services.chassis.store.postgres_tx import Cursor

# More than the statements of any service, so that none is prepared twice.
_PREPARED_STATEMENTS = 1_000

# A server that vanished without a word is given up after about twenty seconds, by both sides.
_DEFAULTS: Mapping[str, str | int] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "fallback_application_name": "runyard",
    # Of several hosts the one that takes writes; one alone is waited for until it does.
    "target_session_attrs": "primary",
}
_SETTINGS: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    # A closure does no I/O: whoever sits on locks for so long is frozen, and others wait for it.
    "idle_in_transaction_session_timeout": "20s",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
}
_SET = (
    "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)"
)
# Stronger settings, which wait for standbys, stay as they are.
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)

# A password with a slash that was not escaped ends the host early, and the rest of it would be
# taken for the name of the database, which errors quote.
_SPILLED_PASSWORD = re.compile(r"\w+://[^/?]*/[^?]*@")

_LOG = logging.getLogger(__name__)


class _Number(NumericBinaryLoader):
    """A sum of integers is an integer on every engine, and an average a float."""

    def load(self, data: Buffer) -> Any:
        return _plain(super().load(data))


class _TextNumber(NumericLoader):
    def load(self, data: Buffer) -> Any:
        return _plain(super().load(data))


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


@dataclass(frozen=True, slots=True)
class SessionKind:
    """What the transactions of a connection are.

    Attributes:
        begin: How each begins.
        settings: Of the connection, by their names in PostgreSQL.
    """

    begin: bytes
    settings: Mapping[str, str]


def writing(lock_limit_s: float, statement_limit_s: float) -> SessionKind:
    """READ COMMITTED: the row of an aggregate is locked first, and then read as it is."""
    settings = {
        "default_transaction_isolation": "read committed",
        "lock_timeout": _milliseconds(lock_limit_s),
        "statement_timeout": _milliseconds(statement_limit_s),
    }
    return SessionKind(b"BEGIN", settings)


def reading(statement_limit_s: float) -> SessionKind:
    """REPEATABLE READ: one snapshot from the first statement to the last."""
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": _milliseconds(statement_limit_s),
    }
    return SessionKind(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", settings)


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def parameters(url: str) -> dict[str, Any]:
    """What libpq makes of ``url``, with our limits where it sets none.

    Raises:
        SchemaError: It cannot be read. It is not repeated: it may hold a password.
    """
    known = None
    if not _SPILLED_PASSWORD.match(url):
        with suppress(psycopg.ProgrammingError):
            known = conninfo_to_dict(url)
    if known is None:
        raise SchemaError(
            "database_url is no address of PostgreSQL; write "
            "postgresql://user:password@host:port/database, special characters escaped by %"
        )
    return {**_DEFAULTS, **known}


def connect(url: str, kind: SessionKind) -> Connection[tuple[Any, ...]]:
    """A connection that commits only what we commit; blocks.

    Raises:
        psycopg.OperationalError: It cannot be had now.
    """
    connection = psycopg.connect(**parameters(url), autocommit=True, prepare_threshold=0)
    try:
        connection.prepared_max = _PREPARED_STATEMENTS
        _adapt(connection.adapters)
        settings = {**_SETTINGS, **kind.settings}
        connection.execute(_SET, (list(settings), list(settings.values())))
        connection.execute(_DURABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def _adapt(adapters: AdaptersMap) -> None:
    # One type for every integer, whatever its size: else a statement is prepared once for each.
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_loader("numeric", _Number)
    adapters.register_loader("numeric", _TextNumber)


class Outage:
    """When a server that is away may be tried again; one for all threads of a store.

    Args:
        draw: Between two bounds; spreads the attempts of replicas that lost one server.
    """

    FIRST_S = 0.05
    LONGEST_S = 1.0

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._failures = 0
        self._next_at_s = 0.0

    def wait_s(self) -> float:
        """How long until the next attempt; 0 = now."""
        return max(0.0, self._next_at_s - time.monotonic())

    def failed(self, error: psycopg.Error) -> None:
        with self._lock:
            # Bounded: an outage of an hour has doubled it beyond what a float holds.
            longest = min(self.LONGEST_S, self.FIRST_S * 2 ** min(self._failures, 16))
            self._next_at_s = time.monotonic() + self._draw(longest / 2, longest)
            self._failures += 1
            is_first = self._failures == 1
        if is_first:
            _LOG.warning("the database is away", extra={"cause": symbol(error)})

    def over(self) -> None:
        with self._lock:
            was_away, self._failures = self._failures > 0, 0
            self._next_at_s = 0.0  # who waits for the next attempt need not any more
        if was_away:
            _LOG.info("the database is back")


class Session:
    """The connection of one thread, made anew after it was lost.

    Attributes:
        busy_since_s: When the closure that it serves began, by ``time.monotonic``; None in between.
    """

    def __init__(self, url: str, kind: SessionKind, outage: Outage) -> None:
        self._url = url
        self._kind = kind
        self._outage = outage
        self._cursor: Cursor | None = None
        self._dropping = threading.Lock()
        self.busy_since_s: float | None = None

    @property
    def is_connected(self) -> bool:
        return self._cursor is not None

    def connect(self) -> None:
        """Raises: psycopg.Error: It cannot be had now; the outage says when to try again."""
        try:
            self._cursor = RawCursor(connect(self._url, self._kind))
        except psycopg.Error as error:
            self._outage.failed(error)
            raise
        self._outage.over()

    def begin(self) -> Cursor:
        """Begin a transaction; connected sessions only.

        Raises:
            psycopg.Error: Among others when the connection was lost since it was last used.
        """
        if self._cursor is None:
            raise psycopg.OperationalError("not connected")
        return self._cursor.execute(self._kind.begin)

    def roll_back(self) -> None:
        """End what is not committed; a connection that cannot even do that is given up."""
        if self._cursor is None:
            return
        try:
            self._cursor.execute("ROLLBACK")
        except psycopg.Error:
            self.drop()

    def drop(self) -> None:
        with self._dropping:
            if self._cursor is not None:
                self._cursor.connection.close()
                self._cursor = None

    def cut(self) -> bool:
        """End the wait for an answer, from another thread; its closure sees the connection lost."""
        with self._dropping:
            if self._cursor is None:
                return False
            try:
                number = os.dup(self._cursor.connection.pgconn.socket)
                with closing(socket.socket(fileno=number)) as wire:
                    wire.shutdown(socket.SHUT_RDWR)
            except (psycopg.Error, OSError):  # it is lost already
                return False
        return True


def refused(url: str, error: psycopg.Error) -> DatabaseRefusedError:
    """Why the server of ``url`` does not let us in, and what to do; without its password."""
    known = parameters(url)
    host = str(known.get("host") or known.get("hostaddr") or "the local socket")
    database = str(known.get("dbname") or known.get("user") or "the default")
    said = " ".join(str(error).split())
    password = known.get("password")
    if password:
        said = said.replace(str(password), "***")
    return DatabaseRefusedError(
        f"database_url: PostgreSQL at {host} does not open database {database}: {said}; "
        f"{_fix(said, database)}",
        host=host,
        database=database,
    )


def _fix(said: str, database: str) -> str:
    """The server's words depend on its language; then the general advice is given."""
    if "password" in said:
        return "correct the user and the password in it"
    if "does not exist" in said and "database" in said:
        return f"create it, CREATE DATABASE {database}, or correct its name"
    if "does not exist" in said:
        return "create the role, or correct the user"
    if "standby" in said:
        return "name the primary, or all hosts"
    if "too many" in said or "slots are reserved" in said:
        return "lower database_connections or raise max_connections of the server"
    return "start the server there, or correct host and port"
