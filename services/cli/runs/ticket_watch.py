"""``runyard tickets --watch``: the tickets of the tenant as they change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as rpc
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock, SystemClock
from services.cli.runs.long_streams import through_outages
from services.cli.talk.clients import Clients
from services.cli.talk.outage import Outage


@dataclass
class TicketWatch:
    """Every ticket, first those that are open, across reconnects and restarts of run control.

    Attributes:
        on_outage: Called once per outage of the server.
        cursor: Behind the newest change given; empty while the open tickets are read.
    """

    stubs: Clients
    clock: Clock = field(default_factory=SystemClock)
    on_outage: Callable[[], None] = lambda: None
    cursor: bytes = b""
    _open: set[str] = field(default_factory=set)

    async def tickets(self) -> AsyncGenerator[pb.Ticket]:
        """Each ticket as it is, when it is first seen and when it changes; has no end of its own.

        Raises:
            CliError: The server refuses, or was not there when this began.
        """
        stream = through_outages(self.stubs, self._once, self.clock, self.on_outage)
        async with aclosing(stream) as tickets:
            async for ticket in tickets:
                yield ticket

    async def _once(self, away: Outage) -> AsyncGenerator[pb.Ticket]:
        request = rpc.SubscribeTicketsRequest(after=self.cursor)
        async with streaming(self.stubs.runcontrol.SubscribeTickets(request)) as call:
            async for response in call:
                away.over()
                for item in response.items:
                    self.cursor = item.cursor
                    if item.HasField("changed_ticket"):
                        self._open.discard(item.changed_ticket.ticket_id)
                        yield item.changed_ticket
                    elif item.HasField("open_ticket") and self._is_new(item.open_ticket):
                        yield item.open_ticket

    def _is_new(self, ticket: pb.Ticket) -> bool:
        """Whether an open ticket was not given before a stream broke off."""
        known = ticket.ticket_id in self._open
        self._open.add(ticket.ticket_id)
        return not known
