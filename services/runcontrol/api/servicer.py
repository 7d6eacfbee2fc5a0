"""The wire face of run control: decode, delegate, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from runyard.worker.v1 import worker_service_pb2 as worker
from runyard.worker.v1 import worker_service_pb2_grpc as worker_rpc
from services.chassis.calls import current_call, reply, request_key
from services.chassis.errors import UnimplementedError
from services.chassis.telemetry import current_traceparent
from services.runcontrol.api import requests, responses
from services.runcontrol.api.subscriptions import RunSubscriptions
from services.runcontrol.core.runcontrol import RunControl

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


def _later(method: str) -> UnimplementedError:
    return UnimplementedError(f"{method} is not served by this version", method=method)


class RunControlServicer(rpc.RunControlServiceServicer):
    """Every method acts as the calling principal, within its tenant."""

    def __init__(self, runs: RunControl, subscriptions: RunSubscriptions) -> None:
        self._runs = runs
        self._subscriptions = subscriptions

    async def SubmitRun(
        self, request: pb.SubmitRunRequest, context: Context
    ) -> pb.SubmitRunResponse:
        command = requests.submit_from_pb(request, current_traceparent())
        answer = await self._runs.submit(current_call().principal, command, request_key(request))
        return reply(pb.SubmitRunResponse, answer, responses.submitted_to_pb)

    async def SubscribeRun(
        self, request: pb.SubscribeRunRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeRunResponse]:
        batches = self._subscriptions.follow(current_call().principal, request)
        async with aclosing(batches):
            async for items in batches:
                yield pb.SubscribeRunResponse(items=items)

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run_id = requests.required_id(request.run_id, "run_id")
        return responses.view_to_pb(await self._runs.view(current_call().principal, run_id))

    async def CancelRun(
        self, request: pb.CancelRunRequest, context: Context
    ) -> pb.CancelRunResponse:
        command = requests.cancel_from_pb(request)
        answer = await self._runs.cancel(current_call().principal, command, request_key(request))
        return reply(pb.CancelRunResponse, answer, responses.cancelled_to_pb)

    async def SubmitDecision(
        self, request: pb.SubmitDecisionRequest, context: Context
    ) -> pb.SubmitDecisionResponse:
        command = requests.decision_from_pb(request, current_traceparent())
        answer = await self._runs.decide(current_call().principal, command, request_key(request))
        return reply(pb.SubmitDecisionResponse, answer, responses.decided_to_pb)

    async def ListTickets(
        self, request: pb.ListTicketsRequest, context: Context
    ) -> pb.ListTicketsResponse:
        wanted = requests.ticket_filter_from_pb(request)
        found = await self._runs.list_tickets(current_call().principal, wanted)
        return responses.tickets_to_pb(request, found)

    async def GetTicket(
        self, request: pb.GetTicketRequest, context: Context
    ) -> pb.GetTicketResponse:
        ticket_id = requests.required_id(request.ticket_id, "ticket_id")
        return responses.ticket_response(
            await self._runs.ticket(current_call().principal, ticket_id)
        )

    async def DeliverWake(
        self, request: pb.DeliverWakeRequest, context: Context
    ) -> pb.DeliverWakeResponse:
        arrived = requests.wake_from_pb(request)
        principal = current_call().principal
        answer = await self._runs.deliver_wake(principal, arrived, request_key(request))
        return reply(pb.DeliverWakeResponse, answer, responses.woken_to_pb)

    def SubscribeThread(
        self, request: pb.SubscribeThreadRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeThreadResponse]:
        raise _later("SubscribeThread")

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        raise _later("ListRuns")

    async def GetThread(
        self, request: pb.GetThreadRequest, context: Context
    ) -> pb.GetThreadResponse:
        raise _later("GetThread")

    async def ListThreads(
        self, request: pb.ListThreadsRequest, context: Context
    ) -> pb.ListThreadsResponse:
        raise _later("ListThreads")

    async def DeleteThread(
        self, request: pb.DeleteThreadRequest, context: Context
    ) -> pb.DeleteThreadResponse:
        raise _later("DeleteThread")

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        raise _later("ListMessages")

    async def GetActiveRun(
        self, request: pb.GetActiveRunRequest, context: Context
    ) -> pb.GetActiveRunResponse:
        raise _later("GetActiveRun")

    async def InterruptThread(
        self, request: pb.InterruptThreadRequest, context: Context
    ) -> pb.InterruptThreadResponse:
        raise _later("InterruptThread")

    async def InjectInput(
        self, request: pb.InjectInputRequest, context: Context
    ) -> pb.InjectInputResponse:
        raise _later("InjectInput")

    async def EditInput(
        self, request: pb.EditInputRequest, context: Context
    ) -> pb.EditInputResponse:
        raise _later("EditInput")

    async def RetractInput(
        self, request: pb.RetractInputRequest, context: Context
    ) -> pb.RetractInputResponse:
        raise _later("RetractInput")

    async def ListPendingInputs(
        self, request: pb.ListPendingInputsRequest, context: Context
    ) -> pb.ListPendingInputsResponse:
        raise _later("ListPendingInputs")

    async def ListDeadDispatches(
        self, request: pb.ListDeadDispatchesRequest, context: Context
    ) -> pb.ListDeadDispatchesResponse:
        raise _later("ListDeadDispatches")

    async def RedriveDispatch(
        self, request: pb.RedriveDispatchRequest, context: Context
    ) -> pb.RedriveDispatchResponse:
        raise _later("RedriveDispatch")


class ToolWorkerServicer(worker_rpc.ToolWorkerServiceServicer):
    """The contract for tool workers is there; this version runs no worker's tools."""

    def Session(
        self, request_iterator: AsyncIterator[worker.SessionRequest], context: Context
    ) -> AsyncIterator[worker.SessionResponse]:
        raise _later("Session")

    async def ReportResult(
        self, request: worker.ReportResultRequest, context: Context
    ) -> worker.ReportResultResponse:
        raise _later("ReportResult")

    async def PollCall(
        self, request: worker.PollCallRequest, context: Context
    ) -> worker.PollCallResponse:
        raise _later("PollCall")
