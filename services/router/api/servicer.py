"""The RPCs of the router."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from functools import reduce
from typing import Any

import grpc

from runyard.router.v1 import router_service_pb2 as pb
from runyard.router.v1 import router_service_pb2_grpc as rpc
from services.chassis.calls.call import current_call, current_caller, decoded
from services.chassis.calls.unserved import not_served
from services.chassis.errors import DomainError
from services.chassis.slices import in_slices
from services.router.api.requests import (
    explain_from_pb,
    generate_from_pb,
    infer_from_pb,
    reset_from_pb,
    state_from_pb,
    unpin_from_pb,
)
from services.router.api.responses import (
    collected_to_pb,
    decision_to_detail,
    explanation_to_pb,
    frame_to_pb,
    member_to_pb,
    pin_to_pb,
    state_to_pb,
)
from services.router.core.collecting import Collected, collect
from services.router.core.items import Item
from services.router.core.ports import Inference, RoutingControl
from services.router.core.request import InferCommand

Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(rpc.RouterServiceServicer):
    """The watch of the state is refused."""

    def __init__(self, inference: Inference, control: RoutingControl) -> None:
        self._inference = inference
        self._control = control

    async def Infer(
        self, request: pb.InferRequest, context: Context
    ) -> AsyncIterator[pb.InferResponse]:
        command = await decoded(request, infer_from_pb)
        async with aclosing(self._frames(command)) as frames:
            async for frame in frames:
                yield frame_to_pb(frame)

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:
        command = await decoded(request, generate_from_pb)
        collected = Collected()
        async with aclosing(self._frames(command)) as frames:
            async for frame in frames:
                collected = reduce(collect, frame, collected)
        return collected_to_pb(collected)

    async def _frames(self, command: InferCommand) -> AsyncGenerator[Sequence[Item], None]:
        """The frames of the answer; an error carries the decision that led to it."""
        call = current_call()
        answer = self._inference.answer(call.principal, command, call.deadline_s_left)
        try:
            async with aclosing(answer.frames()) as frames:
                async for frame in frames:
                    yield frame
        except DomainError as error:
            if answer.decision is not None:
                error.details = (decision_to_detail(answer.decision),)
            raise

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        command = await decoded(request, explain_from_pb)
        explanation = await self._inference.explain(current_call().principal, command)
        return explanation_to_pb(explanation)

    async def GetRoutingState(
        self, request: pb.GetRoutingStateRequest, context: Context
    ) -> pb.GetRoutingStateResponse:
        query = await decoded(request, state_from_pb)
        page = await self._control.state(current_caller(), query)
        return await in_slices(lambda: state_to_pb(request, page))

    def WatchRoutingState(
        self, request: pb.WatchRoutingStateRequest, context: Context
    ) -> AsyncIterator[pb.WatchRoutingStateResponse]:
        raise not_served("WatchRoutingState")

    async def ResetMember(
        self, request: pb.ResetMemberRequest, context: Context
    ) -> pb.ResetMemberResponse:
        target_id, member_id = await decoded(request, reset_from_pb)
        members = await self._control.reset(current_caller(), target_id, member_id)
        return pb.ResetMemberResponse(members=map(member_to_pb, members))

    async def UnpinSession(
        self, request: pb.UnpinSessionRequest, context: Context
    ) -> pb.UnpinSessionResponse:
        pool_id, session = await decoded(request, unpin_from_pb)
        pin = await self._control.unpin(current_caller(), pool_id, session)
        return pb.UnpinSessionResponse(pin=None if pin is None else pin_to_pb(pin))
