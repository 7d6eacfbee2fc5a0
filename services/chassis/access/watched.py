"""Files that say something that may change while the process runs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from services.chassis.clock import Clock
from services.chassis.startup import StartupRefusedError

# A look costs microseconds, but it comes with every call and the disk may be far away.
LOOK_EVERY_S = 1.0

T = TypeVar("T")
_Stamp = tuple[tuple[int, int, int] | None, ...]

log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """What ``files`` say: read at once, and again when one of them has changed.

    A change that cannot be used leaves what was said before in force, and is logged once. Any
    thread may ask.

    Args:
        load: Reads the files; raises StartupRefusedError, whose text holds nothing secret.

    Raises:
        StartupRefusedError: The files cannot be used now, at the start.
    """

    def __init__(self, files: Sequence[str], load: Callable[[], T], clock: Clock) -> None:
        self._files = files
        self._load = load
        self._clock = clock
        self._asking = threading.Lock()
        # Before reading: a change in the middle of it is then seen by the next look.
        self._stamp = _stamp(files)
        self._said = load()
        self._look_at_s = clock.monotonic_s() + LOOK_EVERY_S

    def current(self) -> T:
        """What the files say; at most a second old."""
        with self._asking:
            now_s = self._clock.monotonic_s()
            if now_s >= self._look_at_s:
                self._look_at_s = now_s + LOOK_EVERY_S
                self._look()
            return self._said

    def _look(self) -> None:
        stamp = _stamp(self._files)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._said = self._load()
        except StartupRefusedError as error:
            log.error(  # noqa: TRY400  # the cause says it all
                "a file that changed cannot be used, what it said before stays in force",
                extra={"files": ", ".join(self._files), "cause": str(error)},
            )
        else:
            log.info("file read again", extra={"files": ", ".join(self._files)})


def _stamp(files: Sequence[str]) -> _Stamp:
    """Differs when a file was written, replaced, or removed."""
    return tuple(_facts(name) for name in files)


def _facts(name: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def read_text(setting: str, file: str) -> str:
    """The content of the file that a setting names.

    Raises:
        StartupRefusedError: It cannot be read.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StartupRefusedError(f"{setting}: cannot read {file}: {why}") from error
