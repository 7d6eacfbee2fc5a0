"""What a store can say beside ``StoreUnavailableError``."""

from __future__ import annotations

from services.chassis.errors import Retry, StoreUnavailableError

# What callers are told to wait before they repeat: most of what keeps a database busy is over then.
RETRY_AFTER_S = 1.0


class ConstraintError(Exception):
    """A value was refused: unique, foreign key, check, not-null or type rule, or NUL in a text.

    Never meant for a caller: what a command may not do is decided by reading inside its closure.
    It ends the closure even when caught there, because on PostgreSQL the statement that failed
    has ended the transaction.
    """


class StoreOwnedError(StoreUnavailableError):
    """At start: another live process owns the database file."""

    retry = Retry.HOST_CONFIGURATION_NEEDED


class SchemaError(StoreUnavailableError):
    """At start: the schema of the database is not one that this code can serve."""

    retry = Retry.HOST_CONFIGURATION_NEEDED


class DatabaseRefusedError(StoreUnavailableError):
    """At start: the database server cannot be reached, or must not be used as it is set up."""

    retry = Retry.HOST_CONFIGURATION_NEEDED


class OutcomeUnknownError(StoreUnavailableError):
    """The connection was lost during the COMMIT: the write may have been applied or not.

    Whoever wrote under a request id repeats it, and learns what became of the first.
    """


def read_too_long() -> StoreUnavailableError:
    return StoreUnavailableError(
        "a read took longer than a hot read may",
        cause="READ_TOO_LONG",
        retry_after_s=RETRY_AFTER_S,
    )
