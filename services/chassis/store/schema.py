"""What a service keeps, for whoever prepares or looks at a database without serving from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData

from services.chassis.store.opening import SchemaState, migrate, verify


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables, and the versions that lead to them.

    Attributes:
        metadata: Every table that the service uses.
        migrations: Folder with ``versions/``.
    """

    metadata: MetaData
    migrations: Path

    def migrate(self, url: str) -> SchemaState:
        """Take the database at ``url`` to the newest version, creating it if need be; blocks.

        The state answered is that from before: ``pending`` is what was applied.

        Raises:
            StoreOwnedError: A server runs on it, and its engine allows one process.
            SchemaError: It is newer than this code, or the URL names no database.
            StoreUnavailableError: It cannot be reached.
        """
        return migrate(url, metadata=self.metadata, migrations=self.migrations)

    def verify(self, url: str) -> SchemaState:
        """Look without creating or changing anything; blocks.

        Raises:
            SchemaError: It is newer than this code or not what ``metadata`` says.
            StoreUnavailableError: It cannot be reached.
        """
        return verify(url, metadata=self.metadata, migrations=self.migrations)
