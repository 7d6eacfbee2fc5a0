"""One process owns a SQLite file, by whatever name each process knows it.

The operating system locks the file itself, so a symbolic link, a hard link and a second mount of
the folder lead to the same lock. A second lock, on ``NAME.lock`` beside the file, holds the id of
the process for the message to others, and keeps out releases that know only that lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from services.chassis.store.errors import DatabaseRefusedError, StoreOwnedError
from services.chassis.store.sqlite.refusing import refusing_unusable

# Device and inode.
FileId: TypeAlias = tuple[int, int]

# The files that this process owns. Closing any descriptor of a file drops every lock of ``fcntl``
# that the process has on it, those of SQLite included, so an owned file is not even opened again.
_OWN: set[FileId] = set()
_OPENING = threading.Lock()


@dataclass(frozen=True, slots=True)
class OwnedFile:
    """A database file that no other process uses.

    Attributes:
        path: Without symbolic links, as SQLite names the files beside it.
    """

    path: Path
    id: FileId

    def is_in_place(self) -> bool:
        """Whether the path still leads to the file: it was neither removed nor replaced."""
        return id_at(self.path) == self.id


@contextmanager
def owned(path: Path) -> Iterator[OwnedFile]:
    """Own the file at ``path``, created if missing, until the context or the process ends.

    A kill ends it too. The file and new folders are readable by their owner alone.

    Raises:
        StoreOwnedError: Another live process, or another store of this one, owns the file.
        DatabaseRefusedError: The file cannot be opened, or SQLite could lose its log.
    """
    path = Path(os.path.realpath(path))
    with refusing_unusable(path):
        file, descriptor = _opened(path)
    try:
        # After the last connection, so that this does not drop the locks of a living one.
        with _named_lock(path):
            _lock_inode(file, descriptor)
            _refuse_other_names(path, os.fstat(descriptor))
            yield file
    finally:
        os.close(descriptor)
        _OWN.discard(file.id)


def _opened(path: Path) -> tuple[OwnedFile, int]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _OPENING:
        refuse_special(path)
        if id_at(path) in _OWN:
            raise _in_use(path, str(os.getpid()))
        # SQLite gives the -wal and -shm files the mode of this one.
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        found = os.fstat(descriptor)
        file = OwnedFile(path, (found.st_dev, found.st_ino))
        _OWN.add(file.id)
        return file, descriptor


def refuse_special(path: Path) -> None:
    """Raise unless a regular file or nothing is there: to open a pipe waits for its other end.

    Raises:
        OSError: The path leads to a folder, or nowhere.
        DatabaseRefusedError: It leads to a device, a pipe or a socket.
    """
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise DatabaseRefusedError(
                f"{path} is not a regular file: name another one in database_url", path=str(path)
            )


@contextmanager
def _named_lock(path: Path) -> Iterator[None]:
    with refusing_unusable(path):
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(lock):
            raise _in_use(path, os.pread(lock, 32, 0).decode(errors="replace"))
        with refusing_unusable(path):
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        # Keep the file: after a removal, two processes could lock two files of the same name.
        os.close(lock)


def _lock_inode(file: OwnedFile, descriptor: int) -> None:
    # Elsewhere than on Linux ``flock`` collides with the locks of SQLite; there the lock by name
    # and the refusal of further names have to do.
    if sys.platform == "linux" and not _locked(descriptor):
        raise _in_use(file.path, "")
    if not file.is_in_place():
        raise DatabaseRefusedError(
            f"{file.path} was replaced while it was opened: start again", path=str(file.path)
        )


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_other_names(path: Path, found: os.stat_result) -> None:
    """SQLite keeps its log beside one name: started by another, it would not find the last writes.

    Raises: DatabaseRefusedError: The file has hard links.
    """
    if found.st_nlink > 1:
        raise DatabaseRefusedError(
            f"{path} has {found.st_nlink} names (hard links), and SQLite finds its log by only one "
            "of them: remove the others, or give this process a copy of its own",
            path=str(path),
        )


def id_at(path: Path) -> FileId | None:
    """None if nothing is there that this process may look at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _in_use(path: Path, owner: str) -> StoreOwnedError:
    by = f"process {owner}" if owner else "another process, perhaps by another name"
    return StoreOwnedError(
        f"{path} is in use by {by}; stop that process, or give this one its own database",
        path=str(path),
        owner_pid=owner,
    )
