"""The gRPC methods of run control: decode, call the use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from runyard.runcontrol.v1 import runcontrol_service_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from services.chassis.calls.call import current_caller, decoded
from services.runcontrol.api import read_requests, read_responses, requests, responses
from services.runcontrol.core.dead_letters import DeadLetters
from services.runcontrol.core.deciding import Decisions
from services.runcontrol.core.deleting import Deletion
from services.runcontrol.core.reading import Reading
from services.runcontrol.core.runcontrol import RunControl
from services.runcontrol.core.steering import Steering
from services.runcontrol.core.subscribing import RunStreams
from services.runcontrol.core.ticket_feed import TicketStreams

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class RunControlServicer(rpc.RunControlServiceServicer):
    """Implements ``RunControlService``; every method acts as the calling principal."""

    def __init__(
        self,
        runs: RunControl,
        decisions: Decisions,
        steering: Steering,
        reading: Reading,
        dead_letters: DeadLetters,
        deletion: Deletion,
        streams: RunStreams,
        ticket_streams: TicketStreams,
    ) -> None:
        self._runs = runs
        self._decisions = decisions
        self._steering = steering
        self._reading = reading
        self._dead_letters = dead_letters
        self._deletion = deletion
        self._streams = streams
        self._ticket_streams = ticket_streams

    async def SubmitRun(
        self, request: pb.SubmitRunRequest, context: Context
    ) -> pb.SubmitRunResponse:
        command = await decoded(request, requests.submit_from_pb)
        return await responses.SUBMITTED.answer(
            request, lambda caller: self._runs.submit(caller, command)
        )

    async def SubscribeRun(
        self, request: pb.SubscribeRunRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeRunResponse]:
        command = read_requests.subscribe_from_pb(request)
        async with aclosing(self._streams.follow(current_caller(), command)) as items:
            async for item in items:
                yield read_responses.run_item_to_pb(command.of_id, item)

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        run_id = requests.required_id(request.run_id, "run_id")
        return responses.view_to_pb(await self._runs.view(current_caller(), run_id))

    async def CancelRun(
        self, request: pb.CancelRunRequest, context: Context
    ) -> pb.CancelRunResponse:
        command = requests.cancel_from_pb(request)
        return await responses.CANCELLED.answer(
            request, lambda caller: self._runs.cancel(caller, command)
        )

    async def SubmitDecision(
        self, request: pb.SubmitDecisionRequest, context: Context
    ) -> pb.SubmitDecisionResponse:
        command = requests.decision_from_pb(request)
        return await responses.DECIDED.answer(
            request, lambda caller: self._decisions.decide(caller, command)
        )

    async def ListTickets(
        self, request: pb.ListTicketsRequest, context: Context
    ) -> pb.ListTicketsResponse:
        wanted = requests.ticket_filter_from_pb(request)
        page = await self._runs.list_tickets(current_caller(), wanted)
        return read_responses.tickets_to_pb(request, page)

    async def SubscribeTickets(
        self, request: pb.SubscribeTicketsRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeTicketsResponse]:
        caller = current_caller()
        after = read_requests.subscribe_tickets_from_pb(request, caller.tenant)
        async with aclosing(self._ticket_streams.follow(caller, after)) as items:
            async for item in items:
                yield read_responses.ticket_item_to_pb(caller.tenant, item)

    async def GetTicket(
        self, request: pb.GetTicketRequest, context: Context
    ) -> pb.GetTicketResponse:
        ticket_id = requests.required_id(request.ticket_id, "ticket_id")
        return responses.ticket_response(*await self._runs.ticket(current_caller(), ticket_id))

    async def SubscribeThread(
        self, request: pb.SubscribeThreadRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeThreadResponse]:
        command = read_requests.subscribe_thread_from_pb(request)
        async with aclosing(self._streams.follow_thread(current_caller(), command)) as items:
            async for item in items:
                yield read_responses.thread_item_to_pb(command.of_id, item)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        query = read_requests.runs_from_pb(request)
        page = await self._reading.runs(current_caller(), query)
        return read_responses.runs_to_pb(request, page)

    async def GetToolCall(
        self, request: pb.GetToolCallRequest, context: Context
    ) -> pb.GetToolCallResponse:
        query = read_requests.tool_call_from_pb(request)
        found = await self._reading.call(current_caller(), query)
        return read_responses.tool_call_response(query, found)

    async def GetThread(
        self, request: pb.GetThreadRequest, context: Context
    ) -> pb.GetThreadResponse:
        thread_id = requests.required_id(request.thread_id, "thread_id")
        return read_responses.thread_response(
            await self._reading.thread(current_caller(), thread_id)
        )

    async def ListThreads(
        self, request: pb.ListThreadsRequest, context: Context
    ) -> pb.ListThreadsResponse:
        query = read_requests.threads_from_pb(request)
        page = await self._reading.threads(current_caller(), query)
        return read_responses.threads_to_pb(request, page)

    async def DeleteThread(
        self, request: pb.DeleteThreadRequest, context: Context
    ) -> pb.DeleteThreadResponse:
        thread_id = requests.required_id(request.thread_id, "thread_id")
        return await read_responses.DELETED.answer(
            request, lambda caller: self._deletion.delete(caller, thread_id)
        )

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        query = read_requests.messages_from_pb(request)
        page = await self._reading.messages(current_caller(), query)
        return read_responses.messages_to_pb(request, page)

    async def GetActiveRun(
        self, request: pb.GetActiveRunRequest, context: Context
    ) -> pb.GetActiveRunResponse:
        thread_id = requests.required_id(request.thread_id, "thread_id")
        return read_responses.active_to_pb(await self._reading.active(current_caller(), thread_id))

    async def InterruptThread(
        self, request: pb.InterruptThreadRequest, context: Context
    ) -> pb.InterruptThreadResponse:
        command = await decoded(request, requests.interrupt_from_pb)
        return await responses.INTERRUPTED.answer(
            request, lambda caller: self._steering.interrupt(caller, command)
        )

    async def InjectInput(
        self, request: pb.InjectInputRequest, context: Context
    ) -> pb.InjectInputResponse:
        command = await decoded(request, requests.inject_from_pb)
        return await responses.INJECTED.answer(
            request, lambda caller: self._steering.inject(caller, command)
        )

    async def EditInput(
        self, request: pb.EditInputRequest, context: Context
    ) -> pb.EditInputResponse:
        command = await decoded(request, requests.edit_from_pb)
        return await responses.EDITED.answer(
            request, lambda caller: self._steering.edit(caller, command)
        )

    async def RetractInput(
        self, request: pb.RetractInputRequest, context: Context
    ) -> pb.RetractInputResponse:
        command = requests.retract_from_pb(request)
        return await responses.RETRACTED.answer(
            request, lambda caller: self._steering.retract(caller, command)
        )

    async def ListPendingInputs(
        self, request: pb.ListPendingInputsRequest, context: Context
    ) -> pb.ListPendingInputsResponse:
        wanted = requests.input_filter_from_pb(request)
        page = await self._steering.pending_inputs(current_caller(), wanted)
        return responses.inputs_to_pb(request, page)

    async def ListDeadDispatches(
        self, request: pb.ListDeadDispatchesRequest, context: Context
    ) -> pb.ListDeadDispatchesResponse:
        query = read_requests.dead_from_pb(request)
        page = await self._dead_letters.dead(current_caller(), query)
        return read_responses.dead_to_pb(request, page)

    async def RedriveDispatch(
        self, request: pb.RedriveDispatchRequest, context: Context
    ) -> pb.RedriveDispatchResponse:
        dispatch_id = requests.required_id(request.dispatch_id, "dispatch_id")
        return await read_responses.REDRIVEN.answer(
            request, lambda caller: self._dead_letters.redrive(caller, dispatch_id)
        )
