"""A router that answers nothing and keeps the session header of each call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import (
    RouterServiceServicer,
    add_RouterServiceServicer_to_server,
)
from runyard.types.v1 import content_pb2 as content


@dataclass
class RecordingRouter(RouterServiceServicer):
    """``headers`` has None for a call without one."""

    headers: list[object] = field(default_factory=list)
    target: str = ""

    async def Infer(
        self, request: rpc.InferRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[rpc.InferResponse]:
        self._keep(context)
        end = pb.Finished(reason=content.FINISH_REASON_STOP)
        yield rpc.InferResponse(items=[pb.InferItem(finished=end)])

    async def Generate(
        self, request: rpc.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> rpc.GenerateResponse:
        self._keep(context)
        return rpc.GenerateResponse(finish_reason=content.FINISH_REASON_STOP)

    async def Explain(
        self, request: rpc.ExplainRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> rpc.ExplainResponse:
        self._keep(context)
        return rpc.ExplainResponse()

    def _keep(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.headers.append(dict(context.invocation_metadata() or ()).get("runyard-session"))


@asynccontextmanager
async def recording_router() -> AsyncIterator[RecordingRouter]:
    server, router = grpc.aio.server(), RecordingRouter()  # type: ignore[abstract]  # the others are UNIMPLEMENTED
    add_RouterServiceServicer_to_server(router, server)
    router.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield router
    await server.stop(None)
