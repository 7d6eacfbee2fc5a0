"""The schema of a service, for commands that migrate or verify a database without serving it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData

from services.chassis.store.migrating import SchemaState
from services.chassis.store.opening import migrate, verify


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a service and their migrations.

    Attributes:
        metadata: Every table that the service uses.
        migrations: Folder with ``versions/``.
    """

    metadata: MetaData
    migrations: Path

    def migrate(self, url: str) -> SchemaState:
        """Migrate the database at ``url``, creating a missing file; blocks.

        Returns the state before the migration: ``pending`` lists the versions applied.

        Raises:
            StoreOwnedError: A server process owns the SQLite file.
            SchemaError: The schema is newer than this code, or the URL names no database.
            StoreUnavailableError: The database cannot be reached.
        """
        return migrate(url, metadata=self.metadata, migrations=self.migrations)

    def verify(self, url: str) -> SchemaState:
        """Check the schema without creating or changing anything; blocks.

        Raises:
            SchemaError: The schema is newer than this code, or current without all of ``metadata``.
            StoreUnavailableError: The database cannot be reached.
        """
        return verify(url, metadata=self.metadata, migrations=self.migrations)
