"""Tools of workers, over real servers: a call from its plan to its result, and whatever is lost."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as worker
from runyard.worker.v1 import worker_service_pb2 as worker_service
from runyard.worker.v1.worker_service_pb2_grpc import ToolWorkerServiceStub
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.event_order import uncovered_gaps
from tests.support.raw_worker import hello, session
from tests.support.refusals import refused
from tests.support.waiting import within_limit

AT_MOST_ONCE = content.EFFECT_CLASS_AT_MOST_ONCE
IDEMPOTENT = content.EFFECT_CLASS_IDEMPOTENT
RESULT = r"(?P<all>.+)"


def worker_tool(
    tool_id: str,
    effect_class: content.EffectClass.ValueType = AT_MOST_ONCE,
    label: str = "",
    timeout_s: float = 60.0,
) -> registry.Resource:
    timeout = Duration()
    timeout.FromTimedelta(timedelta(seconds=timeout_s))
    return registry.Resource(
        tool=registry.Tool(
            id=tool_id,
            description="looks up an order",
            json_schema='{"type": "object"}',
            effect_class=effect_class,
            worker=registry.WorkerExecutor(label=label),
            timeout=timeout,
        )
    )


async def apply_clerk(suite: Suite, tool: registry.Resource) -> None:
    """An agent that calls the tool once and repeats its result."""
    await suite.apply_agent(
        "clerk",
        s.calling("lookup", '{"order": 4711}', tool_results=0),
        s.replying("it says ${all}", matches=RESULT),
        tools=[tool],
    )


def settled(events: list[pb.Event]) -> list[pb.ToolCallSettled]:
    return [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]


@on_both_engines
async def test_a_worker_executes_a_call(suite: Suite) -> None:
    # given a worker
    await apply_clerk(suite, worker_tool("lookup"))
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        # when an agent calls its tool
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.hear("go")
        lease = await clerk.beat(call.ref, note="half done")
        ack = await clerk.succeed(call.ref, "shipped")
        events = await suite.follow(run_id)

    # then it knew what to do and for whom, and its result is the answer
    assert call.arguments_json == '{"order": 4711}'
    assert (call.run_id, call.agent_id, call.principal) == (run_id, "clerk", "local")
    assert (call.ref.attempt, call.effect_class) == (1, AT_MOST_ONCE)
    assert call.tool_version
    assert lease.calls[0].HasField("until_time")
    assert ack.outcome == worker.ResultAck.OUTCOME_COMMITTED
    assert events[-1].run_finished.output_text == "it says shipped"
    kinds = s.kinds(events)
    for kind in ("tool_call_dispatched", "tool_call_accepted", "tool_call_progress"):
        assert kinds.count(kind) == 1
    assert uncovered_gaps(events) == []


async def test_a_tool_that_no_worker_ever_served_is_refused_at_submit(suite: Suite) -> None:
    await apply_clerk(suite, worker_tool("lookup"))
    error = await refused(suite.submit("clerk"))
    assert error.reason == "TOOL_NOT_SUPPORTED"
    assert "which no worker has ever served" in error.message


async def test_a_call_waits_for_a_worker_that_comes_back(suite: Suite) -> None:
    # given a worker that has left
    await apply_clerk(suite, worker_tool("lookup", IDEMPOTENT))
    channel = suite.channel("runcontrol")
    async with session(channel, hello("lookup"), credit=0):
        pass

    # when its tool is called, and another start of it comes
    run_id = await suite.submit("clerk")
    await suite.until_parked(run_id, pb.WAITING_KIND_TOOL)
    async with session(channel, hello("lookup", instance="i-2")) as clerk:
        call = await clerk.take()
        await clerk.succeed(call.ref, "shipped")

        # then it has done the call
        events = await suite.follow(run_id)
    assert events[-1].run_finished.output_text == "it says shipped"


async def test_a_result_may_be_sent_twice_and_is_taken_once(suite: Suite) -> None:
    await apply_clerk(suite, worker_tool("lookup", IDEMPOTENT))
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        first = await clerk.succeed(call.ref, "shipped")
        second = await clerk.succeed(call.ref, "lost")
        events = await suite.follow(run_id)
    assert first.outcome == worker.ResultAck.OUTCOME_COMMITTED
    assert second.outcome == worker.ResultAck.OUTCOME_DUPLICATE
    assert [each.result for each in settled(events)] == ["shipped"]


async def test_a_result_may_be_reported_outside_a_session(suite: Suite) -> None:
    # given a worker whose stream is cut while it executes a call
    await apply_clerk(suite, worker_tool("lookup"))
    channel = suite.channel("runcontrol")
    async with session(channel, hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.hear("go")

    # when it reports the result by itself
    result = worker.Result(ref=call.ref, succeeded=worker.Succeeded(content="shipped"))
    stub = ToolWorkerServiceStub(channel)
    answer = await stub.ReportResult(worker_service.ReportResultRequest(result=result))

    # then it counts
    assert answer.ack.outcome == worker.ResultAck.OUTCOME_COMMITTED
    assert (await suite.follow(run_id))[-1].run_finished.output_text == "it says shipped"


async def test_a_worker_comes_back_with_a_call_and_with_a_result(suite: Suite) -> None:
    # given a worker whose stream is cut while it executes a call
    await apply_clerk(suite, worker_tool("lookup"))
    channel = suite.channel("runcontrol")
    async with session(channel, hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.hear("go")

    # when the same start of it comes back, first with the call, then with its result
    async with session(channel, hello("lookup", inflight=[call.ref])) as clerk:
        (verdict,) = clerk.said[0].welcome.verdicts
        assert verdict.action == worker.InflightVerdict.ACTION_KEEP
    result = worker.Result(ref=call.ref, succeeded=worker.Succeeded(content="shipped"))
    async with session(channel, hello("lookup", undelivered_results=[result])) as clerk:
        ack = (await clerk.hear("result_ack")).result_ack

    # then it counts
    assert ack.outcome == worker.ResultAck.OUTCOME_COMMITTED
    assert (await suite.follow(run_id))[-1].run_finished.output_text == "it says shipped"


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_worker_gets_no_more_calls_of_a_tool_than_it_takes_at_a_time(
    suite: Suite, *, comes_back: bool
) -> None:
    # given a worker that takes one call of each tool at a time, and has one
    await apply_clerk(suite, worker_tool("lookup"))
    pack = s.calling("pack", "{}", tool_results=0)
    await suite.apply_agent("packer", pack, tools=[worker_tool("pack")])
    greeting = hello("lookup", "pack", max_parallel=1)
    async with AsyncExitStack() as sessions:
        channel = suite.channel("runcontrol")
        clerk = await sessions.enter_async_context(session(channel, greeting, credit=3))
        await suite.submit("clerk")
        call = await clerk.take()
        await clerk.hear("go")
        if comes_back:
            greeting.inflight.append(call.ref)
            clerk = await sessions.enter_async_context(session(channel, greeting, credit=3))

        # when another call of that tool waits, and then one of the other
        waiting = await suite.submit("clerk")
        await suite.until_parked(waiting, pb.WAITING_KIND_TOOL)
        await suite.submit("packer")

        # then it gets the second one first, and the first one when it has ended its own
        given = await clerk.take()
        assert given.tool_id == "pack"
        await clerk.succeed(call.ref, "shipped")
        assert (await clerk.take()).run_id == waiting


async def test_a_call_that_was_not_accepted_goes_to_another_worker(suite: Suite) -> None:
    # given a worker that says nothing to its call, and leaves
    await apply_clerk(suite, worker_tool("lookup"))
    channel = suite.channel("runcontrol")
    async with session(channel, hello("lookup")) as silent:
        run_id = await suite.submit("clerk")
        first = (await silent.hear("call")).call

    # when another one comes
    async with session(channel, hello("lookup", instance="i-2")) as clerk:
        call = await clerk.take()
        await clerk.hear("go")
        # then it is another attempt, and the first one is fenced
        late = worker.Result(ref=first.ref, succeeded=worker.Succeeded(content="late"))
        stub = ToolWorkerServiceStub(channel)
        answer = await stub.ReportResult(worker_service.ReportResultRequest(result=late))
        await clerk.succeed(call.ref, "shipped")
        events = await suite.follow(run_id)
    assert (first.ref.attempt, call.ref.attempt) == (1, 2)
    assert answer.ack.outcome == worker.ResultAck.OUTCOME_FENCED
    assert [each.result for each in settled(events)] == ["shipped"]


async def test_a_newer_session_of_a_worker_ends_the_older_one(suite: Suite) -> None:
    channel = suite.channel("runcontrol")
    async with session(channel, hello("lookup")) as older, session(channel, hello("lookup")):
        error = await refused(older.hear("call"))
    assert (error.reason, error.code) == ("SESSION_FENCED", grpc.StatusCode.ABORTED)


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (worker.Hello(worker_id="w", instance_id="i", min_protocol=2, max_protocol=3), "INVALID"),
        (hello("lookup", protocols=(2, 3)), "PROTOCOL_UNSUPPORTED"),
    ],
    ids=["no tools", "newer versions only"],
)
async def test_a_greeting_that_does_not_fit_is_refused(
    suite: Suite, greeting: worker.Hello, reason: str
) -> None:
    call = ToolWorkerServiceStub(suite.channel("runcontrol")).Session()
    await call.write(worker_service.SessionRequest(hello=greeting))
    error = await refused(call.read())
    assert error.reason.startswith(reason)


async def test_a_session_begins_with_hello(suite: Suite) -> None:
    call = ToolWorkerServiceStub(suite.channel("runcontrol")).Session()
    await call.write(worker_service.SessionRequest(credit=worker.Credit(calls=1)))
    assert (await refused(call.read())).reason == "OUT_OF_SEQUENCE"


async def test_a_label_chooses_the_worker(suite: Suite) -> None:
    # given a worker with the label that a tool requires, and one without it
    await apply_clerk(suite, worker_tool("lookup", IDEMPOTENT, label="eu"))
    channel = suite.channel("runcontrol")
    async with (
        session(channel, hello("lookup", instance="i-1")),
        session(channel, hello("lookup", instance="i-2", labels=["eu"])) as labelled,
    ):
        run_id = await suite.submit("clerk")
        call = await labelled.take()
        await labelled.succeed(call.ref, "shipped")
        await suite.follow(run_id)


async def test_a_cancelled_run_stops_its_call(suite: Suite) -> None:
    # given a call that a worker executes
    await apply_clerk(suite, worker_tool("lookup"))
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.hear("go")

        # when its run is cancelled
        await suite.cancel(run_id=run_id)

        # then the worker is told, and the run lists what is not known
        stop = (await clerk.hear("cancel")).cancel
        late = await clerk.succeed(call.ref, "shipped")
    assert stop.ref == call.ref
    assert late.outcome == worker.ResultAck.OUTCOME_DUPLICATE
    events = await suite.follow(run_id)
    assert list(events[-1].run_finished.unknown_tool_call_ids) == [call.ref.tool_call_id]


async def test_a_failure_that_may_pass_is_tried_again(suite: Suite) -> None:
    await apply_clerk(suite, worker_tool("lookup", IDEMPOTENT))
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=2) as clerk:
        run_id = await suite.submit("clerk")
        first = await clerk.take()
        await clerk.fail(first.ref, retryable=True)
        second = await clerk.take()
        await clerk.succeed(second.ref, "shipped")
        events = await suite.follow(run_id)
    assert second.ref.attempt == 2
    assert second.idempotency_key == first.idempotency_key
    assert events[-1].run_finished.output_text == "it says shipped"


@on_both_engines
@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (pb.Verdict(happened=pb.Happened(content="shipped")), "it says shipped"),
        (pb.Verdict(abandon=pb.Abandon()), "it says given up"),
    ],
    ids=["happened", "abandon"],
)
async def test_a_person_says_what_has_become_of_a_call_that_timed_out(
    suite: Suite, verdict: pb.Verdict, text: str
) -> None:
    # given a call that must not run twice, whose worker does not answer in time
    await apply_clerk(suite, worker_tool("lookup", timeout_s=0.1))
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        await clerk.take()
        await suite.until_parked(run_id, pb.WAITING_KIND_RECONCILE)

        # when a person has found out
        (ticket,) = (await suite.view(run_id)).open_tickets
        await suite.decide(verdict, ticket_id=ticket.ticket_id)
        events = await suite.follow(run_id)

    # then the run goes on with that
    assert ticket.kind == pb.Ticket.KIND_RECONCILE
    assert ticket.question == "lookup timed out after 0.1 s, and may have taken effect: has it?"
    assert events[-1].run_finished.output_text.startswith(text)
    assert uncovered_gaps(events) == []


async def test_a_call_that_did_not_happen_runs_again(suite: Suite) -> None:
    # given a call whose worker does not answer in time
    await apply_clerk(suite, worker_tool("lookup", timeout_s=0.5))
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=2) as clerk:
        run_id = await suite.submit("clerk")
        first = await clerk.take()
        await suite.until_parked(run_id, pb.WAITING_KIND_RECONCILE)
        (ticket,) = (await suite.view(run_id)).open_tickets

        # when a person says that it did not take effect
        verdict = pb.Verdict(did_not_happen=pb.DidNotHappen())
        await suite.decide(verdict, ticket_id=ticket.ticket_id)
        second = await clerk.take()
        await clerk.succeed(second.ref, "shipped")

        # then its second execution counts
        events = await suite.follow(run_id)
    assert second.ref.attempt == first.ref.attempt + 1
    assert events[-1].run_finished.output_text == "it says shipped"


async def test_a_late_result_answers_before_a_person_does(suite: Suite) -> None:
    await apply_clerk(suite, worker_tool("lookup", timeout_s=0.1))
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await suite.until_parked(run_id, pb.WAITING_KIND_RECONCILE)
        ack = await clerk.succeed(call.ref, "shipped")
        events = await suite.follow(run_id)
    assert ack.outcome == worker.ResultAck.OUTCOME_COMMITTED
    assert [e.ticket_voided.reason for e in events if e.HasField("ticket_voided")] == [
        "result_arrived"
    ]
    assert events[-1].run_finished.output_text == "it says shipped"


async def test_a_call_that_no_worker_takes_fails_after_its_timeout(suite: Suite) -> None:
    # given a worker that has left
    await apply_clerk(suite, worker_tool("lookup", timeout_s=0.1))
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=0):
        pass

    # when its tool is called
    events = await suite.follow(await suite.submit("clerk"))

    # then the model is told
    assert events[-1].run_finished.output_text == "it says no worker took the call within 0.1 s"


@on_both_engines
async def test_a_call_outlives_the_server_that_gave_it(suite: Suite) -> None:
    # given a call that a worker executes
    await apply_clerk(suite, worker_tool("lookup"))
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.hear("go")

    # when run control restarts, and the worker comes back
    await suite.restart_runcontrol()
    greeting = hello("lookup", inflight=[call.ref])
    async with session(suite.channel("runcontrol"), greeting) as clerk:
        (verdict,) = clerk.said[0].welcome.verdicts
        await clerk.succeed(call.ref, "shipped")
        events = await suite.follow(run_id)

    # then its result is the first and only one
    assert verdict.action == worker.InflightVerdict.ACTION_KEEP
    assert [each.result for each in settled(events)] == ["shipped"]


async def test_a_call_goes_back_unstarted(suite: Suite) -> None:
    await apply_clerk(suite, worker_tool("lookup"))
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=2) as clerk:
        run_id = await suite.submit("clerk")
        first = (await clerk.hear("call")).call
        await clerk.send(handback=worker.Handback(ref=first.ref))
        second = await clerk.take()
        await clerk.succeed(second.ref, "shipped")
        events = await suite.follow(run_id)
    assert events[-1].run_finished.output_text == "it says shipped"


async def test_a_worker_that_drains_gets_no_more_calls(suite: Suite) -> None:
    # given two workers, one of which has asked for no more
    await apply_clerk(suite, worker_tool("lookup", IDEMPOTENT))
    channel = suite.channel("runcontrol")
    async with (
        session(channel, hello("lookup"), credit=5) as leaving,
        session(channel, hello("lookup", instance="i-2"), credit=1) as staying,
    ):
        await leaving.send(drain=worker.Drain())
        await leaving.beat()

        # when a call comes
        run_id = await suite.submit("clerk")
        call = await staying.take()
        await staying.succeed(call.ref, "shipped")
        await suite.follow(run_id)

    # then the other one had it
    assert [m for m in leaving.said if m.HasField("call")] == []


async def test_an_unknown_call_is_told(suite: Suite) -> None:
    ref = worker.CallRef(tool_call_id="r.1.0", attempt=1, fence=1)
    result = worker.Result(ref=ref, succeeded=worker.Succeeded(content="x"))
    stub = ToolWorkerServiceStub(suite.channel("runcontrol"))
    request = worker_service.ReportResultRequest(result=result)
    assert (await refused(stub.ReportResult(request))).reason == "CALL_NOT_FOUND"


@on_both_engines
async def test_a_person_reads_what_a_fenced_worker_reported(suite: Suite) -> None:
    # given a call that ran again because a person said that it had not happened, and was lost again
    await apply_clerk(suite, worker_tool("lookup", timeout_s=1.0))
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=2) as clerk:
        run_id = await suite.submit("clerk")
        first = await clerk.take()
        await suite.until_parked(run_id, pb.WAITING_KIND_RECONCILE)
        (ticket,) = (await suite.view(run_id)).open_tickets
        verdict = pb.Verdict(did_not_happen=pb.DidNotHappen())
        await suite.decide(verdict, ticket_id=ticket.ticket_id)
        second = await clerk.take()

        # when the first attempt is reported
        ack = await clerk.succeed(first.ref, "shipped")
        async with within_limit():
            while not (opened := (await suite.view(run_id)).open_tickets):
                pass
        (ticket,) = opened

    # then it does not count, and is shown with the next ticket and with the call
    request = service.GetTicketRequest(ticket_id=ticket.ticket_id)
    call = (await suite.runs.GetTicket(request)).tool_call
    (late,) = call.late_results
    assert ack.outcome == worker.ResultAck.OUTCOME_FENCED
    assert (late.attempt, late.fence) == (first.ref.attempt, first.ref.fence)
    assert (late.worker_id, late.reported_by, late.text) == ("worker", "local", "shipped")
    assert late.state == pb.ToolInvocation.STATE_SUCCEEDED
    assert late.HasField("report_time")
    assert call.attempt == second.ref.attempt
    assert list((await suite.view(run_id)).tool_calls) == [call]
