"""Following tickets over real connections: what is new of each, across restarts and outages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as rpc_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from services.cli.base.exits import CliError
from services.cli.base.terminal import Output, Terminal
from services.cli.commands.tickets import follow_tickets
from services.cli.runs.ticket_watch import TicketWatch
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import DEFAULTS
from tests.contract.cli.scripted import PassingClock, served, stream_of

Item = rpc_pb.TicketItem
Stream = Sequence[rpc_pb.TicketItem | grpc.StatusCode]

AWAY: Stream = [grpc.StatusCode.UNAVAILABLE]
GONE: Stream = [grpc.StatusCode.PERMISSION_DENIED]
END = Item(cursor=b"c0", open_tickets_end=rpc_pb.OpenTicketsEnd())


def opened(name: str) -> Item:
    return Item(open_ticket=pb.Ticket(ticket_id=name, state=pb.Ticket.STATE_OPEN, tool_id="send"))


def changed(number: int, name: str, **fields: Any) -> Item:
    ticket = pb.Ticket(ticket_id=name, tool_id="send", run_id="run-1", **fields)
    return Item(cursor=b"c%d" % number, changed_ticket=ticket)


class ScriptedRunControl(rpc.RunControlServiceServicer):
    """Answers one prepared stream per subscription and notes where each began."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = list(streams)
        self.cursors: list[bytes] = []

    async def SubscribeTickets(
        self, request: rpc_pb.SubscribeTicketsRequest, context: Any
    ) -> AsyncIterator[rpc_pb.SubscribeTicketsResponse]:
        self.cursors.append(request.after)
        async for item in stream_of(self._streams.pop(0), context):
            yield rpc_pb.SubscribeTicketsResponse(items=[item])


@asynccontextmanager
async def watching(*streams: Stream) -> AsyncIterator[tuple[TicketWatch, ScriptedRunControl]]:
    scripted = ScriptedRunControl(streams)  # type: ignore[abstract]  # no other method is called
    async with (
        served(rpc.add_RunControlServiceServicer_to_server, scripted) as address,
        connected({**DEFAULTS, "runcontrol": address}) as found,
    ):
        yield TicketWatch(found, clock=PassingClock()), scripted


async def collect(watch: TicketWatch, seen: list[tuple[str, int]]) -> None:
    async for ticket in watch.tickets():
        seen += [(ticket.ticket_id, ticket.state)]


async def test_each_ticket_comes_once_and_once_per_change_through_outages() -> None:
    # given a server that is lost while it lists the open tickets, and again after it
    seen = list[tuple[str, int]]()
    broken = [opened("a"), grpc.StatusCode.UNAVAILABLE]
    whole = [opened("a"), opened("b"), END, changed(1, "a", state=pb.Ticket.STATE_DECIDED)]
    rest = [changed(2, "b", state=pb.Ticket.STATE_VOID)]
    async with watching(broken, AWAY, whole, AWAY, rest, GONE) as (watch, scripted):
        # when the tickets are followed
        with pytest.raises(CliError):
            await collect(watch, seen)

    # then an open ticket is given once, and each change, and later streams begin behind the newest
    assert seen == [
        ("a", pb.Ticket.STATE_OPEN),
        ("b", pb.Ticket.STATE_OPEN),
        ("a", pb.Ticket.STATE_DECIDED),
        ("b", pb.Ticket.STATE_VOID),
    ]
    assert scripted.cursors == [b"", b"", b"", b"c1", b"c1", b"c2"]


async def test_a_person_sees_what_became_of_a_ticket(capsys: pytest.CaptureFixture[str]) -> None:
    # given an open ticket, one of another run, and the end of two
    decision = pb.Decision(verdict=pb.Verdict(deny=pb.Deny()), decided_by="eve")
    other = pb.Ticket(ticket_id="z", run_id="other", state=pb.Ticket.STATE_OPEN)
    stream = [
        Item(open_ticket=other),
        END,
        changed(1, "a", state=pb.Ticket.STATE_OPEN, question="why?"),
        changed(2, "a", state=pb.Ticket.STATE_CONSUMED, decision=decision),
        changed(3, "b", state=pb.Ticket.STATE_VOID, void_reason="cancelled"),
    ]
    async with watching(stream, GONE) as (watch, _):
        # when those of one run are followed
        with pytest.raises(CliError):
            await follow_tickets(watch, "run", Terminal(Output.TEXT))
    out = capsys.readouterr().out

    # then its own are shown, in order
    shown = [out.index(text) for text in ("why?", "decided: deny by eve", "void: cancelled")]
    assert shown == sorted(shown)
    assert "z" not in out.split()
