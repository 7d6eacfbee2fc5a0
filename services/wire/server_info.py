"""``runyard.types.v1.ServerInfoService``: the same in every process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import grpc

from runyard.types.v1 import server_info_service_pb2 as pb
from runyard.types.v1 import server_info_service_pb2_grpc as rpc
from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.server.service import ServerFacts, Servicer

FULL_NAME = "runyard.types.v1.ServerInfoService"

POLICY: Mapping[str, MethodPolicy] = {
    f"/{FULL_NAME}/GetServerInfo": MethodPolicy(ANY_ROLE, deadline_cap_s=5.0),
}


class ServerInfoServicer(rpc.ServerInfoServiceServicer):
    """Answers the facts of this process."""

    def __init__(self, facts: ServerFacts) -> None:
        self._facts = facts
        self._answer = facts_to_pb(facts)

    async def GetServerInfo(
        self,
        request: pb.GetServerInfoRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> pb.GetServerInfoResponse:
        cause = self._facts.store_unavailable_cause()
        if not cause:
            return self._answer
        answer = pb.GetServerInfoResponse(store_unavailable_cause=cause)
        answer.MergeFrom(self._answer)
        return answer


def facts_to_pb(facts: ServerFacts) -> pb.GetServerInfoResponse:
    return pb.GetServerInfoResponse(
        service=facts.service,
        version=facts.version,
        commit=facts.commit,
        store_engine=facts.store.engine,
        store_version=facts.store.version,
        durability=facts.store.durability,
        limits=[pb.Limit(name=name, value=value) for name, value in sorted(facts.limits.items())],
        grpc_services=[*facts.grpc_services, FULL_NAME],
    )


def server_info_servicer(facts: ServerFacts) -> Servicer:
    """The servicer with its policy row: no service has to list it."""
    add = partial(rpc.add_ServerInfoServiceServicer_to_server, ServerInfoServicer(facts))
    return Servicer(FULL_NAME, add, POLICY)
