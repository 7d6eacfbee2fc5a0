"""Why a SQLite file cannot be used, in words for whoever starts the server."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from services.chassis.store.errors import DatabaseRefusedError, SchemaError

_ELSEWHERE = "or name another file in database_url"
_FULL = f"make room, {_ELSEWHERE}"
_FORBIDDEN = f"give this user the right to write there, {_ELSEWHERE}"
_READ_ONLY = f"mount the file system for writing, {_ELSEWHERE}"

_BY_ERRNO: Mapping[int, str] = {
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EISDIR: "name a file in it",
    errno.ENOTDIR: "a part of its path is a file: correct the path",
    errno.EEXIST: "a part of its path is a file: correct the path",
}
_BY_CODE: Mapping[int, str] = {
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: f"see that this user may use it and the files beside it, {_ELSEWHERE}",
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: "end the program that has it locked",
    sqlite3.SQLITE_LOCKED: "end the program that has it locked",
    sqlite3.SQLITE_IOERR: f"see the log of the operating system about the disk, {_ELSEWHERE}",
    sqlite3.SQLITE_NOLFS: f"the file system takes no large files: {_ELSEWHERE}",
    sqlite3.SQLITE_NOMEM: "give the process more memory",
}
# What SQLite says to a migration of tables that are not there, or are there already.
_OTHER_TABLES = ("no such table", "no such column", "already exists", "duplicate column")
_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})


@contextmanager
def refusing_unusable(path: Path) -> Iterator[None]:
    """Turn what the operating system or SQLite says about ``path`` into an error with a fix.

    Raises:
        DatabaseRefusedError: The file cannot be opened, read or written.
        SchemaError: It is damaged, no database, or one that the migrations do not fit.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        fix = _BY_ERRNO.get(number, "name another file in database_url")
        raise _refused(path, os.strerror(number).lower(), fix) from error
    except (sqlite3.Error, DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        refusal = _refusal(path, cause)
        if refusal is None:
            raise
        raise refusal from error


def _refusal(path: Path, cause: BaseException | None) -> Exception | None:
    """None: a defect of ours."""
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return None
    if code & 0xFF in _DAMAGED:
        return SchemaError(
            f"{path} is damaged or not a SQLite database: restore a backup, or name another file",
            path=str(path),
        )
    if code & 0xFF in _BY_CODE:
        symbol = str(getattr(cause, "sqlite_errorname", "SQLITE_ERROR"))
        return _refused(path, f"SQLite says {symbol}", _BY_CODE[code & 0xFF])
    if any(words in str(cause) for words in _OTHER_TABLES):
        return SchemaError(
            f"the migrations do not fit {path} ({cause}): is it the database of another service? "
            "name another file",
            path=str(path),
        )
    return None


def _refused(path: Path, said: str, fix: str) -> DatabaseRefusedError:
    return DatabaseRefusedError(f"{path} cannot be used, {said}: {fix}", path=str(path))
