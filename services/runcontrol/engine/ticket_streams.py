"""The tickets of a tenant: those that are open, then each as it changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from services.chassis.caller import Caller
from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.follow.feed import Draining, Idle, Items, Page, follow
from services.chassis.follow.feed_ring import FeedRings
from services.chassis.follow.notifier import Notifier
from services.runcontrol.core.excerpts import shown, ticket_bytes
from services.runcontrol.core.listing import Place
from services.runcontrol.core.model import tickets_channel
from services.runcontrol.core.ports import TicketFilter
from services.runcontrol.core.runcontrol import RunControl
from services.runcontrol.core.subscribing import RunHeartbeat, RunReconnect, fitting
from services.runcontrol.core.ticket_feed import (
    MAX_FRAME_TICKETS,
    OpenTickets,
    OpenTicketsEnd,
    ShownChange,
    TicketChanges,
    TicketItem,
    changes_after,
)


class FeedTicketStreams:
    """Implements ``TicketStreams``; keeps only a cursor per subscriber.

    The subscribers of a tenant share a ring of the changes that were read last.
    """

    def __init__(self, runs: RunControl, notifier: Notifier, clock: Clock, drain: Drain) -> None:
        self._runs = runs
        self._notifier = notifier
        self._clock = clock
        self._drain = drain
        self._rings: FeedRings[ShownChange] = FeedRings(
            seq=lambda change: change.seq,
            size_bytes=lambda change: ticket_bytes(change.shown.ticket),
        )

    async def follow(self, caller: Caller, after: int | None) -> AsyncGenerator[TicketItem, None]:
        """Tickets are yielded in frames of 64 KiB unless one alone is larger."""
        # Read before the open tickets: what changes while these are read comes after them.
        start = changes_after(after, await self._runs.ticket_head(caller))
        if after is None:
            async with aclosing(self._open(caller, start)) as opened:
                async for item in opened:
                    yield item
        async with aclosing(self._tail(caller, start)) as items:
            async for item in items:
                yield item

    async def _open(self, caller: Caller, head: int) -> AsyncGenerator[TicketItem, None]:
        place: Place | None = TicketFilter.BEGINNING
        count = 0
        while place is not None:
            wanted = TicketFilter(limit=MAX_FRAME_TICKETS, after=place)
            page = await self._runs.list_tickets(caller, wanted)
            count += len(page.entries)
            # Cut at once: a reader that stops holds its frame.
            left = tuple(map(shown, page.entries))
            place = page.following
            del page
            while left:
                fits = fitting([ticket_bytes(each.ticket) for each in left])
                yield OpenTickets(left[:fits])
                left = left[fits:]
        yield OpenTicketsEnd(head, count)

    async def _tail(self, caller: Caller, after: int) -> AsyncGenerator[TicketItem, None]:
        async def load(cursor: int) -> Page[ShownChange]:
            feed = await self._runs.ticket_changes(caller, cursor, MAX_FRAME_TICKETS)
            more = len(feed.changes) == MAX_FRAME_TICKETS
            changes = [ShownChange(each.seq, shown(each.ticket)) for each in feed.changes]
            return Page(changes, changes[-1].seq if more else feed.head, more=more)

        channel = tickets_channel(caller.tenant)
        with (
            self._notifier.signal(channel) as signal,
            self._rings.joined(channel, load) as read,
        ):
            feed = follow(read, signal, after=after, drain=self._drain, clock=self._clock)
            async with aclosing(feed):
                async for each in feed:
                    for item in self._items(each):
                        yield item

    def _items(self, each: Items[ShownChange] | Idle | Draining) -> Iterator[TicketItem]:
        match each:
            case Items(changes):
                left = tuple(changes)
                while left:
                    fits = fitting([ticket_bytes(change.shown.ticket) for change in left])
                    yield TicketChanges(left[:fits])
                    left = left[fits:]
            case Idle(seq):
                yield RunHeartbeat(seq, self._clock.now())
            case Draining(seq):
                yield RunReconnect(seq)
