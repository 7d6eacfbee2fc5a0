"""A client of the pool with short names and defaults for what a test does not care about."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from services.chassis.calls.rpc_status import ErrorFacts, reason_of

POOL = "pool-1"
RUN_A, RUN_B, RUN_C = "run-a", "run-b", "run-c"


class PoolClient:
    """Calls the pool; ``stub`` makes the calls that have no short name."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = PoolServiceStub(channel)

    async def opened(self, *runs: str) -> None:
        """A pool whose members are ``runs``, each of an agent of its own."""
        await self.open()
        for run_id in runs:
            await self.join(run_id)

    async def open(self, pool_id: str = POOL, **more: Any) -> rpc.OpenPoolResponse:
        return await self.stub.OpenPool(rpc.OpenPoolRequest(pool_id=pool_id, **more))

    async def get(self, pool_id: str = POOL) -> pb.Pool:
        return (await self.stub.GetPool(rpc.GetPoolRequest(pool_id=pool_id))).pool

    async def join(self, run_id: str, **more: Any) -> rpc.JoinPoolResponse:
        fields = {"pool_id": POOL, "agent_id": f"agent-of-{run_id}", **more}
        return await self.stub.JoinPool(rpc.JoinPoolRequest(run_id=run_id, **fields))

    async def members(self, **more: Any) -> rpc.ListMembersResponse:
        return await self.stub.ListMembers(rpc.ListMembersRequest(pool_id=POOL, **more))

    async def send(
        self, key: str, text: str = "hello", pool_id: str = POOL, **more: Any
    ) -> pb.Receipt:
        fields: dict[str, Any] = {
            "from_run_id": RUN_A,
            "to": pb.Address(run_id=RUN_B),
            "idempotency_key": key,
            "message_id": f"m-{key}",
            **more,
        }
        if "content_ref" not in fields:
            fields.setdefault("inline_body", plain(text))
        request = rpc.SendMessageRequest(pool_id=pool_id, message=pb.Message(**fields))
        return (await self.stub.SendMessage(request)).receipt

    async def message(self, message_id: str) -> rpc.GetMessageResponse:
        request = rpc.GetMessageRequest(pool_id=POOL, message_id=message_id)
        return await self.stub.GetMessage(request)

    async def respond(
        self, run_id: str, message_id: str, key: str, text: str = "answer"
    ) -> rpc.RespondResponse:
        request = rpc.RespondRequest(
            pool_id=POOL,
            request_message_id=message_id,
            run_id=run_id,
            idempotency_key=key,
            inline_body=plain(text),
        )
        return await self.stub.Respond(request)

    async def fetch(self, run_id: str, pool_id: str = POOL, **more: Any) -> rpc.FetchInboxResponse:
        request = rpc.FetchInboxRequest(pool_id=pool_id, run_id=run_id, **more)
        return await self.stub.FetchInbox(request)

    async def ack(self, delivery: pb.Delivery, **more: Any) -> rpc.AckDeliveryResponse:
        fields = {"run_id": delivery.run_id, "lease_token": delivery.lease_token, **more}
        request = rpc.AckDeliveryRequest(
            pool_id=POOL, message_id=delivery.message.message_id, **fields
        )
        return await self.stub.AckDelivery(request)

    async def suspend(
        self, run_id: str, key: str, *filters: pb.EventFilter, pool_id: str = POOL, **more: Any
    ) -> rpc.SuspendUntilResponse:
        """Wait as ``c-KEY`` for ``filters``, else for a message to the run."""
        to_run = pb.EventFilter(kinds=["message.delivered"], recipient_run_ids=[run_id])
        fields: dict[str, Any] = {
            "condition_id": f"c-{key}",
            "filters": filters or [to_run],
            "idempotency_key": key,
            **more,
        }
        condition = pb.WakeCondition(run_id=run_id, **fields)
        request = rpc.SuspendUntilRequest(pool_id=pool_id, condition=condition)
        return await self.stub.SuspendUntil(request)

    async def wake(self, key: str) -> pb.Wake:
        request = rpc.GetWakeRequest(pool_id=POOL, condition_id=f"c-{key}")
        return (await self.stub.GetWake(request)).wake

    async def cancel(self, key: str) -> rpc.CancelWakeResponse:
        request = rpc.CancelWakeRequest(pool_id=POOL, condition_id=f"c-{key}")
        return await self.stub.CancelWake(request)


def plain(text: str) -> pb.InlineBody:
    return pb.InlineBody(data=text.encode(), media_type="text/plain")


def seconds(value: float) -> Duration:
    return Duration(seconds=int(value), nanos=int(value % 1 * 1e9))


async def refused(call: Any) -> ErrorFacts:
    """Why ``call`` is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return reason_of(refusal.value)
