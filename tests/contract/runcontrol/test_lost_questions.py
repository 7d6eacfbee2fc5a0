"""Workers that were taken for lost and come back: a question is heard, and nothing else goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from services.content.model import EffectClass
from services.runcontrol.core.exchange import CallState, TicketKind, TicketState
from tests.contract.runcontrol.worker_world import World
from tests.support.memory_runcontrol import MemoryStore

LEASE_S = 15


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """A tool that executes for an hour, and must not be called twice."""
    found = World(EffectClass.AT_MOST_ONCE, MemoryStore(), effect_after_s=3_600.0)
    async with aclosing(found):
        found.begin()
        while not found.worker.to_execute:
            await found.step()
        yield found


async def come_back(world: World) -> None:
    await world.step()
    while world.next_step() != "time":
        await world.step()


@pytest.mark.parametrize("heard", [True, False], ids=["in time", "after its lease"])
async def test_a_question_that_was_cut_off_is_asked_at_the_next_connection(
    world: World, *, heard: bool
) -> None:
    # given a tool that asks, and a connection that is lost with the question
    world.ask("how much?")
    await world.be_away(1 if heard else LEASE_S + 1)
    assert world.asks is not heard

    # when the worker comes back
    await come_back(world)

    # then a person is asked what the tool asks, and nothing else
    tickets = world.system.tables.tickets.values()
    (ticket,) = (each for each in tickets if each.state is TicketState.OPEN)
    assert (ticket.kind, ticket.question) == (TicketKind.TOOL_INPUT, "how much?")
    assert world.worker.session.idle


async def test_what_still_runs_after_its_lease_stops_at_the_next_connection(world: World) -> None:
    # given a tool that runs on while its worker is taken for lost
    await world.be_away(LEASE_S + 1)
    assert world.call.state is CallState.UNKNOWN

    # when the worker comes back
    await come_back(world)

    # then it is stopped, and the person who was asked decides
    assert world.worker.to_execute == []
    assert world.worker.session.idle
    assert world.asks
