"""Whether the files of an open SQLite store are still where it opened them."""

from __future__ import annotations

import os
from pathlib import Path

from services.chassis.store.errors import DatabaseLostError
from services.chassis.store.sqlite.ownership import FileId, OwnedFile, id_at

# Too little for a commit of any size: then only a write tells whether there is room.
_LITTLE_ROOM_BYTES = 1024 * 1024


class DatabaseFiles:
    """The database and its log; create it when a connection has opened both."""

    def __init__(self, file: OwnedFile) -> None:
        self._path, self._id = str(file.path), file.id
        self._folder = str(file.path.parent)
        self._log_path = f"{file.path}-wal"
        self._log_id = id_at(Path(self._log_path))

    def refuse_displaced(self) -> None:
        """Raise unless both names lead to the files that are open.

        What is written to a file without a name is gone when the process ends.

        Raises:
            DatabaseLostError: A file was removed, replaced or emptied.
        """
        if _found("FILE", self._path, self._id).st_size == 0:
            raise DatabaseLostError.of("FILE_EMPTIED")
        _found("LOG", self._log_path, self._log_id)

    def has_little_room(self) -> bool:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return True
        return found.f_bavail * found.f_frsize < _LITTLE_ROOM_BYTES


def _found(name: str, path: str, known: FileId | None) -> os.stat_result:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise DatabaseLostError.of(f"{name}_REMOVED") from None
    if (found.st_dev, found.st_ino) != known:
        raise DatabaseLostError.of(f"{name}_REPLACED")
    return found
