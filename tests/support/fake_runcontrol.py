"""A run control that takes wakes: a real server with the answers that a test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_internal_service_pb2_grpc as rpc
from services.chassis.calls.rpc_status import DETAILS_KEY
from tests.support.waiting import within_limit

UNKNOWN_RUN = (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


@dataclass
class FakeRunControl:
    """The wakes that were delivered, and the answers to them.

    Attributes:
        outcomes: By run; a run that is not named has accepted.
        refusals: By run: code and reason of the error it gets, for as long as it is listed.
        traceparents: Of each call, as they came over the wire.
        refused_runs: The run of each wake that was refused.
    """

    target: str = ""
    wakes: list[pb.DeliverWakeRequest] = field(default_factory=list)
    outcomes: dict[str, pb.WakeOutcome] = field(default_factory=dict)
    refusals: dict[str, tuple[grpc.StatusCode, str]] = field(default_factory=dict)
    traceparents: list[str] = field(default_factory=list)
    attempts: int = 0
    refused_runs: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, settled: Callable[[], bool]) -> None:
        """Return when ``settled`` is true, asked after each call."""
        async with within_limit(), self.changed:
            await self.changed.wait_for(settled)

    async def refused(self, run_id: str) -> None:
        """Return when a wake of the run was refused."""
        await self.until(lambda: run_id in self.refused_runs)

    async def delivered(self, count: int) -> list[pb.DeliverWakeRequest]:
        """The wakes, once there are ``count``."""
        await self.until(lambda: len(self.wakes) >= count)
        return self.wakes


class _Servicer(rpc.RunControlInternalServiceServicer):
    def __init__(self, fake: FakeRunControl) -> None:
        self._fake = fake

    async def DeliverWake(
        self, request: pb.DeliverWakeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.DeliverWakeResponse:
        fake = self._fake
        async with fake.changed:
            fake.attempts += 1
            fake.changed.notify_all()
            refusal = fake.refusals.get(request.run_id)
            if refusal is not None:
                fake.refused_runs.append(request.run_id)
            else:
                fake.wakes.append(request)
                metadata = dict(context.invocation_metadata() or ())
                fake.traceparents.append(str(metadata.get("traceparent", "")))
        if refusal is not None:
            await context.abort(refusal[0], "refused by a test", _details(*refusal))
        outcome = fake.outcomes.get(request.run_id, pb.WAKE_OUTCOME_ACCEPTED)
        return pb.DeliverWakeResponse(outcome=outcome)


def _details(code: grpc.StatusCode, reason: str) -> tuple[tuple[str, bytes], ...]:
    """As a service sends them; without a reason none, as a proxy does."""
    if not reason:
        return ()
    status = Status(code=code.value[0], message="refused by a test")
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain="runcontrol.runyard.dev"))
    status.details.append(detail)
    return ((DETAILS_KEY, status.SerializeToString()),)


@asynccontextmanager
async def fake_runcontrol(fake: FakeRunControl | None = None) -> AsyncIterator[FakeRunControl]:
    """Serve for the length of the block; a given ``fake`` with a target comes back on its port."""
    fake = fake or FakeRunControl()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_RunControlInternalServiceServicer_to_server(_Servicer(fake), server)
    port = server.add_insecure_port(fake.target or "127.0.0.1:0")
    fake.target = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(None)
