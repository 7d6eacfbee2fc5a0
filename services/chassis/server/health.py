"""``grpc.health.v1`` that asks readiness when it answers, and whose watches end with the server.

name of a service    readiness: NOT_SERVING during the drain, and while the service is not ready
the empty name       liveness: SERVING as long as the process answers

An orchestrator sends no calls to a server that is not ready, and kills one that is not live: that
its database is away is a reason for the first alone.

The servicer of grpcio-health-checking keeps a copy of the status, and holds every watch open: one
watching balancer would make each stop take its whole grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as rpc

from services.chassis.drain import Drain
from services.chassis.server.handlers.arities import Context

# Readiness is a question asked of the service, so a watch has to repeat it.
WATCH_INTERVAL_S = 0.1

LIVENESS = ""

Status = pb.HealthCheckResponse.ServingStatus


# The capital letters are those of the RPCs.
class Health(rpc.HealthServicer):
    """Answers for the process (``""``), and for each of its services, all of these alike."""

    def __init__(self, names: Sequence[str], ready: Callable[[], bool], drain: Drain) -> None:
        self._names = (LIVENESS, *names)
        self._ready = ready
        self._drain = drain

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> Any:  # noqa: N802
        status = self._status(request.service)
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            # No reason of ours: the protocol of health checks fixes this answer.
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return pb.HealthCheckResponse(status=status)

    async def List(self, request: Any, context: Context) -> Any:  # noqa: N802
        statuses = {name: pb.HealthCheckResponse(status=self._status(name)) for name in self._names}
        return pb.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # not in the stubs

    async def Watch(  # noqa: N802
        self, request: pb.HealthCheckRequest, context: Context
    ) -> AsyncIterator[Any]:
        told = None
        while True:
            draining = self._drain.started
            status = self._status(request.service)
            if status != told:
                yield pb.HealthCheckResponse(status=status)
                told = status
            if draining:
                return
            await self._pause()

    def _status(self, service: str) -> Status:
        if service not in self._names:
            return pb.HealthCheckResponse.SERVICE_UNKNOWN
        if service == LIVENESS:
            return pb.HealthCheckResponse.SERVING
        if self._drain.started or not self._ready():
            return pb.HealthCheckResponse.NOT_SERVING
        return pb.HealthCheckResponse.SERVING

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(WATCH_INTERVAL_S):
                await self._drain.wait()
        except TimeoutError:
            return
