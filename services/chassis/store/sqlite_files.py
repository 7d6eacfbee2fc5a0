"""The files of a SQLite store: where, how private, whose."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from services.chassis.store.errors import SchemaError, StoreOwnedError

_PREFIX = "sqlite:///"
# Before 3.38 there is no STRICT, no RETURNING or no built-in json_each.
_OLDEST = (3, 38, 0)
_BUSY_TIMEOUT_MS = 5_000
_CACHED_STATEMENTS = 1_024
# 16 MiB of 4 KiB pages between two checkpoints; the default of 1000 stalls commits more often.
_CHECKPOINT_PAGES = 4_000


def database_path(url: str) -> Path:
    """The file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names.

    Raises:
        SchemaError: Another engine, or no file: a store in memory would not be durable.
    """
    path = url.removeprefix(_PREFIX)
    if not url.startswith(_PREFIX) or path in {"", ":memory:"}:
        raise SchemaError(f"database url must look like {_PREFIX}/path/to/file.db", url=url)
    return Path(path)


def create_private(path: Path) -> None:
    """Create the database file with its folders, readable by the owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The -wal and -shm files take the mode of this one.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


@contextmanager
def owner_lock(path: Path) -> Iterator[None]:
    """Own ``path`` until the context or the process ends, however it ends.

    Raises:
        StoreOwnedError: A live process owns it.
    """
    lock_path = path.with_name(path.name + ".lock")
    lock = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _owned(path, os.pread(lock, 32, 0).decode(errors="replace")) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        # The file stays: removing it would let two owners lock two files of one name.
        os.close(lock)


def _owned(path: Path, owner: str) -> StoreOwnedError:
    return StoreOwnedError(
        f"{path} is in use by process {owner or 'unknown'}; stop that process, or give this one "
        "a database of its own",
        path=str(path),
        owner_pid=owner,
    )


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes and checkpoints, and the only one that does either."""
    connection = _connect(path)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=1",  # macOS: fsync alone leaves the data in the drive's cache
        "foreign_keys=1",
        "temp_store=MEMORY",  # undo pages of a savepoint: a file costs a fifth of the work
        f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    for pragma in READER_PRAGMAS:
        connection.execute(pragma)
    return connection


# SQLite before 3.51.3 can corrupt a WAL that two connections checkpoint at once.
READER_PRAGMAS = ("PRAGMA query_only=1", "PRAGMA wal_autocheckpoint=0")


def file_uri(path: Path, mode: str = "mode=rw") -> str:
    """``rw`` by default: no connection creates a file that ``create_private`` has not."""
    return f"file:{quote(str(path))}?{mode}"


def _connect(path: Path) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < _OLDEST:
        raise SchemaError("SQLite 3.38 or newer is needed", version=sqlite3.sqlite_version)
    return sqlite3.connect(
        file_uri(path),
        uri=True,
        timeout=_BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,  # every BEGIN is ours
        check_same_thread=False,  # opened here, used by its own thread
        cached_statements=_CACHED_STATEMENTS,
    )
