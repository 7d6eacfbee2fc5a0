"""Requests with short names."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from services.chassis.rpc_status import ErrorFacts, reason_of

POOL = "pool-1"
RUN_A, RUN_B, RUN_C = "run-a", "run-b", "run-c"


async def opened(pool: PoolServiceStub, *runs: str, pool_id: str = POOL) -> None:
    """A pool whose members are ``runs``, each of an agent of its own."""
    await pool.OpenPool(rpc.OpenPoolRequest(pool_id=pool_id))
    for run_id in runs:
        await pool.JoinPool(join(run_id, pool_id=pool_id))


def join(run_id: str, **more: Any) -> rpc.JoinPoolRequest:
    fields = {"pool_id": POOL, "agent_id": f"agent-of-{run_id}", **more}
    return rpc.JoinPoolRequest(run_id=run_id, **fields)


def message(key: str, text: str = "hello", **more: Any) -> pb.Message:
    fields: dict[str, Any] = {
        "from_run_id": RUN_A,
        "to": pb.Address(run_id=RUN_B),
        "idempotency_key": key,
        "message_id": f"m-{key}",
        **more,
    }
    if "content_ref" not in fields:
        fields["inline_body"] = pb.InlineBody(data=text.encode(), media_type="text/plain")
    return pb.Message(**fields)


def send(key: str, text: str = "hello", pool_id: str = POOL, **more: Any) -> rpc.SendMessageRequest:
    return rpc.SendMessageRequest(pool_id=pool_id, message=message(key, text, **more))


def respond(run_id: str, message_id: str, key: str, **more: Any) -> rpc.RespondRequest:
    fields: dict[str, Any] = {
        "inline_body": pb.InlineBody(data=b"answer", media_type="text/plain"),
        **more,
    }
    return rpc.RespondRequest(
        pool_id=POOL,
        request_message_id=message_id,
        run_id=run_id,
        idempotency_key=key,
        **fields,
    )


def fetch(run_id: str, **more: Any) -> rpc.FetchInboxRequest:
    return rpc.FetchInboxRequest(pool_id=POOL, run_id=run_id, **more)


def ack(delivery: pb.Delivery, **more: Any) -> rpc.AckDeliveryRequest:
    fields = {"lease_token": delivery.lease_token, **more}
    return rpc.AckDeliveryRequest(
        pool_id=POOL,
        run_id=delivery.run_id,
        message_id=delivery.message.message_id,
        **fields,
    )


def suspend(
    run_id: str, key: str, *filters: pb.EventFilter, **more: Any
) -> rpc.SuspendUntilRequest:
    condition = pb.WakeCondition(
        condition_id=f"c-{key}",
        run_id=run_id,
        filters=filters
        or [pb.EventFilter(kinds=["message.delivered"], recipient_run_ids=[run_id])],
        idempotency_key=key,
        **more,
    )
    return rpc.SuspendUntilRequest(pool_id=POOL, condition=condition)


def wake(key: str) -> rpc.GetWakeRequest:
    return rpc.GetWakeRequest(pool_id=POOL, condition_id=f"c-{key}")


def seconds(value: float) -> Duration:
    return Duration(seconds=int(value), nanos=int(value % 1 * 1e9))


async def refused(call: Any) -> ErrorFacts:
    """Why ``call`` is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return reason_of(refusal.value)
