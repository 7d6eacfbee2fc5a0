"""What the errors of PostgreSQL mean for a transaction and for its caller."""

from __future__ import annotations

import re
from enum import Enum

import psycopg

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import RETRY_AFTER_S, ConstraintError

_REPEATABLE = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_CANCELED = "57014"
_LOCKED = "55P03"
# The server ends the connection: shutdowns, a dropped database, a transaction that sat idle.
_ENDS_CONNECTION = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03"})
_READ_ONLY = "25006"  # a standby took the place of the server, or a read tried to write
_CONSTRAINT_CLASSES = frozenset({"22", "23"})
# Connections, resources, prerequisites, operators, the system, defects of the server.
_UNAVAILABLE_CLASSES = frozenset({"08", "40", "53", "55", "57", "58", "XX"})
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Failure(Enum):
    """What a transaction that failed can do next."""

    CONFLICT = "conflict"
    """Undone in favour of another one: run it again, soon."""
    CONNECTION = "connection"
    """Gone with its connection: connect again, then run it again."""
    LOCKED = "locked"
    """Waited for a lock as long as it may: run it again where it may wait for longer."""
    FINAL = "final"
    """Would fail again: tell the caller."""


def failure(error: psycopg.Error) -> Failure:
    if error.sqlstate in _REPEATABLE:
        return Failure.CONFLICT
    if error.sqlstate == _LOCKED:
        return Failure.LOCKED
    return Failure.CONNECTION if _is_lost(error) else Failure.FINAL


def translated(error: psycopg.Error) -> Exception:
    """The engine-neutral error; an SQL mistake of ours stays what it is."""
    state = error.sqlstate or ""
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return ConstraintError(_constraint(error))
    if state[:2] in _CONSTRAINT_CLASSES:
        return ConstraintError(_constraint(error))
    if state == _READ_ONLY or state[:2] in _UNAVAILABLE_CLASSES or _is_lost(error):
        return unavailable(error)
    return error


def unavailable(error: psycopg.Error) -> StoreUnavailableError:
    return StoreUnavailableError(
        "the database did not take the work", cause=symbol(error), retry_after_s=RETRY_AFTER_S
    )


def locked_too_long() -> StoreUnavailableError:
    """What the server's own refusal is translated to."""
    return unavailable(psycopg.errors.LockNotAvailable())


def symbol(error: psycopg.Error) -> str:
    """``DEADLOCK_DETECTED``: the condition's name, without the server's words about it."""
    if error.sqlstate is None:
        return "CONNECTION_LOST"
    return _WORDS.sub("_", type(error).__name__).upper()


def was_canceled(error: psycopg.Error) -> bool:
    """By the limit on how long a statement may take, or by an operator."""
    return error.sqlstate == _CANCELED


def _is_lost(error: psycopg.Error) -> bool:
    state = error.sqlstate
    if state is None:  # not from the server, so from the driver or the network
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] == "08" or state in _ENDS_CONNECTION


def _constraint(error: psycopg.Error) -> str:
    """Which rule, and where; never the value, which the server's own words quote."""
    if error.sqlstate is None:  # the driver refuses what PostgreSQL could not hold: NUL in text
        return str(error)
    where = error.diag.constraint_name or error.diag.column_name or error.diag.table_name
    return symbol(error) if where is None else f"{symbol(error)}: {where}"
