"""Classify the errors of PostgreSQL: retry the transaction or fail the call."""

from __future__ import annotations

import re
from enum import Enum

import psycopg

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import RETRY_AFTER_S, ConstraintError, DatabaseLostError

_REPEATABLE = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_CANCELED = "57014"
_LOCKED = "55P03"
# The server ends the connection: shutdown, dropped database, idle transaction.
_ENDS_CONNECTION = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03"})
_READ_ONLY = "25006"  # a standby answers after a failover, or a read tried to write
_DAMAGED = frozenset({"XX001", "XX002", "58P01"})  # data, index, a file that is not there
# The server answers, but takes no writes: errors of its system, and a full disk.
_NO_WRITES = frozenset({"53100", _READ_ONLY})
_SYSTEM_CLASS = "58"
_CONSTRAINT_CLASSES = frozenset({"22", "23"})
# Errors of connections, resources, object state, operators, the system, and server defects.
_UNAVAILABLE_CLASSES = frozenset({"08", "40", "53", "55", "57", "58", "XX"})
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Failure(Enum):
    """What to do after a transaction failed."""

    CONFLICT = "conflict"
    """Rolled back because of a concurrent transaction: run it again soon."""
    CONNECTION = "connection"
    """The connection is lost: reconnect and run it again."""
    LOCKED = "locked"
    """The wait for a lock reached its limit: run it again with a longer limit."""
    FINAL = "final"
    """A retry would fail too: raise the error in the caller."""


def failure(error: psycopg.Error) -> Failure:
    if error.sqlstate in _REPEATABLE:
        return Failure.CONFLICT
    if error.sqlstate == _LOCKED:
        return Failure.LOCKED
    return Failure.CONNECTION if _is_lost(error) else Failure.FINAL


def translated(error: psycopg.Error) -> Exception:
    """Return the engine-neutral error; a defect in our SQL is returned unchanged."""
    state = error.sqlstate or ""
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return ConstraintError(_constraint(error))
    if state[:2] in _CONSTRAINT_CLASSES:
        return ConstraintError(_constraint(error))
    if state in _DAMAGED:
        return DatabaseLostError.of(symbol(error))
    if state == _READ_ONLY or state[:2] in _UNAVAILABLE_CLASSES or _is_lost(error):
        return unavailable(error)
    return error


def ends_writing(error: psycopg.Error) -> bool:
    """Whether other writes will fail too, for a while or for good."""
    state = error.sqlstate or ""
    return state in _NO_WRITES or state in _DAMAGED or state[:2] == _SYSTEM_CLASS


def unavailable(error: psycopg.Error) -> StoreUnavailableError:
    return StoreUnavailableError(
        "the database did not take the work", cause=symbol(error), retry_after_s=RETRY_AFTER_S
    )


def locked_too_long() -> StoreUnavailableError:
    """The error into which the server's lock timeout is translated."""
    return unavailable(psycopg.errors.LockNotAvailable())


def symbol(error: psycopg.Error) -> str:
    """Return the condition's name, ``DEADLOCK_DETECTED``, without the server's message."""
    if error.sqlstate is None:
        return "CONNECTION_LOST"
    return _WORDS.sub("_", type(error).__name__).upper()


def was_canceled(error: psycopg.Error) -> bool:
    """Whether ``statement_timeout`` or an operator ended the statement."""
    return error.sqlstate == _CANCELED


def _is_lost(error: psycopg.Error) -> bool:
    state = error.sqlstate
    if state is None:  # the driver or the network, not the server
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] == "08" or state in _ENDS_CONNECTION


def _constraint(error: psycopg.Error) -> str:
    """Name the rule and its table or column, not the value, which the server's message quotes."""
    if error.sqlstate is None:  # the driver refuses NUL in text
        return str(error)
    where = error.diag.constraint_name or error.diag.column_name or error.diag.table_name
    return symbol(error) if where is None else f"{symbol(error)}: {where}"
