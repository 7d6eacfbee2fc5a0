"""Runs that are followed beside each other, and their events to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.chassis.observe import telemetry
from services.cli.base.exits import CliError
from services.cli.runs.following import Following
from services.cli.runs.showing import shown
from services.cli.runs.submit import submit
from services.cli.runs.view import RunView
from services.cli.talk.clients import Clients


class FollowedRun:
    """One run from its submit to its end, shown as it happens, in a task of its own.

    Attributes:
        seen: Its events so far.
    """

    def __init__(self, stubs: Clients, request: service_pb.SubmitRunRequest, view: RunView) -> None:
        self.seen: list[pb.Event] = []
        self.run_id = ""
        self.thread_id = ""
        self._stubs = stubs
        self._view = view
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._follow(request))

    async def _follow(self, request: service_pb.SubmitRunRequest) -> None:
        # A trace of its own, as a command of its own has.
        with telemetry.span(f"runyard run {request.agent_id}", parent=""):
            submitted = await submit(self._stubs, request)
            self.run_id, self.thread_id = submitted.run_id, submitted.thread_id
            following = Following(self._stubs, self.run_id)
            async with aclosing(following.events()) as events:
                async for event in shown(events, self._view, following.clock):
                    self.seen.append(event)
                    self._news.set()

    async def until(self, matches: Callable[[pb.Event], bool]) -> pb.Event:
        """The first event that matches, past ones included.

        Raises:
            CliError: The run ended before it.
        """
        looked_at = 0
        while True:
            for event in self.seen[looked_at:]:
                if matches(event):
                    return event
            looked_at = len(self.seen)
            if self._task.done():
                self._task.result()
                raise CliError(f"run {self.run_id} ended before what was to happen")
            await self._wait_for_news()

    async def _wait_for_news(self) -> None:
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
