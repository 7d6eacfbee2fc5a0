"""Run control stopped and started again on its database, in the middle of everything."""

from __future__ import annotations

import asyncio

import grpc

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.chassis.channel import open_channel
from tests.contract.runcontrol.conftest import Suite
from tests.support import scenario as s
from tests.support.engines import on_both_engines

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa"


@on_both_engines
async def test_a_drained_server_says_where_to_resume_and_the_next_one_goes_on(
    suite: Suite,
) -> None:
    # given a run in the middle of an answer, and its subscriber
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", s.replying(WORDS), delta_interval_ms=40),
        s.model("m", "p"),
        s.agent("writer", "m"),
    )
    run_id = await s.submit(suite.channel("runcontrol"), "writer", "go", min_version=version)
    cursor, _ = await s.until(suite.channel("runcontrol"), run_id, "text_delta")

    # when the server stops and another one starts on the same database
    await suite.stop_runcontrol()
    await suite.start_runcontrol()
    rest = await s.follow_to_end(suite.channel("runcontrol"), run_id, cursor)
    whole = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then the run finished, and the cursor led to exactly the rest
    assert rest[-1].run_finished.output_text == WORDS
    assert s.uncovered_gaps(whole) == []
    assert whole[len(whole) - len(rest) :] == rest
    kinds = s.kinds(whole)
    assert ("step_reset" in kinds, kinds.count("run_finished")) == (True, 1)
    run = (await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))).run
    assert run.rounds == 1


async def test_deltas_after_a_reset_are_the_whole_answer(suite: Suite) -> None:
    # given a run that was interrupted by a restart
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", s.replying(WORDS), delta_interval_ms=20),
        s.model("m", "p"),
        s.agent("writer", "m"),
    )
    run_id = await s.submit(suite.channel("runcontrol"), "writer", "go", min_version=version)
    await s.until(suite.channel("runcontrol"), run_id, "text_delta")
    await suite.stop_runcontrol()
    await suite.start_runcontrol()

    # when its stream is read as a client reads it
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)
    text: dict[int, str] = {}
    for event in events:
        if event.HasField("step_reset"):
            text = {q: t for q, t in text.items() if q < event.step_reset.from_run_seq}
        if event.HasField("text_delta"):
            text[event.run_seq] = event.text_delta.text

    # then what is left says the answer once, in the range its message covers
    committed = [e.message_committed for e in events if e.message_committed.covers_from_run_seq]
    assert "".join(text.values()) == WORDS
    assert (min(text), max(text)) == (
        committed[0].covers_from_run_seq,
        committed[0].covers_to_run_seq,
    )


@on_both_engines
async def test_a_parked_run_and_its_ticket_survive_a_restart(suite: Suite) -> None:
    # given a run that waits for approval of a message
    await suite.open_pool("room")
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider(
            "p",
            s.calling("send", '{"body": "hello"}', tool_results=0),
            s.replying("sent", tool_results=1),
        ),
        s.model("m", "p", tools=True),
        s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True),
        s.agent("asker", "m", "send"),
    )
    run_id = await s.submit(
        suite.channel("runcontrol"), "asker", "go", pool_id="room", min_version=version
    )
    cursor, event = await s.until(suite.channel("runcontrol"), run_id, "run_parked")
    cursor, event = await s.until(suite.channel("runcontrol"), run_id, "ticket_opened")

    # when the server is replaced, and then the ticket approved
    await suite.stop_runcontrol()
    await suite.start_runcontrol()
    await suite.runs.SubmitDecision(
        service.SubmitDecisionRequest(
            ticket_id=event.ticket_opened.ticket.ticket_id,
            decision_id="d",
            verdict=pb.Verdict(approve=pb.Approve()),
        )
    )
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id, cursor)

    # then the run goes on and the message is sent once
    assert events[-1].run_finished.output_text == "sent"
    dispatched = [e for e in events if e.HasField("tool_call_dispatched")]
    assert len(dispatched) == 1


async def test_work_accepted_without_slots_runs_after_a_restart_with_some(suite: Suite) -> None:
    # given a server that only accepts work
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", s.replying("done")),
        s.model("m", "p"),
        s.agent("later", "m"),
    )
    await suite.stop_runcontrol()
    await suite.start_runcontrol(max_concurrent_runs=0)
    run_id = await s.submit(suite.channel("runcontrol"), "later", "go", min_version=version)

    # when it is replaced by one with slots
    await suite.stop_runcontrol()
    await suite.start_runcontrol()
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then the run happens
    assert events[-1].run_finished.output_text == "done"


async def test_a_draining_server_ends_its_streams_with_a_place_to_resume(suite: Suite) -> None:
    # given a subscriber of a run that waits for a person
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", s.calling("ask", '{"question": "why?"}', tool_results=0)),
        s.model("m", "p", tools=True),
        s.builtin_tool("ask", registry.BUILTIN_TOOL_ASK_HUMAN),
        s.agent("curious", "m", "ask"),
    )
    run_id = await s.submit(suite.channel("runcontrol"), "curious", "go", min_version=version)
    await s.until(suite.channel("runcontrol"), run_id, "run_parked")

    # when the server drains while it follows
    async with open_channel(suite.served["runcontrol"].target) as channel:
        request = service.SubscribeRunRequest(run_id=run_id)
        frames = RunControlServiceStub(channel).SubscribeRun(request)
        stopping: asyncio.Task[None] | None = None
        items: list[service.SubscriptionItem] = []
        async for frame in frames:
            items += frame.items
            stopping = stopping or asyncio.create_task(suite.stop_runcontrol())
        code = await frames.code()
        assert stopping is not None
        await stopping
    await suite.start_runcontrol()

    # then the stream ended well, behind its last event, and that is where it can be resumed
    last = items[-1]
    assert code == grpc.StatusCode.OK
    assert last.WhichOneof("item") == "reconnect"
    assert last.reconnect.cursor == last.cursor == items[-2].cursor
    await suite.runs.CancelRun(service.CancelRunRequest(run_id=run_id))
    rest = s.kinds(await s.follow_to_end(suite.channel("runcontrol"), run_id, last.cursor))
    assert rest[-1] == "run_finished"
    assert "tool_call_planned" not in rest
