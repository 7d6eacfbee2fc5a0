"""The gRPC methods for tool workers: decode, call the use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from runyard.worker.v1 import worker_service_pb2 as pb
from runyard.worker.v1 import worker_service_pb2_grpc as rpc
from services.chassis.calls.call import current_caller, require_same_principal
from services.runcontrol.api.worker_requests import from_worker, result_from_pb
from services.runcontrol.api.worker_responses import reported, to_worker
from services.runcontrol.core.tool_workers import ToolWorkers
from services.runcontrol.core.worker_messages import FromWorker, WorkerSessions

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class ToolWorkerServicer(rpc.ToolWorkerServiceServicer):
    """Implements ``ToolWorkerService``; a worker serves the tenant of its principal."""

    def __init__(self, workers: ToolWorkers, sessions: WorkerSessions) -> None:
        self._workers = workers
        self._sessions = sessions

    async def Session(
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> AsyncIterator[pb.SessionResponse]:
        messages = aiter(_messages(request_iterator))
        first = await anext(messages, None)
        async with aclosing(self._sessions.serve(current_caller(), first, messages)) as said:
            async for message in said:
                yield to_worker(message)

    async def ReportResult(
        self, request: pb.ReportResultRequest, context: Context
    ) -> pb.ReportResultResponse:
        result = result_from_pb(request)
        return await reported(result.ref).answer(
            request, lambda caller: self._workers.report(caller, result.ref, result.outcome)
        )


async def _messages(requests: AsyncIterator[pb.SessionRequest]) -> AsyncIterator[FromWorker]:
    async for request in requests:
        # A session may last for months; its token may not.
        require_same_principal()
        yield from_worker(request)
