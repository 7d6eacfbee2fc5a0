"""The gRPC methods for the other services of Runyard: decode, call the use case, encode."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_internal_service_pb2_grpc as rpc
from services.runcontrol.api.internal_requests import wake_from_pb
from services.runcontrol.api.internal_responses import WOKEN
from services.runcontrol.core.runcontrol import RunControl

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class RunControlInternalServicer(rpc.RunControlInternalServiceServicer):
    """Implements ``RunControlInternalService``."""

    def __init__(self, runs: RunControl) -> None:
        self._runs = runs

    async def DeliverWake(
        self, request: pb.DeliverWakeRequest, context: Context
    ) -> pb.DeliverWakeResponse:
        arrived = wake_from_pb(request)
        return await WOKEN.answer(request, lambda caller: self._runs.deliver_wake(caller, arrived))
