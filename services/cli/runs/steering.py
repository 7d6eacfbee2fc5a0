"""Steering threads and runs: cancel, interrupt, say something, change what was said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.layout import Part
from services.cli.base.messages import short_name
from services.cli.talk.clients import Clients
from services.cli.talk.command import new_request_id
from services.cli.talk.paging import pages

_PAGE_SIZE = 200


class ModeName(StrEnum):
    """What the command can do to work that is under way."""

    QUEUE = "queue"
    INTERRUPT = "interrupt"
    RESUME = "resume"
    LIVE = "live"


MODES = {
    ModeName.QUEUE: pb.INJECT_MODE_QUEUE,
    ModeName.INTERRUPT: pb.INJECT_MODE_INTERRUPT_THEN_QUEUE,
    ModeName.RESUME: pb.INJECT_MODE_RESUME_OPEN_RUN,
    ModeName.LIVE: pb.INJECT_MODE_LIVE_THEN_QUEUE,
}


async def cancel(
    stubs: Clients, request: service_pb.CancelRunRequest
) -> service_pb.CancelRunResponse:
    return await stubs.call("runcontrol", stubs.runcontrol.CancelRun, request)


async def interrupt(
    stubs: Clients, request: service_pb.InterruptThreadRequest
) -> service_pb.InterruptThreadResponse:
    request.request_id = new_request_id()
    return await stubs.call("runcontrol", stubs.runcontrol.InterruptThread, request)


async def inject(
    stubs: Clients, request: service_pb.InjectInputRequest
) -> service_pb.InjectInputResponse:
    request.request_id = new_request_id()
    return await stubs.call("runcontrol", stubs.runcontrol.InjectInput, request)


async def edit(stubs: Clients, request: service_pb.EditInputRequest) -> pb.Input:
    request.request_id = new_request_id()
    answer = await stubs.call("runcontrol", stubs.runcontrol.EditInput, request)
    return answer.input


async def retract(stubs: Clients, request: service_pb.RetractInputRequest) -> pb.Input:
    request.request_id = new_request_id()
    answer = await stubs.call("runcontrol", stubs.runcontrol.RetractInput, request)
    return answer.input


async def pending_inputs(stubs: Clients, thread_id: str) -> AsyncIterator[pb.Input]:
    request = service_pb.ListPendingInputsRequest(thread_id=thread_id, page_size=_PAGE_SIZE)
    async for page in pages(stubs, "runcontrol", stubs.runcontrol.ListPendingInputs, request):
        for each in page.inputs:
            yield each


def became(answer: service_pb.InjectInputResponse) -> list[Part]:
    """What became of input, as parts of a line."""
    run: Part = (answer.input.run_id, "bold")
    match answer.disposition:
        case pb.INPUT_DISPOSITION_RESUMED:
            return ["run ", run, " continues with it"]
        case pb.INPUT_DISPOSITION_LIVE:
            return ["run ", run, " reads it at its next step; if it ends before, the next run does"]
        case pb.INPUT_DISPOSITION_BLOCKED_BY_TICKETS:
            return ["run ", run, f" reads it once it is decided about {_ids(answer)}"]
        case pb.INPUT_DISPOSITION_BLOCKED_BY_CALLS:
            return ["run ", run, f" reads it once it has the results of {_ids(answer)}"]
    return ["run ", run, " is queued for it"]


def _ids(answer: service_pb.InjectInputResponse) -> str:
    return ", ".join(answer.blocked_by_ids)


def stopped(answer: service_pb.InterruptThreadResponse) -> str:
    """What an interrupt stopped, as words."""
    found = []
    if answer.interrupted_run_id:
        found.append(f"run {answer.interrupted_run_id}")
    if answer.superseded_count:
        found.append(f"{answer.superseded_count} queued")
    return " and ".join(found) or "nothing was under way"


def outcome(answer: service_pb.CancelRunResponse) -> str:
    """The name of the outcome of a cancel, as words."""
    return short_name(service_pb.CancelOutcome.DESCRIPTOR, answer.outcome).replace("_", " ")
