"""Outages of a server: how long one lasts, and when to try again."""

from __future__ import annotations

import grpc

from services.chassis.calls.rpc_status import reason_of
from services.chassis.clock import Clock

_FIRST_PAUSE_S = 0.1


_LONGEST_PAUSE_S = 2.0


# A server that never answered was perhaps never started.
GIVE_UP_FIRST_S = 10.0


class Outage:
    """How long a server has been unreachable, and the pause before the next attempt.

    Attributes:
        answered: Whether the server ever answered.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._pause_s = _FIRST_PAUSE_S
        self.answered = False

    def begins(self) -> bool:
        """Note a failure; True for the first since the server answered."""
        first = self._since_s is None
        if first:
            self._since_s = self._clock.monotonic_s()
        return first

    def over(self) -> None:
        self._since_s = None
        self._pause_s = _FIRST_PAUSE_S
        self.answered = True

    def lasted_s(self) -> float:
        now_s = self._clock.monotonic_s()
        return now_s - (now_s if self._since_s is None else self._since_s)

    async def pause(self) -> None:
        await self._clock.sleep(self._pause_s)
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)


def may_recover(error: grpc.aio.AioRpcError) -> bool:
    """Whether the server may be back soon."""
    facts = reason_of(error)
    if facts.code is grpc.StatusCode.UNAVAILABLE:
        return True
    # What some platforms report when a connection breaks under a stream.
    return facts.code in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL} and not facts.reason
