"""Cancelling a run in every state it can be in, and twice."""

from __future__ import annotations

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.rpc_status import reason_of
from tests.contract.runcontrol.conftest import Suite
from tests.support import scenario as s
from tests.support.engines import on_both_engines


async def slow_talker(suite: Suite) -> int:
    """An agent whose answer takes a minute and a half."""
    return await s.apply(
        suite.channel("registry"),
        s.builtin_provider("slow", s.replying("word " * 100), delta_interval_ms=900),
        s.model("slow-model", "slow"),
        s.agent("slow-talker", "slow-model"),
    )


async def sleeper(suite: Suite) -> int:
    """An agent that waits for a message nobody sends."""
    await suite.open_pool("quiet")
    return await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", s.calling("wait", "{}", tool_results=0)),
        s.model("m", "p", tools=True),
        s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT),
        s.agent("sleeper", "m", "wait"),
    )


async def cancel(suite: Suite, **target: str) -> service.CancelRunResponse:
    return await suite.runs.CancelRun(service.CancelRunRequest(reason="enough", **target))


@on_both_engines
async def test_a_running_run_ends_at_once(suite: Suite) -> None:
    # given a run in the middle of an answer
    version = await slow_talker(suite)
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "slow-talker", "go", min_version=version)
    cursor, _ = await s.until(channel, run_id, "text_delta")

    # when it is cancelled, twice
    first = await cancel(suite, run_id=run_id)
    events = await s.follow_to_end(channel, run_id, cursor)
    second = await cancel(suite, run_id=run_id)

    # then it ends with the reason, once
    assert first.outcome == service.CANCEL_OUTCOME_CANCELLING
    assert second.outcome == service.CANCEL_OUTCOME_ALREADY_DONE
    termination = events[-1].run_finished.termination
    assert (
        termination.reason,
        termination.message,
    ) == (pb.TERMINATION_REASON_CANCELLED, "enough")
    assert s.kinds(events).count("run_finished") == 1


async def test_a_queued_run_never_starts(suite: Suite) -> None:
    # given a run behind another one on its thread
    version = await slow_talker(suite)
    submit = service.SubmitRunRequest(
        thread_id="busy",
        agent_id="slow-talker",
        messages=[s.user_message("go")],
        min_registry_version=version,
    )
    running = await suite.runs.SubmitRun(submit)
    await s.until(suite.channel("runcontrol"), running.run_id, "text_delta")
    queued = await suite.runs.SubmitRun(submit)

    # when it is cancelled by its dispatch
    answer = await cancel(suite, dispatch_id=queued.dispatch_id)
    events = await s.follow_to_end(suite.channel("runcontrol"), queued.run_id)

    # then it is over without having started, and the other one goes on
    assert queued.disposition == service.SUBMIT_DISPOSITION_QUEUED
    assert answer.outcome == service.CANCEL_OUTCOME_CANCELLED
    assert s.kinds(events) == ["run_queued", "input_queued", "run_finished"]
    other = await suite.runs.GetRun(service.GetRunRequest(run_id=running.run_id))
    assert other.run.state == pb.Run.STATE_RUNNING


@on_both_engines
async def test_a_parked_run_ends_in_the_same_call(suite: Suite) -> None:
    # given a run that waits in a pool
    version = await sleeper(suite)
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "sleeper", "go", pool_id="quiet", min_version=version)
    await s.until(channel, run_id, "tool_call_dispatched")

    # when what its thread does is cancelled
    run = (await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))).run
    answer = await cancel(suite, thread_id=run.thread_id)
    idle = await cancel(suite, thread_id=run.thread_id)

    # then it is over with its call cancelled, and the thread does nothing
    assert answer.outcome == service.CANCEL_OUTCOME_CANCELLED
    assert answer.run.state == pb.Run.STATE_DONE
    assert idle.outcome == service.CANCEL_OUTCOME_NOTHING_ACTIVE
    view = await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))
    assert view.tool_calls[-1].state == pb.ToolInvocation.STATE_CANCELLED


async def test_a_thread_goes_on_after_a_cancel(suite: Suite) -> None:
    # given a thread whose run was cancelled while it waited
    version = await sleeper(suite)
    channel = suite.channel("runcontrol")
    submitted = await suite.runs.SubmitRun(
        service.SubmitRunRequest(
            thread_id="reused",
            agent_id="sleeper",
            messages=[s.user_message("go")],
            pool=pb.PoolMembership(pool_id="quiet"),
            min_registry_version=version,
        )
    )
    await s.until(channel, submitted.run_id, "tool_call_dispatched")
    await cancel(suite, run_id=submitted.run_id)

    # when another agent runs on it
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("q", s.replying("still here")),
        s.model("n", "q"),
        s.agent("after", "n"),
    )
    following = await suite.runs.SubmitRun(
        service.SubmitRunRequest(
            thread_id="reused",
            agent_id="after",
            messages=[s.user_message("go")],
            min_registry_version=version,
        )
    )
    events = await s.follow_to_end(channel, following.run_id)

    # then it answers
    assert events[-1].run_finished.output_text == "still here"


async def test_a_busy_thread_refuses_when_asked_to(suite: Suite) -> None:
    # given a thread with a run
    version = await slow_talker(suite)
    submit = service.SubmitRunRequest(
        thread_id="taken",
        agent_id="slow-talker",
        messages=[s.user_message("go")],
        min_registry_version=version,
        busy_policy=service.BUSY_POLICY_REJECT,
    )
    running = await suite.runs.SubmitRun(submit)

    # when another one must not wait
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await suite.runs.SubmitRun(submit)
    refused = reason_of(raised.value)

    # then it is refused, and told by whom
    assert ("THREAD_BUSY", running.run_id) == (refused.reason, refused.metadata["run_id"])
