"""The files of a SQLite store: path and connections."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from services.chassis.store.errors import SchemaError

_PREFIX = "sqlite:///"
# STRICT, RETURNING and a built-in json_each all exist from 3.38 on.
_OLDEST = (3, 38, 0)
_BUSY_TIMEOUT_MS = 5_000
_CACHED_STATEMENTS = 1_024
# A checkpoint every 16 MiB of 4 KiB pages; the default, 1000 pages, stalls commits more often.
_CHECKPOINT_PAGES = 4_000


def database_path(url: str) -> Path:
    """Return the file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names.

    Raises:
        SchemaError: The URL names another engine, or no file: a memory store is not durable.
    """
    path = url.removeprefix(_PREFIX)
    if not url.startswith(_PREFIX) or path in {"", ":memory:"}:
        raise SchemaError(f"database url must look like {_PREFIX}/path/to/file.db", url=url)
    return Path(path)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the connection that writes and checkpoints; no other connection does either."""
    connection = _connect(path)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=1",  # macOS: fsync alone leaves the data in the drive's cache
        "foreign_keys=1",
        "temp_store=MEMORY",  # holds undo pages of savepoints: a file would cost 20% of throughput
        "secure_delete=1",  # what was deleted or replaced is overwritten with zeros
        f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    for pragma in READER_PRAGMAS:
        connection.execute(pragma).fetchall()
    return connection


# SQLite before 3.51.3 can corrupt a WAL that two connections checkpoint at once.
READER_PRAGMAS = (
    "PRAGMA query_only=1",
    "PRAGMA wal_autocheckpoint=0",
    # The first read opens the log, by name: now, while it is the one that the writer has open.
    "PRAGMA user_version",
)


def file_uri(path: Path, mode: str = "mode=rw") -> str:
    """Return a URI for ``path``; the default ``rw`` does not create a missing file."""
    return f"file:{quote(str(path))}?{mode}"


def _connect(path: Path) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < _OLDEST:
        raise SchemaError("SQLite 3.38 or newer is needed", version=sqlite3.sqlite_version)
    return sqlite3.connect(
        file_uri(path),
        uri=True,
        timeout=_BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,  # no implicit BEGIN
        check_same_thread=False,  # the thread that opens it is not the one that uses it
        cached_statements=_CACHED_STATEMENTS,
    )
