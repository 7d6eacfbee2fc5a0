"""The changes of a tenant's tickets: which ones there are, and the items of their stream.

Each change gets the next sequence of the tenant, in the transaction that makes it. A ticket keeps
the sequence of its newest change only: who reads late gets a ticket once, as it is then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.chassis.caller import Caller
from services.runcontrol.core.errors import CursorOutOfRangeError
from services.runcontrol.core.excerpts import ShownTicket
from services.runcontrol.core.exchange import Ticket, TicketState
from services.runcontrol.core.subscribing import RunHeartbeat, RunReconnect

# A frame is held in memory for as long as its reader does not take it.
MAX_FRAME_TICKETS = 16


@dataclass(frozen=True, slots=True)
class OpenTickets:
    """Tickets that were open when the stream began."""

    tickets: tuple[ShownTicket, ...]


@dataclass(frozen=True, slots=True)
class OpenTicketsEnd:
    """All ``count`` open tickets were given; what follows changed after ``seq``."""

    seq: int
    count: int


@dataclass(frozen=True, slots=True)
class ShownChange:
    """A ticket as it is, and the sequence of its newest change."""

    seq: int
    shown: ShownTicket


@dataclass(frozen=True, slots=True)
class TicketChanges:
    changes: tuple[ShownChange, ...]


TicketItem: TypeAlias = OpenTickets | OpenTicketsEnd | TicketChanges | RunHeartbeat | RunReconnect


class TicketStreams(Protocol):
    def follow(self, caller: Caller, after: int | None) -> AsyncGenerator[TicketItem, None]:
        """Yield the tickets of the caller's tenant: the open ones, then each as it changes.

        Args:
            after: The sequence of the last change that the subscriber has received; None = begin
                with the open tickets.

        Raises:
            CursorOutOfRangeError: The cursor is beyond the newest change.
        """


def changed(before: Iterable[Ticket], after: Iterable[Ticket]) -> Iterator[Ticket]:
    """The tickets whose change is announced.

    That the effect of a decision has started is not: the decision was.
    """
    were: Mapping[str, TicketState] = {ticket.ticket_id: ticket.state for ticket in before}
    for ticket in after:
        was = were.get(ticket.ticket_id)
        started = (was, ticket.state) == (TicketState.DECIDED, TicketState.CONSUMED)
        if ticket.state is not was and not started:
            yield ticket


def changes_after(after: int | None, head: int) -> int:
    """The sequence after which the changes of a stream begin.

    Raises:
        CursorOutOfRangeError: The cursor is beyond the newest change.
    """
    if after is not None and after > head:
        raise CursorOutOfRangeError.of(after, head)
    return head if after is None else after
