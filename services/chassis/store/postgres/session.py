"""Connections to PostgreSQL: their settings, and reconnecting after an outage."""

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
from psycopg import Connection
from psycopg.adapt import AdaptersMap, Buffer
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.types.numeric import Int8Dumper, NumericBinaryLoader, NumericLoader

from services.chassis.store.errors import DatabaseRefusedError, SchemaError
from services.chassis.store.postgres.errors import symbol
from services.chassis.store.postgres.wire import Wire

# Client and server each drop a silent connection after about 20 s.
_DEFAULTS: Mapping[str, str | int] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "fallback_application_name": "runyard",
    # Use the host that takes writes; a single host is retried until it does.
    "target_session_attrs": "primary",
}
KEEPALIVES: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
}
_SETTINGS: Mapping[str, str] = {
    **KEEPALIVES,
    # A closure does no I/O: an idle transaction belongs to a stopped process and keeps its locks.
    # They are free before the leases of that process lapse, after 15 s, and others take its work.
    "idle_in_transaction_session_timeout": "10s",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
}
SET = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)"
# Keep stronger settings, which wait for standbys.
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)

# An unescaped slash in a password ends the host too early: libpq takes the rest of the password for
# the name of the database, which error messages quote.
_SPILLED_PASSWORD = re.compile(r"\w+://[^/?]*/[^?]*@")

_LOG = logging.getLogger(__name__)


class _Number(NumericBinaryLoader):
    """Loads NUMERIC as int or float: SUM of integers is an integer on both engines."""

    def load(self, data: Buffer) -> Any:
        return _plain(super().load(data))


class _TextNumber(NumericLoader):
    def load(self, data: Buffer) -> Any:
        return _plain(super().load(data))


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


@dataclass(frozen=True, slots=True)
class SessionKind:
    """How a connection runs its transactions.

    Attributes:
        begin: The statement that begins a transaction.
        settings: Settings of the connection, by their PostgreSQL names.
    """

    begin: str
    settings: Mapping[str, str]


def writing(lock_limit_s: float, statement_limit_s: float) -> SessionKind:
    """READ COMMITTED: reads after locking an aggregate's row see its latest committed state."""
    settings = {
        "default_transaction_isolation": "read committed",
        "lock_timeout": _milliseconds(lock_limit_s),
        "statement_timeout": _milliseconds(statement_limit_s),
    }
    return SessionKind("BEGIN", settings)


def reading(statement_limit_s: float) -> SessionKind:
    """REPEATABLE READ: all statements of a transaction see one snapshot."""
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": _milliseconds(statement_limit_s),
    }
    return SessionKind("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", settings)


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def parameters(url: str) -> dict[str, Any]:
    """Parse ``url`` as libpq does, and add our defaults for parameters that it does not set.

    Raises:
        SchemaError: The URL is malformed. The text leaves it out: it may hold a password.
    """
    known = None
    if not _SPILLED_PASSWORD.match(url):
        with suppress(psycopg.ProgrammingError):
            known = conninfo_to_dict(url)
    if known is None:
        raise SchemaError(
            "database_url is not a PostgreSQL URL; write "
            "postgresql://user:password@host:port/database, special characters escaped by %"
        )
    return {**_DEFAULTS, **known}


def connect(url: str, kind: SessionKind) -> Connection[tuple[Any, ...]]:
    """Open a connection in autocommit mode; blocks.

    Raises:
        psycopg.OperationalError: The server cannot be reached or refuses the connection.
    """
    # ``Wire`` prepares the statements; the driver would deallocate them all after a ROLLBACK. And
    # it must not prepare a version of the schema, which may be several statements at once.
    connection = psycopg.connect(**parameters(url), autocommit=True, prepare_threshold=None)
    try:
        _adapt(connection.adapters)
        settings = {**_SETTINGS, **kind.settings}
        connection.execute(SET, (list(settings), list(settings.values())))
        connection.execute(_DURABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def _adapt(adapters: AdaptersMap) -> None:
    # One type for integers of all sizes: otherwise a statement is prepared once per size.
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_loader("numeric", _Number)
    adapters.register_loader("numeric", _TextNumber)


class Outage:
    """When to try an unreachable server again; all threads of a store share one.

    Args:
        draw: Returns a random number between two bounds, to spread the attempts of replicas.
    """

    FIRST_S = 0.05
    LONGEST_S = 1.0

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._failures = 0
        self._next_at_s = 0.0

    def wait_s(self) -> float:
        """Seconds until the next attempt; 0 = now."""
        return max(0.0, self._next_at_s - time.monotonic())

    def failed(self, error: psycopg.Error) -> None:
        with self._lock:
            # Limit the exponent: a long outage would overflow the float.
            longest = min(self.LONGEST_S, self.FIRST_S * 2 ** min(self._failures, 16))
            self._next_at_s = time.monotonic() + self._draw(longest / 2, longest)
            self._failures += 1
            is_first = self._failures == 1
        if is_first:
            _LOG.warning("the database cannot be reached", extra={"cause": symbol(error)})

    def ended(self) -> None:
        with self._lock:
            was_away, self._failures = self._failures > 0, 0
            self._next_at_s = 0.0  # threads that wait may connect now
        if was_away:
            _LOG.info("the database can be reached again")


class Session:
    """The connection of one thread; ``connect`` replaces a lost one.

    Attributes:
        busy_since_s: Start of the running closure, by ``time.monotonic``; None between closures.
    """

    def __init__(self, url: str, kind: SessionKind, outage: Outage) -> None:
        self._url = url
        self._kind = kind
        self._outage = outage
        self._wire: Wire | None = None
        self._dropping = threading.Lock()
        self.busy_since_s: float | None = None

    @property
    def is_connected(self) -> bool:
        return self._wire is not None

    def connect(self) -> None:
        """Raises: psycopg.Error: The attempt failed; ``Outage.wait_s`` is the pause to make."""
        try:
            self._wire = Wire(connect(self._url, self._kind))
        except psycopg.Error as error:
            self._outage.failed(error)
            raise
        self._outage.ended()

    def beginning(self) -> tuple[Wire, str]:
        """The connection, and the statement that begins a transaction on it.

        Raises:
            psycopg.Error: There is no connection.
        """
        if self._wire is None:
            raise psycopg.OperationalError("not connected")
        return self._wire, self._kind.begin

    def roll_back(self) -> None:
        """Roll back the open transaction, if any; if that fails, drop the connection."""
        self._end(b"ROLLBACK")

    def finish(self) -> None:
        """End an open read transaction; the server counts a ROLLBACK as a failure."""
        self._end(b"COMMIT")

    def _end(self, statement: bytes) -> None:
        if self._wire is None:
            return
        libpq = self._wire.connection.pgconn
        if libpq.transaction_status == TransactionStatus.IDLE:
            return
        try:
            ended = libpq.exec_(statement).status == ExecStatus.COMMAND_OK
        except psycopg.Error:
            ended = False
        if not ended:
            self.drop()

    def drop(self) -> None:
        with self._dropping:
            if self._wire is not None:
                self._wire.connection.close()
                self._wire = None

    def shut_down(self) -> bool:
        """Shut down the socket, from another thread, so that the running closure fails."""
        with self._dropping:
            if self._wire is None:
                return False
            try:
                number = os.dup(self._wire.connection.pgconn.socket)
                with closing(socket.socket(fileno=number)) as shared:
                    shared.shutdown(socket.SHUT_RDWR)
            except (psycopg.Error, OSError):  # the connection is lost already
                return False
        return True


def refused(url: str, error: psycopg.Error) -> DatabaseRefusedError:
    """An error that says why connecting to ``url`` failed and how to fix it, without password."""
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
    """Advice for a server message in English; general advice for one in another language."""
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
