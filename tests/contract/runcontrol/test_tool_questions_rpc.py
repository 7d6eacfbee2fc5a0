"""Tools that ask people in the middle of a call, over real servers, restarts and reconnects."""

from __future__ import annotations

import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.worker.v1 import worker_pb2 as worker_pb
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_workers_rpc import apply_clerk, worker_tool
from tests.support.engines import on_both_engines
from tests.support.raw_worker import RawWorker, hello, session
from tests.support.refusals import refused

Outcome = worker_pb.ResultAck.Outcome
PASS = pb.Verdict(pass_to_tool=pb.PassToTool(payload_json='{"amount": 17}'))


async def ask(worker: RawWorker, ref: worker_pb.CallRef) -> Outcome.ValueType:
    asked = worker_pb.NeedInput(ref=ref, question="how much?", sealed_state=b"half done")
    await worker.send(need_input=asked)
    return (await worker.hear("result_ack")).result_ack.outcome


async def open_question(suite: Suite, run_id: str) -> pb.Ticket:
    """The question of the run's tool, once the run waits for nothing else."""
    await suite.until_parked(run_id, pb.WAITING_KIND_TOOL_INPUT)
    (ticket,) = (await suite.runs.ListTickets(service.ListTicketsRequest(run_id=run_id))).tickets
    assert (ticket.kind, ticket.question) == (pb.Ticket.KIND_TOOL_INPUT, "how much?")
    return ticket


@on_both_engines
async def test_an_answer_reaches_the_tool_after_a_restart_until_it_is_accepted(
    suite: Suite,
) -> None:
    # given a tool that asks a person
    await apply_clerk(suite, worker_tool("lookup"))
    async with session(suite.channel("runcontrol"), hello("lookup")) as worker:
        run_id = await suite.submit("clerk")
        call = await worker.take()
        await worker.hear("go")
        first = await ask(worker, call.ref)
        again = await ask(worker, call.ref)
        ticket = await open_question(suite, run_id)

    # when run control is restarted, the question is answered, and the worker comes back
    await suite.restart_runcontrol()
    decided = await suite.decide(PASS, ticket_id=ticket.ticket_id)
    back = hello("lookup", inflight=[call.ref])
    async with session(suite.channel("runcontrol"), back) as worker:
        (verdict,) = worker.said[0].welcome.verdicts
        unaccepted = (await worker.hear("call")).call

    # then its old attempt is over, and a new one has the answer, until it is accepted
    assert (first, again) == (Outcome.OUTCOME_COMMITTED, Outcome.OUTCOME_DUPLICATE)
    assert decided.outcome == service.DECISION_OUTCOME_ACCEPTED
    assert verdict.action == worker_pb.InflightVerdict.ACTION_ABANDON
    async with session(suite.channel("runcontrol"), hello("lookup", instance="i-2")) as worker:
        taken = await worker.take()
        await worker.hear("go")
        for each, attempt in ((unaccepted, 2), (taken, 3)):
            assert each.ref.attempt == attempt
            assert each.resume.answer_json == '{"amount": 17}'
            assert each.resume.sealed_state == b"half done"
            assert each.idempotency_key == call.idempotency_key
        await worker.succeed(taken.ref, "17 paid")
    events = await suite.follow(run_id)
    assert events[-1].run_finished.output_text == "it says 17 paid"


async def test_a_first_call_has_nothing_from_a_person(suite: Suite) -> None:
    await apply_clerk(suite, worker_tool("lookup"))
    async with session(suite.channel("runcontrol"), hello("lookup")) as worker:
        await suite.submit("clerk")
        assert not (await worker.take()).HasField("resume")


async def test_a_worker_that_asks_has_room_for_another_call(suite: Suite) -> None:
    # given a worker that takes one call of its tool at a time
    await apply_clerk(suite, worker_tool("lookup"))
    async with session(
        suite.channel("runcontrol"), hello("lookup", max_parallel=1), credit=2
    ) as worker:
        first, second = [await suite.submit("clerk") for _ in range(2)]
        taken = await worker.take()

        # when its tool asks
        await ask(worker, taken.ref)

        # then it is given the other call
        other = await worker.take()
        assert {taken.run_id, other.run_id} == {first, second}


@pytest.mark.parametrize(
    "asked",
    [
        worker_pb.NeedInput(question="how much?"),
        worker_pb.NeedInput(ref=worker_pb.CallRef(tool_call_id="c", attempt=1)),
        worker_pb.NeedInput(
            ref=worker_pb.CallRef(tool_call_id="c", attempt=1), question="x" * 4097
        ),
    ],
    ids=["no attempt", "no question", "too long"],
)
async def test_a_question_that_is_none_is_refused(suite: Suite, asked: worker_pb.NeedInput) -> None:
    await apply_clerk(suite, worker_tool("lookup"))

    async def send() -> None:
        async with session(suite.channel("runcontrol"), hello("lookup")) as worker:
            await worker.send(need_input=asked)
            await worker.hear("result_ack")

    assert (await refused(send())).reason == "INVALID_REQUEST"


@pytest.mark.parametrize("payload", ["", "{", "NaN", "[" * 65 + "]" * 65, "1 2"])
async def test_a_payload_that_is_no_json_is_refused(suite: Suite, payload: str) -> None:
    verdict = pb.Verdict(pass_to_tool=pb.PassToTool(payload_json=payload))
    refusal = await refused(suite.decide(verdict, ticket_id="t"))
    assert refusal.reason == "INVALID_REQUEST"
    assert [each.field for each in refusal.violations] == ["verdict.pass_to_tool.payload_json"]
