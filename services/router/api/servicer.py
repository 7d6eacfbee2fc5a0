"""The RPCs of the router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from runyard.router.v1 import router_service_pb2 as pb
from runyard.router.v1 import router_service_pb2_grpc as rpc
from services.chassis.calls.call import current_call, decoded
from services.chassis.calls.unserved import not_served
from services.router.api.requests import infer_from_pb
from services.router.api.responses import DECISION_TRAILER, decision_to_trailer, frame_to_pb
from services.router.core.ports import Answer, Inference
from services.router.core.request import InferCommand

Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(rpc.RouterServiceServicer):
    """``Infer`` is served; the other calls are refused."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def Infer(
        self, request: pb.InferRequest, context: Context
    ) -> AsyncIterator[pb.InferResponse]:
        answer = self._answer(await decoded(request, infer_from_pb))
        try:
            async with aclosing(answer.frames()) as frames:
                async for frame in frames:
                    yield frame_to_pb(frame)
        finally:
            _set_trailer(answer, context)

    def _answer(self, command: InferCommand) -> Answer:
        call = current_call()
        return self._inference.answer(call.principal, command, call.deadline_s_left)

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:
        raise not_served("Generate")

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        raise not_served("Explain")

    async def GetRoutingState(
        self, request: pb.GetRoutingStateRequest, context: Context
    ) -> pb.GetRoutingStateResponse:
        raise not_served("GetRoutingState")

    def WatchRoutingState(
        self, request: pb.WatchRoutingStateRequest, context: Context
    ) -> AsyncIterator[pb.WatchRoutingStateResponse]:
        raise not_served("WatchRoutingState")

    async def ResetMember(
        self, request: pb.ResetMemberRequest, context: Context
    ) -> pb.ResetMemberResponse:
        raise not_served("ResetMember")

    async def UnpinSession(
        self, request: pb.UnpinSessionRequest, context: Context
    ) -> pb.UnpinSessionResponse:
        raise not_served("UnpinSession")


def _set_trailer(answer: Answer, context: Context) -> None:
    """Set the decision as trailer, however the call ends."""
    decision = answer.decision
    if decision is not None:
        context.set_trailing_metadata(((DECISION_TRAILER, decision_to_trailer(decision)),))
