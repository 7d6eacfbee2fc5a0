"""Lists of tickets: which ones a page has, and where the next one begins."""

from __future__ import annotations

from dataclasses import replace

from services.runcontrol.core.excerpts import ticket_bytes
from services.runcontrol.core.exchange import Ticket
from services.runcontrol.core.listing import MAX_PAGE_BYTES, Page, Place
from services.runcontrol.core.ports import Store, TicketFilter

# Read at a time: their arguments may be large.
_BATCH = 20


async def page_of_tickets(store: Store, tenant: str, wanted: TicketFilter) -> Page[Ticket, Place]:
    """The tickets of a page, oldest first: as many as are wanted, or about 1 MiB of them."""
    found: list[Ticket] = []
    at, size_bytes = wanted.after, 0
    while True:
        batch = await store.list_tickets(tenant, replace(wanted, after=at, limit=_BATCH))
        for ticket in batch:
            if len(found) == wanted.limit or size_bytes >= MAX_PAGE_BYTES:
                return Page(tuple(found), at)
            found.append(ticket)
            at = (ticket.created_at, ticket.ticket_id)
            size_bytes += ticket_bytes(ticket)
        if len(batch) < _BATCH:
            return Page(tuple(found))
