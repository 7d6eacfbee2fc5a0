"""The errors of a store, in addition to ``StoreUnavailableError``."""

from __future__ import annotations

from services.chassis.errors import DomainError, ErrorKind, Retry, StoreUnavailableError

# The pause that callers are asked to make; most overloads of a database end sooner.
RETRY_AFTER_S = 1.0


class ConstraintError(Exception):
    """A value breaks a unique, foreign key, check, not-null or type rule, or a text holds NUL.

    It is a defect of the service, never an answer to a caller: a closure reads and decides before
    it writes. The write fails even if the closure catches it, because on PostgreSQL the failed
    statement has aborted the transaction.
    """


class StoreOwnedError(StoreUnavailableError):
    """Another live process owns the database file. Raised at start."""

    retry = Retry.HOST_CONFIGURATION_NEEDED


class SchemaError(StoreUnavailableError):
    """This code cannot serve the schema of the database. Raised at start."""

    retry = Retry.HOST_CONFIGURATION_NEEDED


class DatabaseRefusedError(StoreUnavailableError):
    """The database cannot be used as it is: out of reach, or unsafe. Raised at start.

    A server that does not answer or could lose writes; a file that cannot be opened or has links.
    """

    retry = Retry.HOST_CONFIGURATION_NEEDED


class OutcomeUnknownError(StoreUnavailableError):
    """The connection was lost during the COMMIT: the write may or may not have been applied.

    A caller that repeats the write with the same request id learns the outcome.
    """


class DatabaseLostError(DomainError):
    """The database is damaged or its file is gone: the store is read-only until opened again."""

    kind = ErrorKind.DATA_LOSS
    reason = "DATABASE_LOST"
    retry = Retry.NOT_RETRYABLE

    @classmethod
    def of(cls, cause: str) -> DatabaseLostError:
        """Build it for ``SQLITE_CORRUPT``, ``FILE_REMOVED`` and the like."""
        return cls(
            f"the database is lost ({cause}) and takes no more writes: restore it and start the "
            "server again",
            cause=cause,
        )


def read_too_long() -> StoreUnavailableError:
    return StoreUnavailableError(
        "the read took longer than its limit",
        cause="READ_TOO_LONG",
        retry_after_s=RETRY_AFTER_S,
    )
