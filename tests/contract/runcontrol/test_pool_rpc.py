"""Agents that meet in a pool: join, send, park, wake, respond; and wakes at odd moments."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import grpc
import pytest

from runyard.pool.v1.pool_pb2 import Address, InlineBody, Message
from runyard.pool.v1.pool_service_pb2 import GetMessageRequest, SendMessageRequest
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.outbox import OutboxRow
from services.chassis.rpc_status import reason_of
from services.runcontrol.clients.pool import PoolClient
from services.runcontrol.core.commands import JoinCommand, encode_command
from tests.contract.runcontrol.conftest import Suite
from tests.support import scenario as s
from tests.support.engines import on_both_engines
from tests.support.spans import recording

SENT = r'"message_id": "(?P<message_id>[^"]+)", "state": "delivered"'
ANSWERED = r'"from_agent_id": "analyst".*"body": "(?P<body>[^"]+)"'
ASKED = r'"message_id": "(?P<message_id>[^"]+)", "from_run_id".*"body": "what is'
NOTHING_YET = r"^go$"


def step(matches: str, tool_id: str, arguments_json: str) -> registry.BuiltinStep:
    call = registry.BuiltinToolCall(tool_id=tool_id, arguments_json=arguments_json)
    return registry.BuiltinStep(matches=matches, reply=registry.BuiltinReply(tool_calls=[call]))


async def two_agents(suite: Suite) -> int:
    """A scout that asks an analyst something and waits, and an analyst that waits and answers."""
    await suite.open_pool("room")
    question = '{"to": {"agent_id": "analyst"}, "body": "what is six times seven?"}'
    scout = s.builtin_provider(
        "scout-provider",
        step(NOTHING_YET, "send", question),
        step(SENT, "wait", '{"reply_to": "${message_id}"}'),
        s.replying("the answer is ${body}", matches=ANSWERED),
    )
    answer = '{"message_id": "${message_id}", "body": "42"}'
    analyst = s.builtin_provider(
        "analyst-provider",
        step(NOTHING_YET, "wait", "{}"),
        step(ASKED, "respond", answer),
        s.replying("answered"),
    )
    return await s.apply(
        suite.channel("registry"),
        scout,
        analyst,
        s.model("scout-model", "scout-provider", tools=True),
        s.model("analyst-model", "analyst-provider", tools=True),
        s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND),
        s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT),
        s.builtin_tool("respond", registry.BUILTIN_TOOL_POOL_RESPOND),
        s.agent("scout", "scout-model", "send", "wait"),
        s.agent("analyst", "analyst-model", "wait", "respond"),
    )


async def parked_analyst(suite: Suite, version: int) -> str:
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "analyst", "go", pool_id="room", min_version=version)
    cursor, _ = await s.until(channel, run_id, "step_started")
    await s.until(channel, run_id, "run_parked", cursor)
    return run_id


@on_both_engines
async def test_two_agents_talk_through_a_pool(suite: Suite) -> None:
    # given an analyst that waits for a message
    version = await two_agents(suite)
    analyst = await parked_analyst(suite, version)
    channel = suite.channel("runcontrol")

    # when a scout asks it something and waits for the answer
    scout = await s.submit(channel, "scout", "go", pool_id="room", min_version=version)
    asked = await s.follow_to_end(channel, scout)
    answered = await s.follow_to_end(channel, analyst)

    # then each was woken by the other's message, and both ended naturally
    assert asked[-1].run_finished.output_text == "the answer is 42"
    assert answered[-1].run_finished.output_text == "answered"
    for events in (asked, answered):
        assert s.uncovered_gaps(events) == []
        wakes = [e.run_woken for e in events if e.HasField("run_woken")]
        assert [w.wake_status for w in wakes if w.cause == "wake"] == [pb.WAKE_STATUS_TRIGGERED]


@on_both_engines
async def test_a_shown_message_is_acknowledged_in_the_pool(suite: Suite) -> None:
    # given two agents that have talked
    version = await two_agents(suite)
    analyst = await parked_analyst(suite, version)
    channel = suite.channel("runcontrol")
    scout = await s.submit(channel, "scout", "go", pool_id="room", min_version=version)
    await s.follow_to_end(channel, scout)
    events = await s.follow_to_end(channel, analyst)

    # when the pool is asked about the message the analyst has read
    texts = [
        part.text.text
        for e in events
        if e.message_committed.message.origin == pb.MESSAGE_ORIGIN_POOL
        for part in e.message_committed.message.message.parts
    ]
    (shown,) = texts
    message_id = json.loads(shown)["message_id"]
    found = await suite.pools.GetMessage(GetMessageRequest(pool_id="room", message_id=message_id))

    # then nothing of it is left to deliver
    assert json.loads(shown)["body"] == "what is six times seven?"
    assert message_id == found.message.message_id


async def test_a_refused_join_ends_the_run(suite: Suite) -> None:
    # given a pool that nobody opened
    version = await two_agents(suite)
    channel = suite.channel("runcontrol")

    # when a run is to join it
    run_id = await s.submit(channel, "scout", "go", pool_id="nowhere", min_version=version)
    events = await s.follow_to_end(channel, run_id)

    # then it ends without having asked a model
    termination = events[-1].run_finished.termination
    assert (
        termination.reason,
        termination.error_reason,
    ) == (pb.TERMINATION_REASON_ERROR, "JOIN_REFUSED")
    assert "step_started" not in s.kinds(events)


async def test_a_join_that_is_repeated_keeps_its_place_in_the_log(suite: Suite) -> None:
    # given a join that the pool took, and whose answer was lost
    await suite.open_pool("room")
    join = PoolClient(suite.channel("pool")).deliveries()[JoinCommand.kind]
    command = JoinCommand("default", "local", "run-1", "run-1.0.0", "room", "helper")
    row = OutboxRow(
        "lane", 1, "id", command.kind, encode_command(command), "", 0, datetime.now(UTC)
    )
    first = await join(row)

    # when it is repeated after a message to the run
    await suite.pools.SendMessage(
        SendMessageRequest(
            pool_id="room",
            message=Message(
                from_run_id="run-1",
                idempotency_key="k",
                to=Address(run_id="run-1"),
                inline_body=InlineBody(data=b"hi", media_type="text/plain"),
            ),
        )
    )
    again = await join(row)

    # then its waits still begin before the message
    assert again == first


@on_both_engines
async def test_a_wake_delivered_by_hand_resumes_the_run_once(suite: Suite) -> None:
    # given a run that waits in a pool
    version = await two_agents(suite)
    run_id = await parked_analyst(suite, version)
    view = await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))
    (reason,) = view.run.waiting_reasons
    request = service.DeliverWakeRequest(
        pool_id="room",
        condition_id=reason.condition_id,
        run_id=run_id,
        status=pb.WAKE_STATUS_TIMED_OUT,
    )

    # when its wait times out, is told so twice, and once more after the end
    first = await suite.runs.DeliverWake(request)
    second = await suite.runs.DeliverWake(request)
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)
    request.condition_id = "another"
    late = await suite.runs.DeliverWake(request)

    # then it goes on once
    assert reason.kind == pb.WAITING_KIND_WAKE
    assert first.outcome == service.WAKE_OUTCOME_ACCEPTED
    assert second.outcome == service.WAKE_OUTCOME_DUPLICATE
    assert late.outcome == service.WAKE_OUTCOME_RUN_FINISHED
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert '"status": "timed_out"' in settled[-1].result
    assert s.uncovered_gaps(events) == []


async def test_a_wake_for_nobody_is_not_found(suite: Suite) -> None:
    # given no run of that name
    request = service.DeliverWakeRequest(
        pool_id="room", condition_id="c", run_id="none", status=pb.WAKE_STATUS_TRIGGERED
    )

    # when a wake comes for it
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await suite.runs.DeliverWake(request)

    # then the pool is told, so that it gives up
    assert reason_of(refused.value).reason == "RUN_NOT_FOUND"


async def test_a_woken_run_links_to_its_cause_and_its_suspension(suite: Suite) -> None:
    # given two agents
    version = await two_agents(suite)

    # when they talk while spans are recorded
    with recording() as recorded:
        analyst = await parked_analyst(suite, version)
        channel = suite.channel("runcontrol")
        scout = await s.submit(channel, "scout", "go", pool_id="room", min_version=version)
        await s.follow_to_end(channel, scout)
        await s.follow_to_end(channel, analyst)
        spans = recorded.spans

    # then the analyst's activations are one trace, and the woken one links to another trace
    activations = [x for x in spans if x.name == "invoke_agent analyst"]
    assert len({x.context.trace_id for x in activations}) == 1
    links = {
        link.attributes["runyard.link.type"]: link
        for x in activations
        for link in x.links
        if link.attributes
    }
    assert links["wake_cause"].context.trace_id != activations[0].context.trace_id
    steps = {x.context.span_id for x in spans if x.name == "step"}
    assert links["suspended_by"].context.span_id in steps
