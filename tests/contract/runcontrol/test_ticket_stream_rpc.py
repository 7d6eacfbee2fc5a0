"""The stream of a tenant's tickets: the open ones, then what becomes of each, over real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_approvals_rpc import APPROVE, apply_asker, open_ticket
from tests.support import clients as s
from tests.support.engines import on_both_engines, on_postgresql
from tests.support.refusals import refused

State = pb.Ticket.State


@asynccontextmanager
async def subscribed(
    channel: grpc.aio.Channel, after: bytes = b""
) -> AsyncIterator[AsyncIterator[service.TicketItem]]:
    """The items of the stream of tickets, one by one."""
    wanted = service.SubscribeTicketsRequest(after=after)
    call = RunControlServiceStub(channel).SubscribeTickets(wanted, timeout=s.CALL_TIMEOUT_S)

    async def items() -> AsyncIterator[service.TicketItem]:
        async for response in call:
            for item in response.items:
                yield item

    try:
        yield items()
    finally:
        call.cancel()
        await call.code()


async def beginning(items: AsyncIterator[service.TicketItem]) -> tuple[list[str], bytes]:
    """Ids of the tickets that are open when the stream begins, and the cursor behind them."""
    found = []
    async for item in items:
        if item.HasField("open_tickets_end"):
            assert item.open_tickets_end.tickets == len(found)
            return found, item.cursor
        assert item.cursor == b""
        found.append(item.open_ticket.ticket_id)
    raise AssertionError("the stream ended before it began")


async def change(items: AsyncIterator[service.TicketItem]) -> tuple[str, State, bytes]:
    item = await anext(items)
    return item.changed_ticket.ticket_id, item.changed_ticket.state, item.cursor


@on_both_engines
async def test_a_stream_begins_with_the_open_tickets_and_goes_on_with_what_changes(
    suite: Suite,
) -> None:
    # given two open tickets and a decided one
    await apply_asker(suite)
    old, decided, cancelled = [await open_ticket(suite, pool_id="room") for _ in range(3)]
    await suite.decide(APPROVE, ticket_id=decided.ticket_id)

    # when they are followed, while one is opened, one decided, and a run cancelled
    async with subscribed(suite.channel("runcontrol")) as items:
        opened, _ = await beginning(items)
        new = await open_ticket(suite, pool_id="room")
        first = await change(items)
        await suite.decide(APPROVE, ticket_id=old.ticket_id)
        second = await change(items)
        await suite.cancel(run_id=cancelled.run_id)
        third = await change(items)

    # then the open ones come first, oldest first, and each change after them
    assert opened == [old.ticket_id, cancelled.ticket_id]
    assert first[:2] == (new.ticket_id, State.STATE_OPEN)
    assert second[0] == old.ticket_id
    assert second[1] in (State.STATE_DECIDED, State.STATE_CONSUMED)
    assert third[:2] == (cancelled.ticket_id, State.STATE_VOID)


@on_both_engines
async def test_a_reader_goes_on_behind_its_cursor_after_a_restart(suite: Suite) -> None:
    # given a reader that has seen one ticket, and then two more and the end of the first
    await apply_asker(suite)
    seen = await open_ticket(suite, pool_id="room")
    async with subscribed(suite.channel("runcontrol")) as items:
        opened, cursor = await beginning(items)
    later = [await open_ticket(suite, pool_id="room") for _ in range(2)]
    await suite.cancel(run_id=seen.run_id)

    # when the server is restarted, and the reader comes back
    await suite.restart_runcontrol()
    async with subscribed(suite.channel("runcontrol"), cursor) as items:
        changes = [await change(items) for _ in range(3)]

    # then it gets what it has missed, once and in order, and can resume behind each
    assert opened == [seen.ticket_id]
    assert [each[:2] for each in changes] == [
        (later[0].ticket_id, State.STATE_OPEN),
        (later[1].ticket_id, State.STATE_OPEN),
        (seen.ticket_id, State.STATE_VOID),
    ]
    async with subscribed(suite.channel("runcontrol"), changes[1][2]) as items:
        assert await change(items) == changes[2]


@on_postgresql
async def test_another_server_tells_of_the_tickets_of_one(suite: Suite) -> None:
    # given a reader at a server that executes nothing
    await apply_asker(suite)
    async with (
        suite.another_runcontrol(max_concurrent_runs=0) as other,
        subscribed(other.channel) as items,
    ):
        opened, _ = await beginning(items)

        # when a run of the first server opens a ticket
        ticket = await open_ticket(suite, pool_id="room")

        # then the reader has it
        assert opened == []
        assert (await change(items))[:2] == (ticket.ticket_id, State.STATE_OPEN)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (b"nonsense", "INVALID_REQUEST"),
        (b"\x01\x00\x00\x00\x00" + bytes(8), "INVALID_REQUEST"),
    ],
    ids=["no cursor", "a cursor of another stream"],
)
async def test_a_cursor_of_something_else_is_refused(
    suite: Suite, after: bytes, reason: str
) -> None:
    # when tickets are followed behind what is no cursor of theirs
    async def follow() -> None:
        async with subscribed(suite.channel("runcontrol"), after) as items:
            await anext(items)

    # then it is refused
    assert (await refused(follow())).reason == reason
