"""Following a run through reconnects and restarts of its server, without gap or duplicate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import grpc

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.runcontrol.v1.runcontrol_pb2 import Event
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock, SystemClock
from services.cli.base.exits import CliError
from services.cli.talk.clients import Clients
from services.cli.talk.outage import GIVE_UP_FIRST_S, Outage, may_recover

# A server restarts within seconds; one that takes longer has failed.
GIVE_UP_S = 60.0


@dataclass
class Following:
    """One run, from a cursor on.

    Attributes:
        cursor: Behind the newest event given; a later ``Following`` can go on from it.
        run_seq: Of the newest event given; 0 before the first.
        reconnects: How often the stream was opened again.
        on_outage: Called once per outage of the server.
    """

    stubs: Clients
    run_id: str
    cursor: bytes = b""
    clock: Clock = field(default_factory=SystemClock)
    give_up_s: float = GIVE_UP_S
    on_outage: Callable[[], None] = lambda: None
    run_seq: int = 0
    reconnects: int = 0

    async def events(self) -> AsyncGenerator[Event]:
        """Every event once and in order; ends after the run's last.

        Raises:
            CliError: The server refuses, is unreachable for too long, or left an event out.
        """
        away = Outage(self.clock)
        while True:
            try:
                # Closed here: left to the event loop, the call would outlive the trace.
                async with aclosing(self._once()) as stream:
                    async for event in stream:
                        away.over()
                        yield event
                        if event.HasField("run_finished"):
                            return
            except grpc.aio.AioRpcError as error:
                limit_s = self.give_up_s if self.run_seq else min(self.give_up_s, GIVE_UP_FIRST_S)
                if away.begins() and may_recover(error):
                    self.on_outage()
                if not may_recover(error) or away.lasted_s() >= limit_s:
                    async with self.stubs.talking_to("runcontrol"):
                        raise
                await away.pause()
            self.reconnects += 1

    async def _once(self) -> AsyncGenerator[Event]:
        """The events of one stream, which a stopping server ends with OK."""
        request = pb.SubscribeRunRequest(run_id=self.run_id, after=self.cursor)
        async with streaming(self.stubs.runcontrol.SubscribeRun(request)) as call:
            async for response in call:
                for item in response.items:
                    if item.HasField("event") and self._is_next(item.event):
                        self.cursor = item.cursor
                        yield item.event

    def _is_next(self, event: Event) -> bool:
        """False for one that was given before.

        Raises:
            CliError: An event is missing between it and the one before.
        """
        if event.run_seq <= self.run_seq:
            return False
        # A cursor of an earlier following tells no number to go on from.
        if self.run_seq and event.run_seq != self.run_seq + 1:
            raise CliError(
                f"events {self.run_seq + 1} to {event.run_seq - 1} of run {self.run_id} "
                "are missing from the stream",
                reason="EVENT_GAP",
                hint="this is a defect of the server; read the run again with: "
                f"runyard watch run {self.run_id}",
            )
        self.run_seq = event.run_seq
        return True
