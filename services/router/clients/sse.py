"""Parses server-sent events by the HTML standard, and tolerates what servers do differently.

Lines end with CRLF, LF or CR, also when a read ends between CR and LF. Events are bytes, so that a
read may end within a character. At the end, an event without its final blank line counts too, and
so does a JSON document among the lines: some servers put the body of an error into a stream as it
is.
"""

from __future__ import annotations

from typing import NamedTuple

# A larger event would not fit a message to the caller.
MAX_EVENT_BYTES = 2 * 1024 * 1024

_FIELD = b"data: "
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """``name`` is empty for events without one."""

    name: bytes
    data: bytes


class EventTooLargeError(Exception):
    """An event is larger than ``MAX_EVENT_BYTES``."""


class SseParser:
    """Call ``feed`` with every chunk that was read, then ``finish``."""

    __slots__ = ("_after_cr", "_bare", "_data", "_data_bytes", "_name", "_started", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._started = False
        # Within a document that has no field name.
        self._bare = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Returns the events that a chunk of any length completes.

        Raises:
            EventTooLargeError: An event is larger than ``MAX_EVENT_BYTES``.
        """
        buffer = self._tail + self._without_lf(chunk)
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._tail = buffer
                return []
            self._started = True
            buffer = buffer.removeprefix(_BOM)
        if b"\r" in buffer:
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._tail = buffer.split(b"\n")
        events: list[Event] = []
        for line in lines:
            self._take(line, events)
        # A line that is complete is judged without its field.
        if len(self._tail) + self._data_bytes > MAX_EVENT_BYTES + len(_FIELD):
            raise EventTooLargeError
        return events

    def finish(self) -> list[Event]:
        """Returns the last event when the connection has ended, if it lacks only its blank line."""
        events: list[Event] = []
        self._take(self._tail, events)
        self._take(b"", events)
        self._tail = b""
        return events

    def _without_lf(self, chunk: bytes) -> bytes:
        """Drop a line feed that belongs to the carriage return at the end of the last chunk."""
        if chunk:
            if self._after_cr and chunk[:1] == b"\n":
                chunk = chunk[1:]
            self._after_cr = chunk[-1:] == b"\r"
        return chunk

    def _take(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._end_event(events)
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._add(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.removeprefix(b" ")
        elif self._bare:
            self._add(line)
        elif line[:1] == b"{":
            if self._data:
                self._end_event(events)
            self._bare = True
            self._add(line)

    def _end_event(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(self._name, b"\n".join(self._data)))
            self._data = []
            self._data_bytes = 0
        self._name = b""
        self._bare = False

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_bytes += len(value) + 1
        if self._data_bytes > MAX_EVENT_BYTES:
            raise EventTooLargeError
