"""Requests for lists become queries; every violation of a request is found at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.ids import id_violations
from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.decoder import Decoder
from services.chassis.protobuf.pages import page_position
from services.runcontrol.api import enums
from services.runcontrol.api.requests import (
    RUN_CURSORS,
    THREAD_CURSORS,
    TICKET_CURSORS,
    labels_from_pb,
)
from services.runcontrol.core.dead_letters import DeadQuery
from services.runcontrol.core.limits import page_size
from services.runcontrol.core.listing import (
    NEWEST,
    OLDEST,
    CallQuery,
    MessageQuery,
    Place,
    RunQuery,
    ThreadQuery,
)
from services.runcontrol.core.subscribing import SubscribeCommand, SubscribeFrom

# The next character still has a number that both databases take.
MAX_OFFSET = 2**31 - 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def runs_from_pb(request: service.ListRunsRequest) -> RunQuery:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    states = [
        decoder.required_enum(enums.RUN_STATES, state, f"states[{index}]")
        for index, state in enumerate(request.states)
    ]
    query = RunQuery(
        thread_id=decoder.optional_id(request.thread_id, "thread_id"),
        agent_id=decoder.optional_id(request.agent_id, "agent_id"),
        submitted_by=decoder.optional_id(request.submitted_by, "submitted_by"),
        states=frozenset(states),
        labels=labels_from_pb(request.labels, decoder),
        since=decoder.time(request, "since_time", ""),
        until=decoder.time(request, "until_time", ""),
        limit=page_size(decoder.number(request.page_size, "page_size", least=0)),
        before=page_position(request, _place, decoder) or NEWEST,
    )
    decoder.check()
    return query


def dead_from_pb(request: service.ListDeadDispatchesRequest) -> DeadQuery:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    query = DeadQuery(
        thread_id=decoder.optional_id(request.thread_id, "thread_id"),
        limit=page_size(decoder.number(request.page_size, "page_size", least=0)),
        after=page_position(request, _place, decoder) or OLDEST,
    )
    decoder.check()
    return query


def threads_from_pb(request: service.ListThreadsRequest) -> ThreadQuery:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    query = ThreadQuery(
        limit=page_size(decoder.number(request.page_size, "page_size", least=0)),
        before=page_position(request, _place, decoder) or NEWEST,
    )
    decoder.check()
    return query


def messages_from_pb(request: service.ListMessagesRequest) -> MessageQuery:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    query = MessageQuery(
        thread_id=decoder.id(request.thread_id, "thread_id"),
        run_id=decoder.optional_id(request.run_id, "run_id"),
        limit=page_size(decoder.number(request.page_size, "page_size", least=0)),
        after=page_position(request, _sequence, decoder) or MessageQuery.BEGINNING,
    )
    decoder.check()
    return query


def tool_call_from_pb(request: service.GetToolCallRequest) -> CallQuery:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    query = CallQuery(
        run_id=decoder.id(request.run_id, "run_id"),
        call_id=decoder.id(request.tool_call_id, "tool_call_id"),
        arguments_from=decoder.number(
            request.arguments_offset, "arguments_offset", least=0, most=MAX_OFFSET
        ),
        result_from=decoder.number(
            request.result_offset, "result_offset", least=0, most=MAX_OFFSET
        ),
    )
    decoder.check()
    return query


def _place(micros: int, name: str) -> Place:
    if type(micros) is not int or id_violations(name, "page_token"):
        raise ValueError(f"not a place: {micros!r}")
    try:
        at: datetime = _EPOCH + timedelta(microseconds=micros)
    except OverflowError as error:
        raise ValueError(f"not a time: {micros}") from error
    return at, name


def _sequence(seq: int) -> int:
    if type(seq) is not int or not 0 <= seq < 1 << 62:
        raise ValueError(f"not a sequence: {seq!r}")
    return seq


def subscribe_from_pb(request: service.SubscribeRunRequest) -> SubscribeCommand:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    return _subscription(request, "run_id", RUN_CURSORS)


def subscribe_thread_from_pb(request: service.SubscribeThreadRequest) -> SubscribeCommand:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    return _subscription(request, "thread_id", THREAD_CURSORS)


def subscribe_tickets_from_pb(request: service.SubscribeTicketsRequest, tenant: str) -> int | None:
    """The sequence after which to go on; None = begin with the open tickets.

    Raises:
        InvalidRequestError: The cursor is none of the caller's tenant.
    """
    if not request.after:
        return None
    decoder = Decoder()
    after = TICKET_CURSORS.decode(request.after, tenant, "after", decoder)
    decoder.check()
    return after


def _subscription(
    request: service.SubscribeRunRequest | service.SubscribeThreadRequest,
    field: str,
    cursors: Cursors,
) -> SubscribeCommand:
    decoder = Decoder()
    of_id = decoder.id(getattr(request, field), field)
    command = SubscribeCommand(
        of_id,
        decoder.enum(enums.STARTS, request.start, "start", SubscribeFrom.BEGINNING),
        cursors.decode(request.after, of_id, "after", decoder) if request.after else None,
    )
    decoder.check()
    return command
