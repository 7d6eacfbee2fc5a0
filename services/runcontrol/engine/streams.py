"""The events of a run or a thread: those committed after a cursor, then each as it is committed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial

from services.chassis.caller import Caller
from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.follow.feed import Draining, Idle, Items, Page, follow
from services.chassis.follow.feed_ring import FeedRings
from services.chassis.follow.notifier import Notifier
from services.runcontrol.core.model import run_channel, thread_channel
from services.runcontrol.core.ports import Feed
from services.runcontrol.core.reading import Reading
from services.runcontrol.core.runcontrol import RunControl
from services.runcontrol.core.subscribing import (
    MAX_FRAME_EVENTS,
    RunEvents,
    RunHeartbeat,
    RunItem,
    RunReconnect,
    RunSnapshot,
    SubscribeCommand,
    ThreadSnapshot,
    fitting,
    start_after,
)


class FeedRunStreams:
    """Implements ``RunStreams``; keeps only a cursor per subscriber.

    The subscribers of a run share a ring of the events that were read last; those of a thread too.
    """

    def __init__(
        self, runs: RunControl, reading: Reading, notifier: Notifier, clock: Clock, drain: Drain
    ) -> None:
        self._runs = runs
        self._reading = reading
        self._notifier = notifier
        self._clock = clock
        self._drain = drain
        self._rings: FeedRings[tuple[int, bytes]] = FeedRings(
            seq=lambda event: event[0], size_bytes=lambda event: len(event[1])
        )

    async def follow(
        self, caller: Caller, command: SubscribeCommand
    ) -> AsyncGenerator[RunItem, None]:
        """Events are yielded in frames of at most 64, and of 64 KiB unless one alone is larger."""
        run_id = command.of_id
        view = await self._runs.view(caller, run_id)
        after = start_after(command, view.run.event_seq)
        if command.wants_snapshot:
            yield RunSnapshot(view)
        events = partial(self._runs.events, caller, run_id)
        async with aclosing(self._tail(run_channel(caller.tenant, run_id), events, after)) as items:
            async for item in items:
                yield item

    async def follow_thread(
        self, caller: Caller, command: SubscribeCommand
    ) -> AsyncGenerator[RunItem, None]:
        """As ``follow``, in frames of the same sizes."""
        thread_id = command.of_id
        thread, run = await self._reading.active(caller, thread_id)
        after = start_after(command, thread.thread.event_seq)
        if command.wants_snapshot:
            yield ThreadSnapshot(thread, run)
        channel = thread_channel(caller.tenant, thread_id)
        events = partial(self._reading.events, caller, thread_id)
        async with aclosing(self._tail(channel, events, after)) as items:
            async for item in items:
                yield item

    async def _tail(
        self, channel: str, events: Callable[[int, int], Awaitable[Feed]], after: int
    ) -> AsyncGenerator[RunItem, None]:
        """The items after a sequence of the log that notifies the channel."""

        async def load(cursor: int) -> Page[tuple[int, bytes]]:
            feed = await events(cursor, MAX_FRAME_EVENTS)
            newest = feed.events[-1][0] if feed.events else cursor
            return Page(feed.events, newest, feed.finished, more=newest < feed.head)

        with (
            self._notifier.signal(channel) as signal,
            self._rings.joined(channel, load) as read,
        ):
            feed = follow(read, signal, after=after, drain=self._drain, clock=self._clock)
            async with aclosing(feed):
                async for each in feed:
                    for item in self._items(each):
                        yield item

    def _items(self, each: Items[tuple[int, bytes]] | Idle | Draining) -> Iterator[RunItem]:
        match each:
            case Items(events):
                yield from _batches(events)
            case Idle(seq):
                yield RunHeartbeat(seq, self._clock.now())
            case Draining(seq):
                yield RunReconnect(seq)


def _batches(events: Sequence[tuple[int, bytes]]) -> Iterator[RunEvents]:
    """Frames of at most 64 KiB; a larger event is a frame of its own."""
    left = tuple(events)
    while left:
        count = fitting([len(body) for _, body in left])
        yield RunEvents(left[:count])
        left = left[count:]
