"""A tool worker that does exactly what a test says, message by message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from runyard.worker.v1.worker_service_pb2_grpc import ToolWorkerServiceStub
from tests.support.waiting import within_limit


class RawWorker:
    """One session; ``said`` has everything that the server has said, in order."""

    def __init__(self, call: grpc.aio.StreamStreamCall) -> None:  # type: ignore[type-arg]
        self._call = call
        self.said: list[service.SessionResponse] = []

    async def send(self, **message: object) -> None:
        await self._call.write(service.SessionRequest(**message))  # type: ignore[arg-type]

    async def hear(self, kind: str) -> service.SessionResponse:
        """The next message of a kind; others that come before are kept in ``said``."""
        async with within_limit():
            while True:
                message = await self._call.read()
                assert isinstance(message, service.SessionResponse), f"no {kind}: {self.said}"
                self.said.append(message)
                if message.WhichOneof("message") == kind:
                    return message

    async def take(self) -> pb.Call:
        """The next call, accepted."""
        call = (await self.hear("call")).call
        await self.send(accept=pb.Accept(ref=call.ref))
        return call

    async def beat(self, *refs: pb.CallRef, note: str = "") -> pb.Lease:
        """Send signs of life; what the server says of the calls."""
        progress = [
            pb.CallProgress(ref=ref, progress_seq=1 if note else 0, note=note) for ref in refs
        ]
        await self.send(heartbeat=pb.Heartbeat(calls=progress))
        return (await self.hear("lease")).lease

    async def succeed(self, ref: pb.CallRef, content: str) -> pb.ResultAck:
        await self.send(result=pb.Result(ref=ref, succeeded=pb.Succeeded(content=content)))
        return (await self.hear("result_ack")).result_ack

    async def fail(self, ref: pb.CallRef, *, retryable: bool) -> pb.ResultAck:
        failed = pb.Failed(code="BROKEN", message="it broke", retryable=retryable)
        await self.send(result=pb.Result(ref=ref, failed=failed))
        return (await self.hear("result_ack")).result_ack


def hello(
    *tools: str,
    instance: str = "i-1",
    protocols: tuple[int, int] = (1, 1),
    max_parallel: int = 0,
    **fields: object,
) -> pb.Hello:
    return pb.Hello(
        worker_id="worker",
        instance_id=instance,
        min_protocol=protocols[0],
        max_protocol=protocols[1],
        tools=[pb.ServedTool(tool_id=tool, max_parallel=max_parallel) for tool in tools],
        **fields,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def session(
    channel: grpc.aio.Channel, greeting: pb.Hello, credit: int = 1
) -> AsyncIterator[RawWorker]:
    """A session that was welcomed, with room for calls."""
    call = ToolWorkerServiceStub(channel).Session()
    worker = RawWorker(call)
    try:
        await worker.send(hello=greeting)
        await worker.hear("welcome")
        if credit:
            await worker.send(credit=pb.Credit(calls=credit))
        yield worker
    finally:
        call.cancel()
