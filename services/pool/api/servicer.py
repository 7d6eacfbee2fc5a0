"""The RPCs of the pool service: decode, call a use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import grpc

from runyard.pool.v1 import pool_service_pb2 as pb
from runyard.pool.v1 import pool_service_pb2_grpc as rpc
from services.chassis.calls.call import current_caller, decoded
from services.chassis.calls.unserved import not_served
from services.pool.api import requests, responses
from services.pool.api.responses import wake_to_pb
from services.pool.core.inboxes import Inboxes
from services.pool.core.messages import Messages
from services.pool.core.pools import Pools
from services.pool.core.wakes import Wakes

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class PoolServicer(rpc.PoolServiceServicer):
    """Serves the RPCs of the pool service that have a use case, and refuses the others."""

    def __init__(self, pools: Pools, messages: Messages, inboxes: Inboxes, wakes: Wakes) -> None:
        self._pools = pools
        self._messages = messages
        self._inboxes = inboxes
        self._wakes = wakes

    async def OpenPool(self, request: pb.OpenPoolRequest, context: Context) -> pb.OpenPoolResponse:
        config = requests.config_from_pb(request)
        return await responses.OPENED.answer(
            request, lambda caller: self._pools.open(caller, request.pool_id, config)
        )

    async def GetPool(self, request: pb.GetPoolRequest, context: Context) -> pb.GetPoolResponse:
        pool_id = requests.pool_id_from_pb(request.pool_id)
        pool = await self._pools.get(current_caller(), pool_id)
        return pb.GetPoolResponse(pool=responses.pool_to_pb(pool))

    async def JoinPool(self, request: pb.JoinPoolRequest, context: Context) -> pb.JoinPoolResponse:
        command = requests.join_from_pb(request)
        return await responses.JOINED.answer(
            request, lambda caller: self._pools.join(caller, request.pool_id, command)
        )

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Context
    ) -> pb.ListMembersResponse:
        query = requests.members_from_pb(request)
        page = await self._pools.members(current_caller(), request.pool_id, query)
        return responses.members_to_pb(page, request)

    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        draft = requests.draft_from_pb(request)
        return await responses.SENT.answer(
            request, lambda caller: self._messages.send(caller, request.pool_id, draft)
        )

    async def Respond(self, request: pb.RespondRequest, context: Context) -> pb.RespondResponse:
        command = requests.answer_from_pb(request)
        return await responses.RESPONDED.answer(
            request, lambda caller: self._messages.respond(caller, request.pool_id, command)
        )

    async def GetMessage(
        self, request: pb.GetMessageRequest, context: Context
    ) -> pb.GetMessageResponse:
        pool_id, message_id = requests.message_ref_from_pb(request)
        view = await self._messages.get(current_caller(), pool_id, message_id)
        return responses.message_view_to_pb(view)

    async def FetchInbox(
        self, request: pb.FetchInboxRequest, context: Context
    ) -> pb.FetchInboxResponse:
        command = requests.fetch_from_pb(request)
        return await responses.FETCHED.answer(
            request, lambda caller: self._inboxes.fetch(caller, request.pool_id, command)
        )

    async def AckDelivery(
        self, request: pb.AckDeliveryRequest, context: Context
    ) -> pb.AckDeliveryResponse:
        command = requests.ack_from_pb(request)
        return await responses.ACKED.answer(
            request, lambda caller: self._inboxes.ack(caller, request.pool_id, command)
        )

    async def SuspendUntil(
        self, request: pb.SuspendUntilRequest, context: Context
    ) -> pb.SuspendUntilResponse:
        condition = await decoded(request, requests.condition_from_pb)
        return await responses.SUSPENDED.answer(
            request, lambda caller: self._wakes.suspend_until(caller, request.pool_id, condition)
        )

    async def GetWake(self, request: pb.GetWakeRequest, context: Context) -> pb.GetWakeResponse:
        pool_id, condition_id = requests.wake_ref_from_pb(request)
        found = await self._wakes.get(current_caller(), pool_id, condition_id)
        return pb.GetWakeResponse(wake=wake_to_pb(pool_id, found.wake))

    async def CancelWake(
        self, request: pb.CancelWakeRequest, context: Context
    ) -> pb.CancelWakeResponse:
        pool_id, condition_id = requests.wake_ref_from_pb(request)
        return await responses.WAKE_CANCELLED.answer(
            request, lambda caller: self._wakes.cancel(caller, pool_id, condition_id)
        )

    async def ListPools(
        self, request: pb.ListPoolsRequest, context: Context
    ) -> pb.ListPoolsResponse:
        raise not_served("ListPools")

    async def UpdatePool(
        self, request: pb.UpdatePoolRequest, context: Context
    ) -> pb.UpdatePoolResponse:
        raise not_served("UpdatePool")

    async def ClosePool(
        self, request: pb.ClosePoolRequest, context: Context
    ) -> pb.ClosePoolResponse:
        raise not_served("ClosePool")

    async def GetPoolSnapshot(
        self, request: pb.GetPoolSnapshotRequest, context: Context
    ) -> AsyncIterator[pb.GetPoolSnapshotResponse]:
        for item in _no_stream("GetPoolSnapshot"):
            yield item

    async def VerifyPool(
        self, request: pb.VerifyPoolRequest, context: Context
    ) -> pb.VerifyPoolResponse:
        raise not_served("VerifyPool")

    async def LeavePool(
        self, request: pb.LeavePoolRequest, context: Context
    ) -> pb.LeavePoolResponse:
        raise not_served("LeavePool")

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: Context
    ) -> pb.HeartbeatResponse:
        raise not_served("Heartbeat")

    async def UpdateMember(
        self, request: pb.UpdateMemberRequest, context: Context
    ) -> pb.UpdateMemberResponse:
        raise not_served("UpdateMember")

    async def StartMember(
        self, request: pb.StartMemberRequest, context: Context
    ) -> pb.StartMemberResponse:
        raise not_served("StartMember")

    async def SendMessages(
        self, request: pb.SendMessagesRequest, context: Context
    ) -> pb.SendMessagesResponse:
        raise not_served("SendMessages")

    async def Request(self, request: pb.RequestRequest, context: Context) -> pb.RequestResponse:
        raise not_served("Request")

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        raise not_served("ListMessages")

    async def CancelMessage(
        self, request: pb.CancelMessageRequest, context: Context
    ) -> pb.CancelMessageResponse:
        raise not_served("CancelMessage")

    async def StreamInbox(
        self, request_iterator: AsyncIterator[pb.StreamInboxRequest], context: Context
    ) -> AsyncIterator[pb.StreamInboxResponse]:
        for item in _no_stream("StreamInbox"):
            yield item

    async def NackDelivery(
        self, request: pb.NackDeliveryRequest, context: Context
    ) -> pb.NackDeliveryResponse:
        raise not_served("NackDelivery")

    async def ExtendDelivery(
        self, request: pb.ExtendDeliveryRequest, context: Context
    ) -> pb.ExtendDeliveryResponse:
        raise not_served("ExtendDelivery")

    async def ListDeadDeliveries(
        self, request: pb.ListDeadDeliveriesRequest, context: Context
    ) -> pb.ListDeadDeliveriesResponse:
        raise not_served("ListDeadDeliveries")

    async def RequeueDelivery(
        self, request: pb.RequeueDeliveryRequest, context: Context
    ) -> pb.RequeueDeliveryResponse:
        raise not_served("RequeueDelivery")

    async def WaitWake(self, request: pb.WaitWakeRequest, context: Context) -> pb.WaitWakeResponse:
        raise not_served("WaitWake")

    async def ListWakes(
        self, request: pb.ListWakesRequest, context: Context
    ) -> pb.ListWakesResponse:
        raise not_served("ListWakes")

    async def SubscribeEvents(
        self, request: pb.SubscribeEventsRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeEventsResponse]:
        for item in _no_stream("SubscribeEvents"):
            yield item

    async def WatchPool(
        self, request: pb.WatchPoolRequest, context: Context
    ) -> AsyncIterator[pb.WatchPoolResponse]:
        for item in _no_stream("WatchPool"):
            yield item

    async def PublishEvents(
        self, request: pb.PublishEventsRequest, context: Context
    ) -> pb.PublishEventsResponse:
        raise not_served("PublishEvents")

    async def ValidateFilter(
        self, request: pb.ValidateFilterRequest, context: Context
    ) -> pb.ValidateFilterResponse:
        raise not_served("ValidateFilter")


def _no_stream(method: str) -> Iterator[Any]:
    """Refuses when the stream is read, as a generator does."""
    raise not_served(method)
