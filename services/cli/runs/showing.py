"""Shows events as they come, and what a view holds once its time has passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.chassis.clock import Clock
from services.cli.runs.quiet import HOLD_S


class View(Protocol):
    def show(self, event: pb.Event) -> None: ...

    @property
    def holds(self) -> bool:
        """Whether something waits to be shown."""

    def release(self) -> None:
        """Show what waits."""


async def shown(
    events: AsyncGenerator[pb.Event], view: View, clock: Clock
) -> AsyncGenerator[pb.Event]:
    """Each event once it was given to the view."""
    coming: asyncio.Future[Any] | None = None
    held: asyncio.Future[Any] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events, None))
            if view.holds:
                held = held or asyncio.ensure_future(clock.sleep(HOLD_S))
            waits = {each for each in (coming, held) if each is not None}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if held is not None and (held.done() or not view.holds):
                held.cancel()
                held = None
                view.release()
            if coming.done():
                event, coming = coming.result(), None
                if event is None:
                    return
                view.show(event)
                yield event
    finally:
        waits = {each for each in (coming, held) if each is not None}
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        view.release()
