"""Agents in a pool: join, send, park, wake, respond; and wakes that are repeated or late."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from runyard.pool.v1.pool_pb2 import Address, Correlation, InlineBody, Message
from runyard.pool.v1.pool_service_pb2 import (
    GetMessageRequest,
    JoinPoolRequest,
    SendMessageRequest,
)
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
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


async def say(suite: Suite, run_id: str, text: str, key: str = "", value: str = "") -> None:
    """A message to a run from a member that is no run of this server."""
    member = JoinPoolRequest(pool_id="room", run_id="outside", agent_id="clerk")
    await suite.pools.JoinPool(member)
    message = Message(
        from_run_id="outside",
        idempotency_key=text,
        to=Address(run_id=run_id),
        inline_body=InlineBody(data=text.encode(), media_type="text/plain"),
        correlation=[Correlation(key=key, value=value)] if key else [],
    )
    await suite.pools.SendMessage(SendMessageRequest(pool_id="room", message=message))


def bodies(events: Events) -> list[str]:
    """The bodies of the pool's messages in the conversation."""
    return [
        json.loads(part.text.text)["body"]
        for e in events
        if e.message_committed.message.origin == pb.MESSAGE_ORIGIN_POOL
        for part in e.message_committed.message.message.parts
    ]


def results(events: Events) -> list[dict[str, object]]:
    """What the calls that succeeded have answered, objects alone."""
    settled = [e.tool_call_settled.result for e in events if e.HasField("tool_call_settled")]
    return [json.loads(each) for each in settled if each.startswith("{")]


@on_both_engines
async def test_an_agent_looks_for_messages_without_waiting(suite: Suite) -> None:
    # given an agent that asks a person, looks for messages twice, and then waits for one
    await suite.open_pool("room")
    await suite.apply_agent(
        "reader",
        s.calling("ask", '{"question": "ready?"}', matches=NOTHING_YET),
        s.calling("check", '{"max_messages": 2}', matches="^yes$"),
        s.calling("check", "{}", matches='"body": "two"'),
        s.calling("wait", "{}", matches='"body": "three"'),
        s.replying("read"),
        tools=[
            s.builtin_tool("ask", registry.BUILTIN_TOOL_ASK_HUMAN),
            s.builtin_tool("check", registry.BUILTIN_TOOL_POOL_CHECK),
            s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT),
        ],
    )
    run_id = await suite.submit("reader", pool_id="room")
    await suite.until_parked(run_id, pb.WAITING_KIND_USER_INPUT)
    for text in ("one", "two", "three"):
        await say(suite, run_id, text)

    # when it goes on, and a fourth message comes while it waits
    (ticket,) = (await suite.view(run_id)).open_tickets
    yes = pb.Verdict(answer=pb.Answer(content="yes"))
    await suite.decide(yes, ticket_id=ticket.ticket_id)
    await suite.until_parked(run_id, pb.WAITING_KIND_WAKE)
    await say(suite, run_id, "four")
    events = await suite.follow(run_id)

    # then each message was shown once, in order
    assert events[-1].run_finished.output_text == "read"
    assert bodies(events) == ["one", "two", "three", "four"]
    assert [(len(found["message_ids"]), found.get("more")) for found in results(events)[1:]] == [  # type: ignore[arg-type]  # a list
        (2, True),
        (1, False),
        (1, None),
    ]


@on_both_engines
async def test_an_agent_waits_for_two_messages_about_one_thing(suite: Suite) -> None:
    # given an agent that waits for two messages about an order
    await suite.open_pool("room")
    wanted = '{"correlation": {"order": "7"}, "count": 2}'
    await suite.apply_agent(
        "reader",
        s.calling("wait", wanted, matches=NOTHING_YET),
        s.calling("wait", "{}", matches='"body": "second of 7"'),
        s.replying("read"),
        tools=[s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT)],
    )
    run_id = await suite.submit("reader", pool_id="room")
    await suite.until_parked(run_id, pb.WAITING_KIND_WAKE)

    # when messages about that order, another one and nothing arrive
    await say(suite, run_id, "first of 7", "order", "7")
    await say(suite, run_id, "about 8", "order", "8")
    await say(suite, run_id, "hello")
    await say(suite, run_id, "second of 7", "order", "7")
    events = await suite.follow(run_id)

    # then the two ended the first wait, and the next wait has found the oldest of the others
    assert bodies(events) == ["first of 7", "second of 7", "about 8"]


@on_both_engines
async def test_an_agent_waits_for_a_member(suite: Suite) -> None:
    # given an agent that waits until somebody joins
    await suite.open_pool("room")
    await suite.apply_agent(
        "host",
        s.calling("wait", '{"kinds": ["member.joined"], "from_agent_id": "clerk"}'),
        s.replying("welcome ${who}", matches=r'"from_agent_id": "(?P<who>[^"]+)"'),
        tools=[s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT)],
    )
    run_id = await suite.submit("host", pool_id="room")
    await suite.until_parked(run_id, pb.WAITING_KIND_WAKE)

    # when a clerk joins
    member = JoinPoolRequest(pool_id="room", run_id="outside", agent_id="clerk")
    await suite.pools.JoinPool(member)
    events = await suite.follow(run_id)

    # then the model reads who it was
    joined = {"kind": "member.joined", "from_run_id": "outside", "from_agent_id": "clerk"}
    assert results(events)[-1]["events"] == [joined]


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
    request = internal.DeliverWakeRequest(
        pool_id="room",
        condition_id=reason.condition_id,
        run_id=run_id,
        status=pb.WAKE_STATUS_TIMED_OUT,
    )

    # when its time-out is delivered twice, and again after its end
    first = await suite.wakes.DeliverWake(request)
    second = await suite.wakes.DeliverWake(request)
    events = await suite.follow(run_id)
    request.condition_id = "another"
    late = await suite.wakes.DeliverWake(request)

    # then it has continued once
    assert reason.kind == pb.WAITING_KIND_WAKE
    assert first.outcome == internal.WAKE_OUTCOME_ACCEPTED
    assert second.outcome == internal.WAKE_OUTCOME_DUPLICATE
    assert late.outcome == internal.WAKE_OUTCOME_RUN_FINISHED
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert '"status": "timed_out"' in settled[-1].result
    assert uncovered_gaps(events) == []


async def test_a_wake_for_an_unknown_run_is_not_found(suite: Suite) -> None:
    # given no run of that name
    request = internal.DeliverWakeRequest(
        pool_id="room", condition_id="c", run_id="none", status=pb.WAKE_STATUS_TRIGGERED
    )

    # when a wake arrives for it
    refusal = await refused(suite.wakes.DeliverWake(request))

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
