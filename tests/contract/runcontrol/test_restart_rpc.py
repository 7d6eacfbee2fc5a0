"""Run control restarted on its database while runs execute, wait and are followed."""

from __future__ import annotations

import asyncio

import grpc

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.chassis.calls.channel import open_channel
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_approvals_rpc import APPROVE, apply_asker
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.event_order import uncovered_gaps

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa"


@on_both_engines
async def test_a_drained_server_sends_a_cursor_and_the_next_one_continues_from_it(
    suite: Suite,
) -> None:
    # given a run whose model is answering, and its subscriber
    run_id = await suite.submit_to_new_agent(s.replying(WORDS), delta_interval_ms=40)
    cursor, _ = await suite.until(run_id, "text_delta")

    # when the server stops and another one starts on the same database
    await suite.restart_runcontrol()
    rest = await suite.follow(run_id, cursor)
    whole = await suite.follow(run_id)

    # then the run has ended, and the cursor led to exactly the remaining events
    assert rest[-1].run_finished.output_text == WORDS
    assert uncovered_gaps(whole) == []
    assert whole[len(whole) - len(rest) :] == rest
    kinds = s.kinds(whole)
    assert ("step_reset" in kinds, kinds.count("run_finished")) == (True, 1)
    run = (await suite.view(run_id)).run
    assert run.rounds == 1


async def test_deltas_after_a_reset_are_the_whole_answer(suite: Suite) -> None:
    # given a run that was interrupted by a restart
    run_id = await suite.submit_to_new_agent(s.replying(WORDS), delta_interval_ms=20)
    await suite.until(run_id, "text_delta")
    await suite.restart_runcontrol()

    # when its deltas are read as a client reads them
    events = await suite.follow(run_id)
    text: dict[int, str] = {}
    for event in events:
        if event.HasField("step_reset"):
            text = {q: t for q, t in text.items() if q < event.step_reset.from_run_seq}
        if event.HasField("text_delta"):
            text[event.run_seq] = event.text_delta.text

    # then those that count are the answer, in the range that its message covers
    committed = [e.message_committed for e in events if e.message_committed.covers_from_run_seq]
    assert "".join(text.values()) == WORDS
    assert min(text) == committed[0].covers_from_run_seq
    assert max(text) == committed[0].covers_to_run_seq


@on_both_engines
async def test_a_parked_run_and_its_ticket_are_there_after_a_restart(suite: Suite) -> None:
    # given a run that waits for approval of a message
    await apply_asker(suite)
    run_id = await suite.submit("asker", pool_id="room")
    cursor, event = await suite.until(run_id, "ticket_opened")
    await suite.until_parked(run_id, pb.WAITING_KIND_APPROVAL)

    # when the server is replaced, and then the ticket approved
    await suite.restart_runcontrol()
    await suite.decide(APPROVE, ticket_id=event.ticket_opened.ticket.ticket_id)
    events = await suite.follow(run_id, cursor)

    # then the run continues, and the message is sent once
    assert events[-1].run_finished.output_text == "it said message_id"
    dispatched = [e for e in events if e.HasField("tool_call_dispatched")]
    assert len(dispatched) == 1


async def test_work_accepted_without_slots_runs_after_a_restart_with_some(suite: Suite) -> None:
    # given a server that only accepts work
    await suite.apply_agent("helper", s.replying("done"))
    await suite.restart_runcontrol(max_concurrent_runs=0)
    run_id = await suite.submit("helper")

    # when it is replaced by one with slots
    await suite.restart_runcontrol()
    events = await suite.follow(run_id)

    # then the run is executed
    assert events[-1].run_finished.output_text == "done"


async def test_a_draining_server_ends_its_streams_with_a_cursor(suite: Suite) -> None:
    # given a subscriber of a run that waits for a person
    ask = s.builtin_tool("ask", registry.BUILTIN_TOOL_ASK_HUMAN)
    question = s.calling("ask", '{"question": "why?"}', tool_results=0)
    run_id = await suite.submit_to_new_agent(question, tools=[ask])
    await suite.until_parked(run_id, pb.WAITING_KIND_USER_INPUT)

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

    # then the stream ended with OK and the cursor of its last event
    last = items[-1]
    assert code == grpc.StatusCode.OK
    assert last.WhichOneof("item") == "reconnect"
    assert last.reconnect.cursor == last.cursor == items[-2].cursor
    await suite.cancel(run_id=run_id)
    rest = s.kinds(await suite.follow(run_id, last.cursor))
    assert rest[-1] == "run_finished"
    assert "tool_call_planned" not in rest
