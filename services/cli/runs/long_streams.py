"""Streams of run control without an end of their own, across outages and restarts of its server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

import grpc

from services.chassis.clock import Clock
from services.cli.talk.clients import Clients
from services.cli.talk.outage import GIVE_UP_FIRST_S, Outage, may_recover

T = TypeVar("T")


async def through_outages(
    stubs: Clients,
    once: Callable[[Outage], AsyncGenerator[T]],
    clock: Clock,
    on_outage: Callable[[], None],
) -> AsyncGenerator[T]:
    """The items of one stream after the other.

    Args:
        once: Opens the next stream, behind the newest item; says of each answer that the outage is
            over. A stopping server ends it with OK.
        on_outage: Called once per outage.

    Raises:
        CliError: The server refuses, or was not there when this began.
    """
    away = Outage(clock)
    while True:
        try:
            # Closed here: left to the event loop, the call would outlive the trace.
            async with aclosing(once(away)) as stream:
                async for item in stream:
                    yield item
        except grpc.aio.AioRpcError as error:
            if away.begins() and may_recover(error):
                on_outage()
            waited_enough = not away.answered and away.lasted_s() >= GIVE_UP_FIRST_S
            if not may_recover(error) or waited_enough:
                async with stubs.talking_to("runcontrol"):
                    raise
            await away.pause()
