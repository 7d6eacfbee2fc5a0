"""Runs that are followed beside each other, and moments of theirs to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.chassis import telemetry
from services.cli.clients import Clients
from services.cli.exits import CliError
from services.cli.following import Following
from services.cli.runs import submit
from services.cli.runview import RunView


class FollowedRun:
    """One run from its submit to its end, shown as it happens, in a task of its own.

    Attributes:
        seen: Its events so far.
    """

    def __init__(self, found: Clients, request: service_pb.SubmitRunRequest, view: RunView) -> None:
        self.seen: list[pb.Event] = []
        self.run_id = ""
        self.thread_id = ""
        self._found = found
        self._view = view
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._follow(request))

    async def _follow(self, request: service_pb.SubmitRunRequest) -> None:
        # A trace of its own, as a command of its own has.
        with telemetry.span(f"runyard run {request.agent_id}", parent=""):
            submitted = await submit(self._found, request)
            self.run_id, self.thread_id = submitted.run_id, submitted.thread_id
            async for event in Following(self._found, self.run_id).events():
                self._view.show(event)
                self.seen.append(event)
                self._news.set()

    async def until(self, moment: Callable[[pb.Event], bool]) -> pb.Event:
        """The first event that is the moment, past ones included.

        Raises:
            CliError: The run ended before it.
        """
        looked_at = 0
        while True:
            for event in self.seen[looked_at:]:
                if moment(event):
                    return event
            looked_at = len(self.seen)
            if self._task.done():
                self._task.result()
                raise CliError(f"run {self.run_id} ended before what was to happen")
            await self._something()

    async def _something(self) -> None:
        self._news.clear()
        waiting = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def completed(self) -> str:
        """Its answer.

        Raises:
            CliError: It ended without one.
        """
        await self._task
        if self._view.finished is None or not self._view.completed:
            raise CliError(f"run {self.run_id} did not complete", reason="RUN_NOT_COMPLETED")
        return self._view.finished.output_text

    async def leave(self) -> None:
        """Stop following; the run goes on."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
