"""A bounded file of spans: segments that are only appended to, the oldest of which is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from services.cli.traces.spans import SpanRecord, from_line, to_line

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENTS = 8

_SUFFIX = ".jsonl"


def spans_folder(data: Path) -> Path:
    """Where the ring is in the data folder of a stack."""
    return data / "spans"


class SpanRing:
    """The writer; there is one per folder. Closing it leaves the file to be read.

    Args:
        segments: Kept at the same time; the ring is at most ``segments`` times ``segment_bytes``
            and one request long.
    """

    def __init__(
        self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, segments: int = SEGMENTS
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segments = segments
        # After the segments of an earlier writer, whose last line may be cut off.
        self._number = max((_number(path) for path in _segments(folder)), default=0)
        self._open = self._next()

    def append(self, spans: Iterable[SpanRecord]) -> int:
        """Write ``spans`` out to the operating system; answer how many."""
        lines = [to_line(span) for span in spans]
        if lines:
            if self._open.tell() >= self._segment_bytes:
                self._open.close()
                self._open = self._next()
            self._open.write(b"".join(lines))
            self._open.flush()
        return len(lines)

    def close(self) -> None:
        self._open.close()

    def _next(self) -> IO[bytes]:
        self._number += 1
        for stale in _segments(self._folder)[: -(self._segments - 1) or None]:
            stale.unlink(missing_ok=True)
        return (self._folder / f"{self._number:08d}{_SUFFIX}").open("ab")


def read_ring(folder: Path) -> Iterator[SpanRecord]:
    """Every span in the ring, oldest first; also while it is being written."""
    for segment in _segments(folder):
        try:
            content = segment.read_bytes()
        except FileNotFoundError:
            continue  # dropped since it was listed
        for line in content.splitlines():
            span = from_line(line)
            if span is not None:
                yield span


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())


def _number(path: Path) -> int:
    return int(path.stem)
