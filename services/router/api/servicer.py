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
from services.chassis.errors import DomainError
from services.chassis.slices import in_slices
from services.router.api.requests import (
    cordon_from_pb,
    explain_from_pb,
    generate_from_pb,
    infer_from_pb,
    reset_from_pb,
    state_from_pb,
    unpin_from_pb,
    watch_from_pb,
)
from services.router.api.responses import (
    collected_to_pb,
    decision_to_detail,
    explanation_to_pb,
    frame_to_pb,
    member_to_pb,
    pin_to_pb,
    state_to_pb,
    watch_frame_to_pb,
)
from services.router.core.collecting import Collected, collect
from services.router.core.items import Item
from services.router.core.ports import Inference, RoutingControl, StateWatches
from services.router.core.request import InferCommand

Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(rpc.RouterServiceServicer):
    """Each RPC decodes, asks, and encodes."""

    def __init__(
        self, inference: Inference, control: RoutingControl, watches: StateWatches
    ) -> None:
        self._inference = inference
        self._control = control
        self._watches = watches

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

    async def WatchRoutingState(
        self, request: pb.WatchRoutingStateRequest, context: Context
    ) -> AsyncIterator[pb.WatchRoutingStateResponse]:
        target_id = await decoded(request, watch_from_pb)
        async with aclosing(self._watches.watch(current_caller(), target_id)) as frames:
            async for frame in frames:
                yield watch_frame_to_pb(frame)

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

    async def CordonMember(
        self, request: pb.CordonMemberRequest, context: Context
    ) -> pb.CordonMemberResponse:
        named = await decoded(request, cordon_from_pb)
        member = await self._control.set_cordon(current_caller(), *named, cordoned=True)
        return pb.CordonMemberResponse(member=member_to_pb(member))

    async def UncordonMember(
        self, request: pb.UncordonMemberRequest, context: Context
    ) -> pb.UncordonMemberResponse:
        named = await decoded(request, cordon_from_pb)
        member = await self._control.set_cordon(current_caller(), *named, cordoned=False)
        return pb.UncordonMemberResponse(member=member_to_pb(member))
