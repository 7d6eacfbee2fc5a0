"""What a store can say beside ``StoreUnavailableError``."""

from __future__ import annotations

from services.chassis.errors import Retry, StoreUnavailableError


class ConstraintError(Exception):
    """The database refused a value: unique, foreign key, check, not-null or type rule.

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
