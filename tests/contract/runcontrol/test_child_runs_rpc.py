"""Agents that start other agents, over real servers."""

from __future__ import annotations

import json

import grpc

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.event_order import uncovered_gaps
from tests.support.waiting import within_limit

OUTPUT = r'"output": "(?P<output>[^"]+)"'


def start_tool() -> registry.Resource:
    return s.builtin_tool("delegate", registry.BUILTIN_TOOL_START_RUN)


async def apply_supervisor(suite: Suite, arguments: dict[str, object]) -> None:
    """A supervisor that starts a run and repeats its answer."""
    await suite.apply_agent(
        "supervisor",
        s.calling("delegate", json.dumps(arguments), tool_results=0),
        s.replying("it says: ${output}", matches=OUTPUT),
        s.replying("it failed"),
        tools=[start_tool()],
    )


async def started_child(suite: Suite, parent: str) -> str:
    """The id of the child that a parked run waits for, once that is there."""
    await suite.until_parked(parent, pb.WAITING_KIND_TOOL)
    (call,) = (await suite.view(parent)).tool_calls
    async with within_limit():
        while not await is_there(suite, call.child_run_id):
            pass
    return call.child_run_id


async def is_there(suite: Suite, run_id: str) -> bool:
    try:
        await suite.view(run_id)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return False
        raise
    return True


@on_both_engines
async def test_the_answer_of_a_started_agent_is_the_result_of_the_call(suite: Suite) -> None:
    # given an agent that counts, and one that asks it
    await suite.apply_agent("counter", s.replying("seven"))
    await apply_supervisor(suite, {"agent_id": "counter", "input": "how many?"})

    # when the second runs
    run_id = await suite.submit("supervisor")
    events = await suite.follow(run_id)

    # then it has the answer of the first, and each knows of the other
    assert events[-1].run_finished.output_text == "it says: seven"
    (settled,) = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    child = (await suite.view(json.loads(settled.result)["run_id"])).run
    assert (child.parent_run_id, child.parent_tool_call_id) == (run_id, settled.tool_call_id)
    assert child.agent_id == "counter"
    assert child.termination.reason == pb.TERMINATION_REASON_NATURAL_END


async def test_an_agent_that_does_not_exist_is_told_to_the_model(suite: Suite) -> None:
    await apply_supervisor(suite, {"agent_id": "nobody", "input": "how many?"})
    events = await suite.follow(await suite.submit("supervisor"))
    (settled,) = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert settled.state == pb.ToolInvocation.STATE_FAILED
    assert "AGENT_NOT_FOUND" in settled.result
    assert events[-1].run_finished.output_text == "it failed"


@on_both_engines
async def test_a_cancel_passes_down(suite: Suite) -> None:
    # given a run that waits for one that waits for a message nobody sends
    await suite.apply_waiting_agent()
    start: dict[str, object] = {"agent_id": "waiting", "input": "wait", "pool_id": "quiet"}
    await apply_supervisor(suite, start)
    parent = await suite.submit("supervisor")
    child = await started_child(suite, parent)
    await suite.until_parked(child, pb.WAITING_KIND_WAKE)

    # when the first is cancelled
    await suite.cancel(run_id=parent)

    # then both have ended
    events = await suite.follow(child)
    ended = events[-1].run_finished.termination
    assert ended.reason == pb.TERMINATION_REASON_CANCELLED
    assert ended.message == f"the run that started it, {parent}, has ended"


@on_both_engines
async def test_a_child_and_its_parent_survive_a_restart(suite: Suite) -> None:
    # given a run that waits for one that waits for a person
    question = s.builtin_tool("ask", registry.BUILTIN_TOOL_ASK_HUMAN)
    await suite.apply_agent(
        "asker",
        s.calling("ask", '{"question": "how many?"}', tool_results=0),
        s.replying("nine"),
        tools=[question],
    )
    await apply_supervisor(suite, {"agent_id": "asker", "input": "find out"})
    parent = await suite.submit("supervisor")
    child = await started_child(suite, parent)
    await suite.until_parked(child, pb.WAITING_KIND_USER_INPUT)

    # when run control restarts, and the person answers
    await suite.restart_runcontrol()
    ticket = (await suite.view(child)).open_tickets[0]
    await suite.decide(pb.Verdict(answer=pb.Answer(content="9")), ticket_id=ticket.ticket_id)

    # then the answer reaches the parent
    events = await suite.follow(parent)
    assert events[-1].run_finished.output_text == "it says: nine"
    assert uncovered_gaps(events) == []
