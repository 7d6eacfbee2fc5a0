"""Threads, runs, messages and events that were read, as messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import stream_pb2 as stream
from services.chassis.calls.call import MutationResponse
from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.decoder import instant_to_pb
from services.chassis.protobuf.pages import page_token
from services.runcontrol.api import enums
from services.runcontrol.api.requests import (
    EPOCH,
    RUN_CURSORS,
    THREAD_CURSORS,
    TICKET_CURSORS,
)
from services.runcontrol.api.responses import (
    call_view_to_pb,
    input_to_pb,
    run_to_pb,
    shown_ticket_to_pb,
    stored_message_to_pb,
    ticket_to_pb,
)
from services.runcontrol.core.deleting import Deleted
from services.runcontrol.core.excerpts import share_chars
from services.runcontrol.core.exchange import Ticket
from services.runcontrol.core.limits import PART_CHARS
from services.runcontrol.core.listing import CallQuery, Page, Place, ThreadView
from services.runcontrol.core.model import Dispatch, Run, StoredMessage, Thread
from services.runcontrol.core.ports import CallView, RunView
from services.runcontrol.core.subscribing import (
    RunEvents,
    RunHeartbeat,
    RunItem,
    RunReconnect,
    RunSnapshot,
    ThreadSnapshot,
)
from services.runcontrol.core.ticket_feed import (
    OpenTickets,
    OpenTicketsEnd,
    TicketChanges,
    TicketItem,
)


def active_to_pb(found: tuple[ThreadView, RunView | None]) -> service.GetActiveRunResponse:
    view, run = found
    return service.GetActiveRunResponse(
        run=run_to_pb(run.run, run.lease) if run else None,
        open_tickets=_tickets(run.open_tickets) if run else (),
        queued_dispatches=view.queued,
        head_seq=view.thread.event_seq,
    )


def thread_response(view: ThreadView) -> service.GetThreadResponse:
    return service.GetThreadResponse(thread=_thread_to_pb(view))


def runs_to_pb(
    request: service.ListRunsRequest, page: Page[Run, Place]
) -> service.ListRunsResponse:
    return service.ListRunsResponse(
        runs=map(run_to_pb, page.entries),
        next_page_token=page_token(request, _position(page.following)),
    )


def threads_to_pb(
    request: service.ListThreadsRequest, page: Page[ThreadView, Place]
) -> service.ListThreadsResponse:
    return service.ListThreadsResponse(
        threads=map(_thread_to_pb, page.entries),
        next_page_token=page_token(request, _position(page.following)),
    )


def dead_to_pb(
    request: service.ListDeadDispatchesRequest, page: Page[Dispatch, Place]
) -> service.ListDeadDispatchesResponse:
    return service.ListDeadDispatchesResponse(
        dispatches=map(_dispatch_to_pb, page.entries),
        next_page_token=page_token(request, _position(page.following)),
    )


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


def _tickets(tickets: Sequence[Ticket]) -> list[pb.Ticket]:
    chars = share_chars(2 * len(tickets))
    return [ticket_to_pb(ticket, chars) for ticket in tickets]


def tool_call_response(query: CallQuery, view: CallView) -> service.GetToolCallResponse:
    call = view.call
    return service.GetToolCallResponse(
        call=call_view_to_pb(view, PART_CHARS),
        next_arguments_offset=_following(
            query.arguments_from, call.arguments_json, view.arguments_chars
        ),
        next_result_offset=_following(query.result_from, call.result, view.result_chars),
    )


def _following(begins_behind: int, part: str, whole_chars: int) -> int:
    """Where the part after this one begins; 0 when there is none."""
    end = begins_behind + len(part)
    return end if part and end < whole_chars else 0


def tickets_to_pb(
    request: service.ListTicketsRequest, page: Page[Ticket, Place]
) -> service.ListTicketsResponse:
    return service.ListTicketsResponse(
        tickets=map(ticket_to_pb, page.entries),
        next_page_token=page_token(request, _position(page.following)),
    )


def messages_to_pb(
    request: service.ListMessagesRequest, page: Page[StoredMessage, int]
) -> service.ListMessagesResponse:
    position = None if page.following is None else (page.following,)
    return service.ListMessagesResponse(
        messages=map(stored_message_to_pb, page.entries),
        next_page_token=page_token(request, position),
    )


def _position(place: Place | None) -> tuple[int, str] | None:
    if place is None:
        return None
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


def run_item_to_pb(run_id: str, item: RunItem) -> service.SubscribeRunResponse:
    return service.SubscribeRunResponse(items=_items(RUN_CURSORS, run_id, item))


def thread_item_to_pb(thread_id: str, item: RunItem) -> service.SubscribeThreadResponse:
    return service.SubscribeThreadResponse(items=_items(THREAD_CURSORS, thread_id, item))


def _items(cursors: Cursors, of_id: str, item: RunItem) -> list[service.SubscriptionItem]:
    at = partial(cursors.encode, of_id)
    match item:
        case RunSnapshot(view):
            seq = view.run.event_seq
            return [service.SubscriptionItem(cursor=at(seq), snapshot=_snapshot(view, seq))]
        case ThreadSnapshot(thread, run):
            seq = thread.thread.event_seq
            return [service.SubscriptionItem(cursor=at(seq), snapshot=_snapshot(run, seq))]
        case RunEvents(events):
            return [
                service.SubscriptionItem(cursor=at(seq), event=pb.Event.FromString(body))
                for seq, body in events
            ]
        case RunHeartbeat(seq, instant):
            beat = stream.Heartbeat(cursor=at(seq), server_time=instant_to_pb(instant))
            return [service.SubscriptionItem(cursor=at(seq), heartbeat=beat)]
        case RunReconnect(seq):
            ending = stream.Reconnect(cursor=at(seq))
            return [service.SubscriptionItem(cursor=at(seq), reconnect=ending)]


def ticket_item_to_pb(tenant: str, item: TicketItem) -> service.SubscribeTicketsResponse:
    return service.SubscribeTicketsResponse(items=_ticket_items(tenant, item))


def _ticket_items(tenant: str, item: TicketItem) -> list[service.TicketItem]:
    at = partial(TICKET_CURSORS.encode, tenant)
    match item:
        case OpenTickets(tickets):
            return [service.TicketItem(open_ticket=shown_ticket_to_pb(each)) for each in tickets]
        case OpenTicketsEnd(seq, count):
            end = service.OpenTicketsEnd(tickets=count)
            return [service.TicketItem(cursor=at(seq), open_tickets_end=end)]
        case TicketChanges(changes):
            return [
                service.TicketItem(
                    cursor=at(each.seq), changed_ticket=shown_ticket_to_pb(each.shown)
                )
                for each in changes
            ]
        case RunHeartbeat(seq, instant):
            beat = stream.Heartbeat(cursor=at(seq), server_time=instant_to_pb(instant))
            return [service.TicketItem(cursor=at(seq), heartbeat=beat)]
        case RunReconnect(seq):
            ending = stream.Reconnect(cursor=at(seq))
            return [service.TicketItem(cursor=at(seq), reconnect=ending)]


def _snapshot(view: RunView | None, head_seq: int) -> pb.RunSnapshot:
    if view is None:
        return pb.RunSnapshot(head_seq=head_seq)
    return pb.RunSnapshot(
        run=run_to_pb(view.run, view.lease),
        open_tickets=_tickets(view.open_tickets),
        pending_inputs=[input_to_pb(each) for each in view.pending_inputs],
        head_seq=head_seq,
    )


def deleted_to_pb(deleted: Deleted) -> service.DeleteThreadResponse:
    return service.DeleteThreadResponse(
        cancelled_run_ids=deleted.cancelled,
        cancelled_count=deleted.count,
        delete_time=instant_to_pb(deleted.thread.deleted_at),
        deleted_by=deleted.thread.deleted_by,
    )


DELETED = MutationResponse(service.DeleteThreadResponse, deleted_to_pb)
REDRIVEN = MutationResponse(service.RedriveDispatchResponse, redriven_to_pb)
