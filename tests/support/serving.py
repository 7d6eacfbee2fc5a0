"""A real server on a free port and a real channel to it, for RPC suites."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from services.chassis.access.policy import Authenticator
from services.chassis.calls.channel import open_channel
from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.chassis.server.server import RunningServer, running
from services.chassis.server.service import Build, S


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and a channel to it."""

    running: RunningServer
    channel: grpc.aio.Channel

    @property
    def port(self) -> int:
        return self.running.port

    @property
    def target(self) -> str:
        return self.running.target


@asynccontextmanager
async def serving(
    build: Build[S],
    settings: S,
    *,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    authenticator: Authenticator | None = None,
) -> AsyncIterator[Served]:
    """Serve what ``build`` makes; give ``settings`` a ``listen`` of ``127.0.0.1:0``."""
    server = running(settings, build, clock=clock, ids=ids, authenticator=authenticator)
    async with server as bound, open_channel(bound.target) as channel:
        yield Served(bound, channel)
