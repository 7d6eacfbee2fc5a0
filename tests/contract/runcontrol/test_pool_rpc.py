"""Agents in a pool: join, send, park, wake, respond; and wakes that are repeated or late."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from runyard.pool.v1.pool_pb2 import Address, InlineBody, Message
from runyard.pool.v1.pool_service_pb2 import GetMessageRequest, SendMessageRequest
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.outbox.rows import OutboxRow
from services.runcontrol.clients.pool import PoolClient
from services.runcontrol.core.commands import JoinCommand, encode_command
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.event_order import uncovered_gaps
from tests.support.refusals import refused
from tests.support.spans import recording

SENT = r'"message_id": "(?P<message_id>[^"]+)", "state": "delivered"'
ANSWERED = r'"from_agent_id": "analyst".*"body": "(?P<body>[^"]+)"'
ASKED = r'"message_id": "(?P<message_id>[^"]+)", "from_run_id".*"body": "what is'
NOTHING_YET = r"^go$"


async def apply_two_agents(suite: Suite) -> None:
    """A scout that asks an analyst something and waits, and an analyst that waits and answers."""
    await suite.open_pool("room")
    wait = s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT)
    question = '{"to": {"agent_id": "analyst"}, "body": "what is six times seven?"}'
    await suite.apply_agent(
        "scout",
        s.calling("send", question, matches=NOTHING_YET),
        s.calling("wait", '{"reply_to": "${message_id}"}', matches=SENT),
        s.replying("the answer is ${body}", matches=ANSWERED),
        tools=[s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND), wait],
    )
    await suite.apply_agent(
        "analyst",
        s.calling("wait", "{}", matches=NOTHING_YET),
        s.calling("respond", '{"message_id": "${message_id}", "body": "42"}', matches=ASKED),
        s.replying("answered"),
        tools=[wait, s.builtin_tool("respond", registry.BUILTIN_TOOL_POOL_RESPOND)],
    )


async def parked_analyst(suite: Suite) -> str:
    """Apply the two agents; answer an analyst's run that waits for a message."""
    await apply_two_agents(suite)
    run_id = await suite.submit("analyst", pool_id="room")
    await suite.until_parked(run_id, pb.WAITING_KIND_WAKE)
    return run_id


Events = list[pb.Event]


async def ask_the_analyst(suite: Suite, analyst: str) -> tuple[str, Events, Events]:
    """A scout asks the analyst; answer the scout's id, its events, and the analyst's."""
    scout = await suite.submit("scout", pool_id="room")
    return scout, await suite.follow(scout), await suite.follow(analyst)


@on_both_engines
async def test_two_agents_talk_through_a_pool(suite: Suite) -> None:
    # given an analyst that waits for a message
    analyst = await parked_analyst(suite)

    # when a scout asks it something and waits for the answer
    _, asked, answered = await ask_the_analyst(suite, analyst)

    # then each was woken by the other's message, and both have ended
    assert asked[-1].run_finished.output_text == "the answer is 42"
    assert answered[-1].run_finished.output_text == "answered"
    for events in (asked, answered):
        assert uncovered_gaps(events) == []
        wakes = [e.run_woken for e in events if e.HasField("run_woken")]
        assert [w.wake_status for w in wakes if w.cause == "wake"] == [pb.WAKE_STATUS_TRIGGERED]


@on_both_engines
async def test_a_shown_message_is_acknowledged_in_the_pool(suite: Suite) -> None:
    # given two agents that have talked
    analyst = await parked_analyst(suite)
    _, _, events = await ask_the_analyst(suite, analyst)

    # when the pool is asked about the message the analyst has read
    (shown,) = [
        part.text.text
        for e in events
        if e.message_committed.message.origin == pb.MESSAGE_ORIGIN_POOL
        for part in e.message_committed.message.message.parts
    ]
    message_id = json.loads(shown)["message_id"]
    found = await suite.pools.GetMessage(GetMessageRequest(pool_id="room", message_id=message_id))

    # then the message has no delivery left
    assert json.loads(shown)["body"] == "what is six times seven?"
    assert message_id == found.message.message_id


async def test_a_refused_join_ends_the_run(suite: Suite) -> None:
    # given a pool that nobody opened
    await apply_two_agents(suite)

    # when a run joins it at submit
    run_id = await suite.submit("scout", pool_id="nowhere")
    events = await suite.follow(run_id)

    # then it ends without a model call
    termination = events[-1].run_finished.termination
    assert termination.reason == pb.TERMINATION_REASON_ERROR
    assert termination.error_reason == "JOIN_REFUSED"
    assert termination.message.startswith("the pool refused the join: ")
    assert "step_started" not in s.kinds(events)


async def test_a_repeated_join_keeps_its_cursor(suite: Suite) -> None:
    # given a join whose answer was lost
    await suite.open_pool("room")
    join = PoolClient(suite.channel("pool")).deliveries()[JoinCommand.kind]
    command = JoinCommand("default", "local", "run-1", "run-1.0.0", "room", "helper")
    row = OutboxRow(
        "lane", 1, "id", command.kind, encode_command(command), "", 0, datetime.now(UTC)
    )
    first = await join(row)

    # when it is repeated after a message to the run
    message = Message(
        from_run_id="run-1",
        idempotency_key="k",
        to=Address(run_id="run-1"),
        inline_body=InlineBody(data=b"hi", media_type="text/plain"),
    )
    await suite.pools.SendMessage(SendMessageRequest(pool_id="room", message=message))
    again = await join(row)

    # then its waits begin before the message
    assert again == first


@on_both_engines
async def test_a_repeated_wake_resumes_the_run_once(suite: Suite) -> None:
    # given a run that waits in a pool
    run_id = await parked_analyst(suite)
    view = await suite.view(run_id)
    (reason,) = view.run.waiting_reasons
    request = service.DeliverWakeRequest(
        pool_id="room",
        condition_id=reason.condition_id,
        run_id=run_id,
        status=pb.WAKE_STATUS_TIMED_OUT,
    )

    # when its time-out is delivered twice, and again after its end
    first = await suite.runs.DeliverWake(request)
    second = await suite.runs.DeliverWake(request)
    events = await suite.follow(run_id)
    request.condition_id = "another"
    late = await suite.runs.DeliverWake(request)

    # then it has continued once
    assert reason.kind == pb.WAITING_KIND_WAKE
    assert first.outcome == service.WAKE_OUTCOME_ACCEPTED
    assert second.outcome == service.WAKE_OUTCOME_DUPLICATE
    assert late.outcome == service.WAKE_OUTCOME_RUN_FINISHED
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert '"status": "timed_out"' in settled[-1].result
    assert uncovered_gaps(events) == []


async def test_a_wake_for_an_unknown_run_is_not_found(suite: Suite) -> None:
    # given no run of that name
    request = service.DeliverWakeRequest(
        pool_id="room", condition_id="c", run_id="none", status=pb.WAKE_STATUS_TRIGGERED
    )

    # when a wake arrives for it
    refusal = await refused(suite.runs.DeliverWake(request))

    # then it is refused as not found, so that the pool gives up
    assert refusal.reason == "RUN_NOT_FOUND"


async def test_a_woken_run_links_to_its_cause_and_its_suspension(suite: Suite) -> None:
    # when two agents exchange messages while spans are recorded
    with recording() as recorded:
        await ask_the_analyst(suite, await parked_analyst(suite))
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
