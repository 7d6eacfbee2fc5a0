"""Pools in which runs find each other."""

from __future__ import annotations

from runyard.pool.v1.pool_service_pb2 import OpenPoolRequest, OpenPoolResponse
from services.cli.talk.clients import Clients
from services.cli.talk.command import new_request_id


async def open_pool(stubs: Clients, pool_id: str) -> OpenPoolResponse:
    request = OpenPoolRequest(request_id=new_request_id(), pool_id=pool_id)
    return await stubs.call("pool", stubs.pool.OpenPool, request)
