"""Following a run through reconnects and restarts of its server, without gap or duplicate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import grpc

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.runcontrol.v1.runcontrol_pb2 import Event
from services.chassis.clock import Clock, SystemClock
from services.chassis.rpc_status import reason_of
from services.chassis.streaming import streaming
from services.cli.clients import Clients
from services.cli.exits import CliError

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
# A server restarts within seconds; whoever is away for longer has to be looked at.
GIVE_UP_S = 60.0
# One that was never there was perhaps never started.
GIVE_UP_FIRST_S = 10.0


@dataclass
class Following:
    """One run, from a cursor on.

    Attributes:
        cursor: Behind the newest event given; a later ``Following`` can go on from it.
        run_seq: Of the newest event given; 0 before the first.
        reconnects: How often the stream was opened again.
        told_away: Called when the server goes away, once until it is back.
    """

    found: Clients
    run_id: str
    cursor: bytes = b""
    clock: Clock = field(default_factory=SystemClock)
    give_up_s: float = GIVE_UP_S
    told_away: Callable[[], None] = lambda: None
    run_seq: int = 0
    reconnects: int = 0

    async def events(self) -> AsyncIterator[Event]:
        """Every event once and in order; ends after the run's last.

        Raises:
            CliError: The server refuses, is away for too long, or left an event out.
        """
        away = Away(self.clock)
        while True:
            try:
                async for event in self._once():
                    away.over()
                    yield event
                    if event.HasField("run_finished"):
                        return
            except grpc.aio.AioRpcError as error:
                limit_s = self.give_up_s if self.run_seq else min(self.give_up_s, GIVE_UP_FIRST_S)
                if away.begins() and is_passing(error):
                    self.told_away()
                if not is_passing(error) or away.lasted_s() >= limit_s:
                    with self.found.talking_to("runcontrol"):
                        raise
                await away.pause()
            self.reconnects += 1

    async def _once(self) -> AsyncIterator[Event]:
        """The events of one stream, which a stopping server ends with OK."""
        request = pb.SubscribeRunRequest(run_id=self.run_id, after=self.cursor)
        async with streaming(self.found.runcontrol.SubscribeRun(request)) as call:
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


class Away:
    """How long the server has been away, and the pause before it is asked again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def begins(self) -> bool:
        """Note a failure; True for the first since the server was there."""
        first = self._since_s is None
        if first:
            self._since_s = self._clock.monotonic_s()
        return first

    def over(self) -> None:
        self._since_s = None
        self._pause_s = _FIRST_PAUSE_S

    def lasted_s(self) -> float:
        now_s = self._clock.monotonic_s()
        return now_s - (now_s if self._since_s is None else self._since_s)

    async def pause(self) -> None:
        await self._clock.sleep(self._pause_s)
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)


def is_passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether the server may be back soon."""
    facts = reason_of(error)
    if facts.code is grpc.StatusCode.UNAVAILABLE:
        return True
    # How a connection that breaks under a running stream shows on some platforms.
    return facts.code in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL} and not facts.reason
