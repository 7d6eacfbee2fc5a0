"""The stream of tickets and their lists: their sizes, heartbeats, what is announced."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

import pytest

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.drain import Drain
from services.chassis.follow.notifier import LocalNotifier
from services.runcontrol.api import read_responses
from services.runcontrol.core.errors import CursorOutOfRangeError
from services.runcontrol.core.exchange import Ticket, TicketState, VerdictKind
from services.runcontrol.core.listing import MAX_PAGE_BYTES
from services.runcontrol.core.ports import TicketFilter
from services.runcontrol.core.subscribing import MAX_FRAME_BYTES
from services.runcontrol.core.ticket_feed import OpenTicketsEnd, changed
from services.runcontrol.engine.ticket_streams import FeedTicketStreams
from tests.support.callers import LOCAL
from tests.support.waiting import until
from tests.unit.runcontrol.in_memory_runcontrol import GUARDED_SEND, InMemoryRunControl, now

BIG = '"' + "x" * 70_000 + '"'


@pytest.fixture
def system() -> InMemoryRunControl:
    """A run that waits for one approval."""
    system = InMemoryRunControl()
    system.start(GUARDED_SEND)
    return system


def streams(system: InMemoryRunControl) -> FeedTicketStreams:
    return FeedTicketStreams(system.runs, LocalNotifier(system.clock), system.clock, Drain())


def open_more(system: InMemoryRunControl, count: int, arguments_json: str) -> list[Ticket]:
    """Add open tickets with these arguments to the store."""
    known = system.ticket()
    added = [
        replace(
            known,
            ticket_id=f"more-{number:03}",
            arguments_json=arguments_json,
            created_at=known.created_at + timedelta(seconds=number + 1),
        )
        for number in range(count)
    ]
    for ticket in added:
        system.tables.tickets[ticket.tenant, ticket.ticket_id] = ticket
    return added


async def frames(
    system: InMemoryRunControl, most: int, after: int | None = None
) -> list[list[service.TicketItem]]:
    """The first frames of a stream, as they are sent."""
    found: list[list[service.TicketItem]] = []
    async with aclosing(streams(system).follow(LOCAL, after)) as items:
        async for item in items:
            answer = read_responses.ticket_item_to_pb(LOCAL.tenant, item)
            found.append(list(answer.items))
            if len(found) == most or answer.items[0].HasField("open_tickets_end"):
                return found
    raise AssertionError("the stream ended")


async def test_frames_of_large_tickets_are_small(system: InMemoryRunControl) -> None:
    # given an open ticket, and forty more with arguments of 70 KB
    added = open_more(system, 40, BIG)

    # when the open tickets are read
    *opened, (end,) = await frames(system, 100)

    # then every one came once, in frames of about 64 KiB, with the beginning of its arguments
    tickets = [item.open_ticket for frame in opened for item in frame]
    assert [each.ticket_id for each in tickets[1:]] == [each.ticket_id for each in added]
    assert end.open_tickets_end.tickets == 41
    sizes = [sum(item.ByteSize() for item in frame) for frame in opened]
    assert max(sizes) < MAX_FRAME_BYTES + 4096
    assert {len(each.arguments_json) for each in tickets[1:]} == {16_384}
    assert {each.arguments_chars for each in tickets[1:]} == {70_002}
    assert tickets[0].arguments_chars == 0


async def test_a_reader_that_stops_holds_the_beginning_of_texts_only(
    system: InMemoryRunControl,
) -> None:
    # given open tickets with arguments of 70 KB, one of which changes
    open_more(system, 16, BIG)
    async with aclosing(streams(system).follow(LOCAL, None)) as items:
        # when a reader takes them, and each change
        frames = [await anext(items)]
        while not isinstance(frames[-1], OpenTicketsEnd):
            frames.append(await anext(items))
    tickets = [each for frame in frames[:-1] for each in frame.tickets]  # type: ignore[union-attr]

    # then what is held for it has been cut
    assert len(tickets) == 17
    assert max(len(each.ticket.arguments_json) for each in tickets) == 16_384


async def test_pages_of_large_tickets_are_about_1_mib(system: InMemoryRunControl) -> None:
    # given 201 open tickets with arguments of 70 KB but one
    added = open_more(system, 200, BIG)

    # when they are listed, page by page
    wanted, pages = TicketFilter(limit=200), []
    while True:
        page = await system.runs.list_tickets(LOCAL, wanted)
        answer = read_responses.tickets_to_pb(service.ListTicketsRequest(), page)
        pages.append(answer.ByteSize())
        if page.following is None:
            break
        wanted = replace(wanted, after=page.following)

    # then each page is small, and together they have all
    assert len(pages) == 4
    assert max(pages) < MAX_PAGE_BYTES + 128 * 1024
    assert page.entries[-1] == added[-1]


@pytest.mark.parametrize("limit", [1, 19, 20, 21, 40, 41])
def test_a_page_ends_where_the_next_begins(system: InMemoryRunControl, limit: int) -> None:
    # given 41 open tickets
    open_more(system, 40, "{}")

    # when they are listed in pages of any size
    wanted, seen = TicketFilter(limit=limit), list[Ticket]()
    sizes = []
    while True:
        page = now(system.runs.list_tickets(LOCAL, wanted))
        seen += page.entries
        sizes.append(len(page.entries))
        if page.following is None:
            break
        wanted = replace(wanted, after=page.following)

    # then each has as many as it may, no page is empty, and none is missing
    assert len({each.ticket_id for each in seen}) == len(seen) == 41
    assert sizes[:-1] == [limit] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= limit


async def test_what_changes_while_the_open_tickets_are_read_comes_after_them(
    system: InMemoryRunControl,
) -> None:
    # given a reader that is reading forty open tickets, of whom it has got the first few
    open_more(system, 40, "{}")
    async with aclosing(streams(system).follow(LOCAL, None)) as items:
        first = await anext(items)

        # when the first one is decided meanwhile
        decided = system.ticket(0)
        system.decide(VerdictKind.DENY, ticket_id=decided.ticket_id)
        rest = [await anext(items) for _ in range(4)]

    # then it came as it was, and comes again as it is
    opened = [*first.tickets, *rest[0].tickets, *rest[1].tickets]  # type: ignore[union-attr]
    assert decided in [each.ticket for each in opened]
    (change,) = rest[3].changes  # type: ignore[union-attr]
    found = change.shown.ticket
    assert (found.ticket_id, found.state) == (decided.ticket_id, TicketState.DECIDED)


async def test_an_idle_stream_sends_a_heartbeat_every_ten_seconds(
    system: InMemoryRunControl,
) -> None:
    # given a reader that has seen everything
    async with aclosing(streams(system).follow(LOCAL, 1)) as items:
        # when ten seconds pass
        beat = asyncio.ensure_future(anext(items))
        await until(beat.done, lambda: system.clock.advance(0.5))
        (item,) = read_responses.ticket_item_to_pb(LOCAL.tenant, beat.result()).items

    # then a heartbeat has its cursor
    assert item.WhichOneof("item") == "heartbeat"
    assert item.heartbeat.cursor == item.cursor != b""


async def test_a_server_that_stops_says_where_to_go_on(system: InMemoryRunControl) -> None:
    # given a reader, and a server that stops
    drain = Drain()
    tickets = FeedTicketStreams(system.runs, LocalNotifier(system.clock), system.clock, drain)
    async with aclosing(tickets.follow(LOCAL, 0)) as items:
        change = await anext(items)
        drain.start()
        last = await anext(items)
        ended = [item async for item in items]

    # then its last item has the cursor behind what was sent
    (item,) = read_responses.ticket_item_to_pb(LOCAL.tenant, last).items
    (sent,) = read_responses.ticket_item_to_pb(LOCAL.tenant, change).items
    assert item.HasField("reconnect")
    assert item.cursor == item.reconnect.cursor == sent.cursor
    assert ended == []


async def test_a_cursor_beyond_the_newest_change_is_refused(system: InMemoryRunControl) -> None:
    # given one change
    # when tickets are followed behind a second one
    with pytest.raises(CursorOutOfRangeError):
        await anext(streams(system).follow(LOCAL, 2))
    # then it is refused, and behind the first it is not
    async with aclosing(streams(system).follow(LOCAL, 1)) as items:
        assert items is not None


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        (None, TicketState.OPEN, True),
        (TicketState.OPEN, TicketState.OPEN, False),
        (TicketState.OPEN, TicketState.DECIDED, True),
        (TicketState.DECIDED, TicketState.CONSUMED, False),
        (TicketState.OPEN, TicketState.CONSUMED, True),
        (TicketState.DECIDED, TicketState.VOID, True),
        (TicketState.OPEN, TicketState.VOID, True),
        (TicketState.OPEN, TicketState.EXPIRED, True),
    ],
)
def test_what_is_told_of_a_ticket(
    system: InMemoryRunControl, was: TicketState | None, becomes: TicketState, told: bool
) -> None:
    ticket = system.ticket()
    before = [] if was is None else [replace(ticket, state=was)]
    after = replace(ticket, state=becomes)
    assert list(changed(before, [after])) == ([after] if told else [])
