"""``runyard watch router``: the routing state as it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import grpc

from runyard.provider.v1.provider_pb2 import FailureClass
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock, SystemClock
from services.cli.base.layout import Part
from services.cli.runs.decision import words
from services.cli.runs.routing import member_line, pin_line
from services.cli.talk.clients import Clients
from services.cli.talk.outage import GIVE_UP_FIRST_S, Outage, may_recover

_OF_THE_STREAM = {"heartbeat", "reconnect"}


@dataclass
class RoutingWatch:
    """The routing state from now on, across reconnects and restarts of the router.

    Attributes:
        target_id: Only this pool or model; empty for all.
        on_outage: Called once per outage of the router.
    """

    stubs: Clients
    target_id: str
    clock: Clock = field(default_factory=SystemClock)
    on_outage: Callable[[], None] = lambda: None
    _answered: bool = False

    async def events(self) -> AsyncIterator[tuple[str, pb.RoutingEvent]]:
        """Every event, with the process that tells it; has no end of its own.

        Raises:
            CliError: The router refuses, or was not there when this began.
        """
        away = Outage(self.clock)
        while True:
            try:
                async for event in self._once(away):
                    yield event
            except grpc.aio.AioRpcError as error:
                if away.begins() and may_recover(error):
                    self.on_outage()
                waited_enough = not self._answered and away.lasted_s() >= GIVE_UP_FIRST_S
                if not may_recover(error) or waited_enough:
                    async with self.stubs.talking_to("router"):
                        raise
                await away.pause()

    async def _once(self, away: Outage) -> AsyncIterator[tuple[str, pb.RoutingEvent]]:
        request = rpc.WatchRoutingStateRequest(target_id=self.target_id)
        async with streaming(self.stubs.router.WatchRoutingState(request)) as call:
            async for frame in call:
                away.over()
                self._answered = True
                for event in frame.events:
                    if event.WhichOneof("event") not in _OF_THE_STREAM:
                        yield frame.instance_id, event


def event_line(event: pb.RoutingEvent, instance_id: str) -> list[Part]:
    """What has happened, and when."""
    return [(f"{event.event_time.ToDatetime():%H:%M:%S} ", "dim"), *_what(event, instance_id)]


def _what(event: pb.RoutingEvent, instance_id: str) -> list[Part]:
    match event.WhichOneof("event"):
        case "state_begin":
            return [("the state", "bold"), f", as process {instance_id} of the router sees it"]
        case "state_complete":
            return [("that is the state; changes follow", "bold")]
        case "member":
            return member_line(event.member)
        case "pinned":
            return pin_line(event.pinned)
        case _:
            return _done(event)


def _done(event: pb.RoutingEvent) -> list[Part]:
    match event.WhichOneof("event"):
        case "unpinned":
            pin = event.unpinned
            held = f" is no longer held on {pin.member_id}"
            return [f"{pin.pool_id}: ", (pin.session, "bold"), held]
        case "switched":
            return _switched(event.switched)
        case "reset":
            reset = event.reset
            return [f"{reset.target_id}: ", (reset.member_id, "bold"), f" was reset by {reset.by}"]
        case kind:
            return [f"something that this command does not know: {kind}"]


def _switched(switched: pb.Switched) -> list[Part]:
    why = words(FailureClass.DESCRIPTOR, switched.reason)
    if switched.skip_reason:
        why = words(pb.SkipReason.DESCRIPTOR, switched.skip_reason)
    return [
        f"{switched.target_id}: ",
        (switched.session or "a session", "bold"),
        f" goes from {switched.from_member_id} to ",
        (switched.to_member_id, "bold"),
        f" ({why})",
    ]
