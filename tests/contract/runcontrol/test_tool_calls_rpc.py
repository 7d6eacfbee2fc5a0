"""Calls with large texts, over real servers: every list stays small, and each call can be read."""

from __future__ import annotations

from typing import Any

import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.cli.runs.calls import whole_call
from services.cli.talk.clients import connected
from services.cli.talk.endpoints import DEFAULTS
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_approvals_rpc import APPROVE
from tests.contract.runcontrol.test_workers_rpc import apply_clerk, worker_tool
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.raw_worker import hello, session
from tests.support.refusals import refused

# What a client reads unless it says otherwise.
MOST_BYTES = 4 * 1024 * 1024


async def apply_writer(suite: Suite, count: int) -> None:
    """An agent that sends what it is told, in as many calls at once; each needs approval."""
    await suite.open_pool("room")
    call = registry.BuiltinToolCall(tool_id="send", arguments_json='{"body": "${said}"}')
    reply = registry.BuiltinReply(tool_calls=[call] * count)
    asking = registry.BuiltinStep(matches="(?P<said>.+)", tool_results=0, reply=reply)
    await suite.apply_agent(
        "writer",
        asking,
        s.replying("done"),
        tools=[s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True)],
    )


async def tickets(suite: Suite, **fields: Any) -> tuple[list[pb.Ticket], list[int]]:
    """All open tickets, and the sizes of the pages that they came on."""
    request = service.ListTicketsRequest(page_size=200, **fields)
    found, sizes = [], []
    while True:
        page = await suite.runs.ListTickets(request)
        found += page.tickets
        sizes.append(page.ByteSize())
        if not page.next_page_token:
            return found, sizes
        request.page_token = page.next_page_token


async def read(suite: Suite, run_id: str, call_id: str) -> pb.ToolInvocation:
    """A call as the command reads it."""
    served = suite.served["runcontrol"]
    async with connected({**DEFAULTS, "runcontrol": served.target}) as stubs:
        return await whole_call(stubs, run_id, call_id)


@pytest.mark.slow
@on_both_engines
async def test_sixty_four_calls_of_70_kb_can_be_listed_followed_and_read(suite: Suite) -> None:
    # given a run that waits for the approval of 64 calls, with a body of 70 KB in each
    body = "é🚀x" * 10_000
    arguments = f'{{"body": "{body}"}}'
    assert len(arguments.encode()) > 70_000
    await apply_writer(suite, 64)
    run_id = await suite.submit("writer", body, pool_id="room")
    await suite.until_parked(run_id, pb.WAITING_KIND_APPROVAL)

    # when the tickets are listed, and the run is read
    found, sizes = await tickets(suite)
    view = await suite.view(run_id)
    active = await suite.runs.GetActiveRun(
        service.GetActiveRunRequest(thread_id=view.run.thread_id)
    )

    # then every answer is small, and has the beginning of each and how long it is
    assert len(found) == len(view.open_tickets) == len(active.open_tickets) == 64
    assert max(*sizes, view.ByteSize(), active.ByteSize()) < MOST_BYTES // 2
    shown = [*found, *view.open_tickets, *view.tool_calls[1:]]
    assert {each.arguments_chars for each in shown} == {len(arguments)}
    assert all(arguments.startswith(each.arguments_json) for each in shown)
    assert {len(each.arguments_json) for each in found} == {16_384}

    # then so has the message that asks for them, which is as large as all of them
    listed = await suite.runs.ListMessages(
        service.ListMessagesRequest(thread_id=view.run.thread_id, run_id=run_id)
    )
    asked = listed.messages[-1]
    assert asked.whole_bytes > 64 * 70_000
    assert listed.ByteSize() < MOST_BYTES
    assert len(asked.message.parts) == 64

    # then a call can be read whole
    whole = await read(suite, run_id, found[3].tool_call_id)
    assert whole.arguments_json == arguments
    assert whole.arguments_chars == 0


@on_both_engines
async def test_a_call_is_read_in_parts_with_its_times_and_its_worker(suite: Suite) -> None:
    # given a call whose result is 1 MB of text beyond ASCII
    await apply_clerk(suite, worker_tool("lookup"))
    result = "🚀é" * 170_000
    async with session(suite.channel("runcontrol"), hello("lookup")) as worker:
        run_id = await suite.submit("clerk")
        call = await worker.take()
        await worker.hear("go")
        await worker.succeed(call.ref, result)
        await suite.follow(run_id)

    # when it is read part by part
    offset, parts = 0, list[service.GetToolCallResponse]()
    while not parts or offset:
        parts.append(
            await suite.runs.GetToolCall(
                service.GetToolCallRequest(
                    run_id=run_id, tool_call_id=call.ref.tool_call_id, result_offset=offset
                )
            )
        )
        offset = parts[-1].next_result_offset

    # then the parts are the whole, and every other answer has its beginning
    assert "".join(part.call.result for part in parts) == result
    assert [len(part.call.result) for part in parts] == [262_144, 77_856]
    assert {part.call.result_chars for part in parts} == {340_000}
    view = await suite.view(run_id)
    (shown,) = view.tool_calls
    assert shown.result == result[:16_384]
    assert shown.result_chars == 340_000

    # then it says who had it, and when
    found = parts[0].call
    assert (found.worker_id, found.attempt, found.step) == ("worker", 1, 1)
    times = [
        getattr(found, name).ToDatetime()
        for name in ("plan_time", "dispatch_time", "accept_time", "settle_time")
    ]
    assert times == sorted(times)
    assert times[0].year > 2000


async def test_a_call_that_is_not_the_runs_is_not_found(suite: Suite) -> None:
    # given two runs with calls
    await apply_writer(suite, 1)
    first, second = [await suite.submit("writer", pool_id="room") for _ in range(2)]
    for run_id in (first, second):
        await suite.until_parked(run_id, pb.WAITING_KIND_APPROVAL)

    def of(run_id: str, call_id: str, **offsets: int) -> Any:
        return suite.runs.GetToolCall(
            service.GetToolCallRequest(run_id=run_id, tool_call_id=call_id, **offsets)
        )

    # when calls are read that are not there, and from impossible places
    cases = {
        "CALL_NOT_FOUND": [of(first, f"{second}.1.0"), of(first, "none")],
        "RUN_NOT_FOUND": [of("none", f"{first}.1.0")],
        "INVALID_REQUEST": [of(first, "", arguments_offset=-1), of(first, "x", result_offset=-1)],
    }

    # then each is refused, and beyond its end there is nothing more
    for reason, calls in cases.items():
        for call in calls:
            assert (await refused(call)).reason == reason
    beyond = await of(first, f"{first}.1.0", arguments_offset=2**31 - 2)
    assert (beyond.call.arguments_json, beyond.next_arguments_offset) == ("", 0)


@pytest.mark.parametrize("text", ["1.0", "whole"])
async def test_the_command_knows_a_call_by_step_and_index(suite: Suite, text: str) -> None:
    # given a call that was approved
    await apply_writer(suite, 1)
    run_id = await suite.submit("writer", pool_id="room")
    await suite.until_parked(run_id, pb.WAITING_KIND_APPROVAL)
    (ticket,), _ = await tickets(suite, run_id=run_id)
    await suite.decide(APPROVE, ticket_id=ticket.ticket_id)
    await suite.follow(run_id)

    # when it is read by its id, or by step and index
    found = await read(suite, run_id, text if text == "1.0" else ticket.tool_call_id)

    # then it is that call
    assert found.tool_call_id == ticket.tool_call_id
    assert found.state == pb.ToolInvocation.STATE_SUCCEEDED
