"""Wire face of the router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from runyard.provider.v1 import provider_service_pb2 as provider
from runyard.provider.v1 import provider_service_pb2_grpc as provider_rpc
from runyard.router.v1 import router_service_pb2 as pb
from runyard.router.v1 import router_service_pb2_grpc as rpc
from services.chassis.calls import current_call
from services.chassis.errors import UnimplementedError
from services.router.api.decode import infer_from_pb
from services.router.api.encode import DECISION_TRAILER, decision_to_trailer, frame_to_pb
from services.router.core.ports import Answer, Inference

Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(rpc.RouterServiceServicer):
    """``Infer`` is served; the other calls are announced."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def Infer(self, request: pb.InferRequest, context: Context) -> AsyncIterator[pb.InferResponse]:
        call = current_call()
        command = infer_from_pb(request)
        answer = self._inference.answer(call.principal, command, call.deadline_s_left)
        return _streamed(answer, context)

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:
        _announced("Generate")

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        _announced("Explain")

    async def GetRoutingState(
        self, request: pb.GetRoutingStateRequest, context: Context
    ) -> pb.GetRoutingStateResponse:
        _announced("GetRoutingState")

    def WatchRoutingState(
        self, request: pb.WatchRoutingStateRequest, context: Context
    ) -> AsyncIterator[pb.WatchRoutingStateResponse]:
        _announced("WatchRoutingState")

    async def ResetMember(
        self, request: pb.ResetMemberRequest, context: Context
    ) -> pb.ResetMemberResponse:
        _announced("ResetMember")

    async def UnpinSession(
        self, request: pb.UnpinSessionRequest, context: Context
    ) -> pb.UnpinSessionResponse:
        _announced("UnpinSession")


class ProviderServicer(provider_rpc.InferenceProviderServiceServicer):
    """The router as a provider of other routers: announced, not served yet."""

    def Infer(
        self, request: provider.InferRequest, context: Context
    ) -> AsyncIterator[provider.InferResponse]:
        _announced("Infer of the provider service")

    async def GetCapabilities(
        self, request: provider.GetCapabilitiesRequest, context: Context
    ) -> provider.GetCapabilitiesResponse:
        _announced("GetCapabilities")


def _announced(method: str) -> NoReturn:
    raise UnimplementedError(f"this version does not serve {method} yet", method=method)


async def _streamed(answer: Answer, context: Context) -> AsyncIterator[pb.InferResponse]:
    """The frames, and then the decision in the trailers, whichever way the call ends."""
    try:
        async with aclosing(answer.frames()) as frames:
            async for frame in frames:
                yield frame_to_pb(frame)
    finally:
        decision = answer.decision
        if decision is not None:
            context.set_trailing_metadata(((DECISION_TRAILER, decision_to_trailer(decision)),))
