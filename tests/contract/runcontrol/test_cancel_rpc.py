"""Cancelling a run in every state, and twice."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.refusals import refused


async def apply_slow_agent(suite: Suite) -> None:
    """Apply an agent whose answer takes a minute and a half."""
    await suite.apply_agent("slow", s.replying("word " * 100), delta_interval_ms=900)


@on_both_engines
async def test_a_running_run_is_cancelled_within_its_model_call(suite: Suite) -> None:
    # given a run whose model is answering
    await apply_slow_agent(suite)
    run_id = await suite.submit("slow")
    cursor, _ = await suite.until(run_id, "text_delta")

    # when it is cancelled, twice
    first = await suite.cancel(run_id=run_id)
    events = await suite.follow(run_id, cursor)
    second = await suite.cancel(run_id=run_id)

    # then it ends once, with the reason
    assert first.outcome == service.CANCEL_OUTCOME_CANCELLING
    assert second.outcome == service.CANCEL_OUTCOME_ALREADY_DONE
    termination = events[-1].run_finished.termination
    assert termination.reason == pb.TERMINATION_REASON_CANCELLED
    assert termination.message == "enough"
    assert s.kinds(events).count("run_finished") == 1


async def test_a_queued_run_never_starts(suite: Suite) -> None:
    # given a run that is queued after another one
    await apply_slow_agent(suite)
    running = await suite.submit("slow", thread_id="busy")
    await suite.until(running, "text_delta")
    queued = await suite.submit_run("slow", thread_id="busy")

    # when it is cancelled by its dispatch
    answer = await suite.cancel(dispatch_id=queued.dispatch_id)
    events = await suite.follow(queued.run_id)

    # then it has ended without having started, and the other one goes on
    assert queued.disposition == service.SUBMIT_DISPOSITION_QUEUED
    assert answer.outcome == service.CANCEL_OUTCOME_CANCELLED
    assert s.kinds(events) == ["run_queued", "input_queued", "run_finished"]
    assert (await suite.view(running)).run.state == pb.Run.STATE_RUNNING


@on_both_engines
async def test_a_parked_run_ends_within_the_call_that_cancels_it(suite: Suite) -> None:
    # given a run that waits in a pool
    await suite.apply_waiting_agent()
    run_id = await suite.submit("waiting", pool_id="quiet")
    await suite.until_parked(run_id, pb.WAITING_KIND_WAKE)

    # when its thread's run is cancelled
    run = (await suite.view(run_id)).run
    answer = await suite.cancel(thread_id=run.thread_id)
    idle = await suite.cancel(thread_id=run.thread_id)

    # then it has ended with its call cancelled, and the thread is idle
    assert answer.outcome == service.CANCEL_OUTCOME_CANCELLED
    assert answer.run.state == pb.Run.STATE_DONE
    assert idle.outcome == service.CANCEL_OUTCOME_NOTHING_ACTIVE
    view = await suite.view(run_id)
    assert view.tool_calls[-1].state == pb.ToolInvocation.STATE_CANCELLED


async def test_a_thread_accepts_a_run_after_a_cancel(suite: Suite) -> None:
    # given a thread whose run was cancelled while it waited
    await suite.apply_waiting_agent()
    cancelled = await suite.submit("waiting", pool_id="quiet", thread_id="reused")
    await suite.until_parked(cancelled, pb.WAITING_KIND_WAKE)
    await suite.cancel(run_id=cancelled)

    # when another agent runs on it
    await suite.apply_agent("after", s.replying("still here"))
    following = await suite.submit("after", thread_id="reused")
    events = await suite.follow(following)

    # then it ends naturally
    assert events[-1].run_finished.output_text == "still here"


async def test_a_busy_thread_is_refused_when_an_idle_one_is_required(suite: Suite) -> None:
    # given a thread with a run
    await apply_slow_agent(suite)
    taken = {"thread_id": "taken", "busy_policy": service.BUSY_POLICY_REJECT}
    running = await suite.submit("slow", **taken)

    # when another one requires an idle thread
    refusal = await refused(suite.submit("slow", **taken))

    # then it is refused, with the id of the run
    assert ("THREAD_BUSY", running) == (refusal.reason, refusal.metadata["run_id"])
