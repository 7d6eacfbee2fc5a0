"""The pool's RPCs: decode, delegate, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import grpc

from runyard.pool.v1 import pool_service_pb2 as pb
from runyard.pool.v1 import pool_service_pb2_grpc as rpc
from services.chassis.calls import KeyedRequest, current_call, reply, request_key
from services.chassis.errors import UnimplementedError
from services.chassis.telemetry import current_traceparent
from services.pool.api import replies, requests
from services.pool.api.wakes import wake_to_pb
from services.pool.core.inboxes import Inboxes
from services.pool.core.messages import Messages
from services.pool.core.model import Caller
from services.pool.core.pools import Pools
from services.pool.core.wakes import Wakes

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class PoolServicer(rpc.PoolServiceServicer):
    """Wire face of the pool service."""

    def __init__(self, pools: Pools, messages: Messages, inboxes: Inboxes, wakes: Wakes) -> None:
        self._pools = pools
        self._messages = messages
        self._inboxes = inboxes
        self._wakes = wakes

    async def OpenPool(self, request: pb.OpenPoolRequest, context: Context) -> pb.OpenPoolResponse:
        config = requests.config_from_pb(request)
        answer = await self._pools.open(_caller(request), request.pool_id, config)
        return reply(pb.OpenPoolResponse, answer, replies.opened_to_pb)

    async def GetPool(self, request: pb.GetPoolRequest, context: Context) -> pb.GetPoolResponse:
        pool_id = requests.pool_id_from_pb(request.pool_id)
        pool = await self._pools.get(_reader(), pool_id)
        return pb.GetPoolResponse(pool=replies.pool_to_pb(pool))

    async def JoinPool(self, request: pb.JoinPoolRequest, context: Context) -> pb.JoinPoolResponse:
        command = requests.join_from_pb(request)
        answer = await self._pools.join(_caller(request), request.pool_id, command)
        return reply(pb.JoinPoolResponse, answer, replies.joined_to_pb)

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Context
    ) -> pb.ListMembersResponse:
        query = requests.members_from_pb(request)
        page = await self._pools.members(_reader(), request.pool_id, query)
        return pb.ListMembersResponse(
            members=[replies.member_to_pb(member) for member in page.members],
            next_page_token=requests.members_page_token(request, page),
        )

    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        draft = requests.draft_from_pb(request)
        answer = await self._messages.send(_caller(request), request.pool_id, draft)
        return reply(pb.SendMessageResponse, answer, replies.sent_to_pb)

    async def Respond(self, request: pb.RespondRequest, context: Context) -> pb.RespondResponse:
        command = requests.answer_from_pb(request)
        answer = await self._messages.respond(_caller(request), request.pool_id, command)
        return reply(pb.RespondResponse, answer, replies.responded_to_pb)

    async def GetMessage(
        self, request: pb.GetMessageRequest, context: Context
    ) -> pb.GetMessageResponse:
        pool_id, message_id = requests.message_ref_from_pb(request)
        view = await self._messages.get(_reader(), pool_id, message_id)
        return replies.message_view_to_pb(view)

    async def FetchInbox(
        self, request: pb.FetchInboxRequest, context: Context
    ) -> pb.FetchInboxResponse:
        command = requests.fetch_from_pb(request)
        answer = await self._inboxes.fetch(_caller(request), request.pool_id, command)
        return reply(pb.FetchInboxResponse, answer, replies.fetched_to_pb)

    async def AckDelivery(
        self, request: pb.AckDeliveryRequest, context: Context
    ) -> pb.AckDeliveryResponse:
        command = requests.ack_from_pb(request)
        answer = await self._inboxes.ack(_caller(request), request.pool_id, command)
        return reply(pb.AckDeliveryResponse, answer, replies.acked_to_pb)

    async def SuspendUntil(
        self, request: pb.SuspendUntilRequest, context: Context
    ) -> pb.SuspendUntilResponse:
        condition = requests.condition_from_pb(request)
        answer = await self._wakes.suspend_until(_caller(request), request.pool_id, condition)
        return reply(pb.SuspendUntilResponse, answer, replies.suspended_to_pb)

    async def GetWake(self, request: pb.GetWakeRequest, context: Context) -> pb.GetWakeResponse:
        pool_id, condition_id = requests.wake_ref_from_pb(request)
        found = await self._wakes.get(_reader(), pool_id, condition_id)
        return pb.GetWakeResponse(wake=wake_to_pb(pool_id, found.wake))

    async def CancelWake(
        self, request: pb.CancelWakeRequest, context: Context
    ) -> pb.CancelWakeResponse:
        pool_id, condition_id = requests.wake_ref_from_pb(request)
        answer = await self._wakes.cancel(_caller(request), pool_id, condition_id)
        return reply(pb.CancelWakeResponse, answer, replies.wake_cancelled_to_pb)

    async def ListPools(
        self, request: pb.ListPoolsRequest, context: Context
    ) -> pb.ListPoolsResponse:
        raise _not_served("ListPools")

    async def UpdatePool(
        self, request: pb.UpdatePoolRequest, context: Context
    ) -> pb.UpdatePoolResponse:
        raise _not_served("UpdatePool")

    async def ClosePool(
        self, request: pb.ClosePoolRequest, context: Context
    ) -> pb.ClosePoolResponse:
        raise _not_served("ClosePool")

    async def GetPoolSnapshot(
        self, request: pb.GetPoolSnapshotRequest, context: Context
    ) -> AsyncIterator[pb.GetPoolSnapshotResponse]:
        for item in _no_stream("GetPoolSnapshot"):
            yield item

    async def VerifyPool(
        self, request: pb.VerifyPoolRequest, context: Context
    ) -> pb.VerifyPoolResponse:
        raise _not_served("VerifyPool")

    async def LeavePool(
        self, request: pb.LeavePoolRequest, context: Context
    ) -> pb.LeavePoolResponse:
        raise _not_served("LeavePool")

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: Context
    ) -> pb.HeartbeatResponse:
        raise _not_served("Heartbeat")

    async def UpdateMember(
        self, request: pb.UpdateMemberRequest, context: Context
    ) -> pb.UpdateMemberResponse:
        raise _not_served("UpdateMember")

    async def StartMember(
        self, request: pb.StartMemberRequest, context: Context
    ) -> pb.StartMemberResponse:
        raise _not_served("StartMember")

    async def SendMessages(
        self, request: pb.SendMessagesRequest, context: Context
    ) -> pb.SendMessagesResponse:
        raise _not_served("SendMessages")

    async def Request(self, request: pb.RequestRequest, context: Context) -> pb.RequestResponse:
        raise _not_served("Request")

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        raise _not_served("ListMessages")

    async def CancelMessage(
        self, request: pb.CancelMessageRequest, context: Context
    ) -> pb.CancelMessageResponse:
        raise _not_served("CancelMessage")

    async def StreamInbox(
        self, request_iterator: AsyncIterator[pb.StreamInboxRequest], context: Context
    ) -> AsyncIterator[pb.StreamInboxResponse]:
        for item in _no_stream("StreamInbox"):
            yield item

    async def NackDelivery(
        self, request: pb.NackDeliveryRequest, context: Context
    ) -> pb.NackDeliveryResponse:
        raise _not_served("NackDelivery")

    async def ExtendDelivery(
        self, request: pb.ExtendDeliveryRequest, context: Context
    ) -> pb.ExtendDeliveryResponse:
        raise _not_served("ExtendDelivery")

    async def ListDeadDeliveries(
        self, request: pb.ListDeadDeliveriesRequest, context: Context
    ) -> pb.ListDeadDeliveriesResponse:
        raise _not_served("ListDeadDeliveries")

    async def RequeueDelivery(
        self, request: pb.RequeueDeliveryRequest, context: Context
    ) -> pb.RequeueDeliveryResponse:
        raise _not_served("RequeueDelivery")

    async def WaitWake(self, request: pb.WaitWakeRequest, context: Context) -> pb.WaitWakeResponse:
        raise _not_served("WaitWake")

    async def ListWakes(
        self, request: pb.ListWakesRequest, context: Context
    ) -> pb.ListWakesResponse:
        raise _not_served("ListWakes")

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
        raise _not_served("PublishEvents")

    async def ValidateFilter(
        self, request: pb.ValidateFilterRequest, context: Context
    ) -> pb.ValidateFilterResponse:
        raise _not_served("ValidateFilter")


def _caller(request: KeyedRequest) -> Caller:
    """Who makes the running call, under which key, in which trace."""
    return Caller(current_call().principal, request_key(request), current_traceparent())


def _reader() -> Caller:
    return Caller(current_call().principal)


def _no_stream(method: str) -> Iterator[Any]:
    """Refuses when the stream is read, as a generator does."""
    raise _not_served(method)


def _not_served(method: str) -> UnimplementedError:
    return UnimplementedError(f"{method} is not served by this version", method=method)
