"""Server-sent events from bytes: the rules of the HTML standard, and what real servers bend.

Lines end with CRLF, LF or CR, also when a read ends between CR and LF. Events are bytes, so that a
read may end within a character. An event without its final blank line still counts at the end.
"""

from __future__ import annotations

from typing import NamedTuple

# The largest event that is read; one beyond it could not be passed on in a message either.
MAX_EVENT_BYTES = 2 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """``name`` is empty for events without one."""

    name: bytes
    data: bytes


class EventTooLargeError(Exception):
    """The server sends without ever ending an event."""


class SseParser:
    """Feed it what was read; it answers the events that are complete."""

    __slots__ = ("_after_cr", "_begun", "_data", "_data_bytes", "_name", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._begun = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take what was read, of any length.

        Raises:
            EventTooLargeError: An event is beyond ``MAX_EVENT_BYTES``.
        """
        buffer = self._tail + self._without_lf(chunk)
        if not self._begun:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._tail = buffer
                return []
            self._begun = True
            buffer = buffer.removeprefix(_BOM)
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._tail = buffer.split(b"\n")
        events: list[Event] = []
        for line in lines:
            self._take(line, events)
        if len(self._tail) + self._data_bytes > MAX_EVENT_BYTES:
            raise EventTooLargeError
        return events

    def finish(self) -> list[Event]:
        """The connection has ended: an event that lacks only its blank line is complete too."""
        events: list[Event] = []
        self._take(self._tail, events)
        self._take(b"", events)
        self._tail = b""
        return events

    def _without_lf(self, chunk: bytes) -> bytes:
        """A line feed belongs to the carriage return at the end of the read before."""
        if chunk:
            if self._after_cr and chunk[:1] == b"\n":
                chunk = chunk[1:]
            self._after_cr = chunk[-1:] == b"\r"
        return chunk

    def _take(self, line: bytes, events: list[Event]) -> None:
        if not line:
            if self._data:
                events.append(Event(self._name, b"\n".join(self._data)))
                self._data = []
                self._data_bytes = 0
            self._name = b""
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._data_bytes += len(value) + 1
        elif field == b"event":
            self._name = value.removeprefix(b" ")
