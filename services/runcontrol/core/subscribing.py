"""The subscription to a run or a thread: where its stream begins, and the items of the stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeAlias

from services.chassis.caller import Caller
from services.runcontrol.core.errors import CursorOutOfRangeError
from services.runcontrol.core.listing import ThreadView
from services.runcontrol.core.ports import RunView

# A frame is held in memory for as long as its reader does not take it.
MAX_FRAME_EVENTS = 64
MAX_FRAME_BYTES = 64 * 1024


class SubscribeFrom(Enum):
    """Where a stream without a cursor begins."""

    BEGINNING = 1
    SNAPSHOT = 2
    NOW = 3


@dataclass(frozen=True, slots=True)
class SubscribeCommand:
    """What to follow, and from where.

    Attributes:
        of_id: The run or the thread.
        after: The sequence of the last event that the subscriber has received; None = no cursor,
            ``start`` decides.
    """

    of_id: str
    start: SubscribeFrom = SubscribeFrom.BEGINNING
    after: int | None = None

    @property
    def wants_snapshot(self) -> bool:
        return self.after is None and self.start is SubscribeFrom.SNAPSHOT


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The run as of its newest event."""

    view: RunView


@dataclass(frozen=True, slots=True)
class ThreadSnapshot:
    """The thread as of its newest event, with its running run, else its open one, else None."""

    thread: ThreadView
    run: RunView | None


@dataclass(frozen=True, slots=True)
class RunEvents:
    """Sequences and stored bytes of events, in order."""

    events: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class RunHeartbeat:
    """No event followed ``seq`` during the heartbeat interval, which ended at ``at``."""

    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class RunReconnect:
    """The last item of a server that stops: subscribe again, to continue after ``seq``."""

    seq: int


RunItem: TypeAlias = RunSnapshot | ThreadSnapshot | RunEvents | RunHeartbeat | RunReconnect


class RunStreams(Protocol):
    def follow(self, caller: Caller, command: SubscribeCommand) -> AsyncGenerator[RunItem, None]:
        """Yield the events after the start as they are committed, until the run is done.

        Raises:
            RunNotFoundError: There is no such run.
            CursorOutOfRangeError: The cursor is beyond the newest event.
        """

    def follow_thread(
        self, caller: Caller, command: SubscribeCommand
    ) -> AsyncGenerator[RunItem, None]:
        """As ``follow``, for the events of every run of a thread; it does not end by itself.

        Raises:
            ThreadNotFoundError: There is no such thread.
            CursorOutOfRangeError: The cursor is beyond the newest event.
        """


def fitting(sizes_bytes: Sequence[int]) -> int:
    """How many of the next events one frame has: as many as fit, and one that does not."""
    total_bytes = 0
    for count, size_bytes in enumerate(sizes_bytes):
        total_bytes += size_bytes
        if count and total_bytes > MAX_FRAME_BYTES:
            return count
    return len(sizes_bytes)


def start_after(command: SubscribeCommand, head: int) -> int:
    """The sequence after which a stream begins; ``head`` is that of the newest event.

    Raises:
        CursorOutOfRangeError: The cursor is beyond the newest event.
    """
    if command.after is None:
        return 0 if command.start is SubscribeFrom.BEGINNING else head
    if command.after > head:
        raise CursorOutOfRangeError.of(command.after, head)
    return command.after
