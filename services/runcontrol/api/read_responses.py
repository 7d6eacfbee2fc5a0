"""Threads, runs and messages that were read, as messages."""

from __future__ import annotations

from datetime import timedelta

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.calls.call import MutationResponse
from services.chassis.protobuf.decoder import instant_to_pb
from services.chassis.protobuf.pages import page_token
from services.runcontrol.api import enums
from services.runcontrol.api.requests import EPOCH
from services.runcontrol.api.responses import run_to_pb, stored_message_to_pb, ticket_to_pb
from services.runcontrol.core.listing import Page, Place, ThreadView
from services.runcontrol.core.model import Dispatch, Run, StoredMessage, Thread
from services.runcontrol.core.ports import RunView


def active_to_pb(found: tuple[ThreadView, RunView | None]) -> service.GetActiveRunResponse:
    view, run = found
    return service.GetActiveRunResponse(
        run=run_to_pb(run.run) if run else None,
        open_tickets=[ticket_to_pb(ticket) for ticket in run.open_tickets] if run else (),
        queued_dispatches=view.queued,
        head_seq=view.thread.event_seq,
    )


def thread_response(view: ThreadView) -> service.GetThreadResponse:
    return service.GetThreadResponse(thread=_thread_to_pb(view))


def runs_to_pb(
    request: service.ListRunsRequest, page: Page[Run, Place]
) -> service.ListRunsResponse:
    answer = service.ListRunsResponse(runs=map(run_to_pb, page.entries))
    if page.following is not None:
        answer.next_page_token = page_token(request, _position(page.following))
    return answer


def threads_to_pb(
    request: service.ListThreadsRequest, page: Page[ThreadView, Place]
) -> service.ListThreadsResponse:
    answer = service.ListThreadsResponse(threads=map(_thread_to_pb, page.entries))
    if page.following is not None:
        answer.next_page_token = page_token(request, _position(page.following))
    return answer


def dead_to_pb(
    request: service.ListDeadDispatchesRequest, page: Page[Dispatch, Place]
) -> service.ListDeadDispatchesResponse:
    answer = service.ListDeadDispatchesResponse(dispatches=map(_dispatch_to_pb, page.entries))
    if page.following is not None:
        answer.next_page_token = page_token(request, _position(page.following))
    return answer


def redriven_to_pb(dispatch: Dispatch) -> service.RedriveDispatchResponse:
    return service.RedriveDispatchResponse(dispatch=_dispatch_to_pb(dispatch))


def _dispatch_to_pb(dispatch: Dispatch) -> pb.Dispatch:
    return pb.Dispatch(
        dispatch_id=dispatch.dispatch_id,
        run_id=dispatch.run_id,
        thread_id=dispatch.thread_id,
        state=enums.DISPATCH_STATES.to_pb[dispatch.state],
        kind=enums.DISPATCH_KINDS.to_pb[dispatch.kind],
        attempt=dispatch.attempt,
        handoffs=dispatch.handoffs,
        available_time=instant_to_pb(dispatch.available_at),
        last_error=dispatch.last_error,
        redrive_of=dispatch.redrive_of,
        redriven_run_id=dispatch.redriven_run_id,
    )


def messages_to_pb(
    request: service.ListMessagesRequest, page: Page[StoredMessage, int]
) -> service.ListMessagesResponse:
    answer = service.ListMessagesResponse(messages=map(stored_message_to_pb, page.entries))
    if page.following is not None:
        answer.next_page_token = page_token(request, (page.following,))
    return answer


def _position(place: Place) -> tuple[int, str]:
    at, name = place
    return (at - EPOCH) // timedelta(microseconds=1), name


def _thread_to_pb(view: ThreadView) -> pb.Thread:
    thread = view.thread
    return pb.Thread(
        thread_id=thread.thread_id,
        state=_state(thread),  # type: ignore[arg-type]  # one of its values
        epoch=thread.epoch,
        fence=thread.fence,
        agent_id=thread.agent_id,
        active_run_id=thread.active_run_id,
        open_run_id=thread.open_run_id,
        latest_run_id=thread.latest_run_id,
        queued_dispatches=view.queued,
        head_seq=thread.event_seq,
        create_time=instant_to_pb(thread.created_at),
        update_time=instant_to_pb(thread.updated_at),
    )


def _state(thread: Thread) -> int:
    if thread.active_run_id:
        return pb.Thread.STATE_ACTIVE
    if thread.ready_at is not None:
        return pb.Thread.STATE_READY
    return pb.Thread.STATE_PARKED if thread.open_run_id else pb.Thread.STATE_IDLE


REDRIVEN = MutationResponse(service.RedriveDispatchResponse, redriven_to_pb)
