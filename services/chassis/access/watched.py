"""Files that are reloaded when they change while the process runs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from services.chassis.clock import Clock
from services.chassis.startup import StartupRefusedError

# A check costs microseconds, but every call makes one, and the disk may be remote.
LOOK_EVERY_S = 1.0

T = TypeVar("T")
_Stamp = tuple[tuple[int, int, int] | None, ...]

log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """The loaded content of ``files``: loaded at once, and again after a change. Thread-safe.

    If a changed file is unusable, the previous content stays in use, and the error is logged once.

    Args:
        load: Loads the files; raises StartupRefusedError, whose text must not hold secrets.

    Raises:
        StartupRefusedError: The files are unusable at the start.
    """

    def __init__(self, files: Sequence[str], load: Callable[[], T], clock: Clock) -> None:
        self._files = files
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        # Taken before loading, so that the next check notices a change during the load.
        self._stamp = _stamp(files)
        self._content = load()
        self._look_at_s = clock.monotonic_s() + LOOK_EVERY_S

    def current(self) -> T:
        """Return the content; it is at most ``LOOK_EVERY_S`` behind the files."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s >= self._look_at_s:
                self._look_at_s = now_s + LOOK_EVERY_S
                self._look()
            return self._content

    def _look(self) -> None:
        stamp = _stamp(self._files)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._content = self._load()
        except StartupRefusedError as error:
            log.error(  # noqa: TRY400  # the cause is enough
                "a changed file is unusable, its previous content stays in use",
                extra={"files": ", ".join(self._files), "cause": str(error)},
            )
        else:
            log.info("file read again", extra={"files": ", ".join(self._files)})


def _stamp(files: Sequence[str]) -> _Stamp:
    """Return a value that changes when a file is written, replaced or removed."""
    return tuple(_facts(name) for name in files)


def _facts(name: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def read_text(setting: str, file: str) -> str:
    """Return the content of the file that a setting names.

    Raises:
        StartupRefusedError: The file cannot be read.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StartupRefusedError(f"{setting}: cannot read {file}: {why}") from error
