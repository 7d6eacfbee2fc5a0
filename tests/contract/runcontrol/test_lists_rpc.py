"""Lists of runs, threads and messages, and what a thread does, over real servers."""

from __future__ import annotations

import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.refusals import refused

TEAM_A = pb.Label(name="team", value="a")


async def all_runs(suite: Suite, **query: object) -> list[pb.Run]:
    """The runs of all pages."""
    request, found = service.ListRunsRequest(**query), []  # type: ignore[arg-type]
    while True:
        page = await suite.runs.ListRuns(request)
        found += page.runs
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


@on_both_engines
async def test_runs_are_found_by_what_is_known_of_them(suite: Suite) -> None:
    # given an ended run with labels, and one that waits
    await suite.apply_agent("helper", s.replying("done"))
    await suite.apply_waiting_agent()
    ended = await suite.submit("helper", thread_id="t", labels=[TEAM_A])
    await suite.follow(ended)
    waiting = await suite.submit("waiting", pool_id="quiet")
    await suite.until_parked(waiting, pb.WAITING_KIND_WAKE)

    # when they are listed
    runs = await all_runs(suite, page_size=1)

    # then the newest is first, and each is found by its facts
    assert [run.run_id for run in runs] == [waiting, ended]
    assert (runs[1].submitted_by, list(runs[1].labels)) == ("local", [TEAM_A])
    for query, found in (
        ({"thread_id": "t"}, [ended]),
        ({"agent_id": "waiting"}, [waiting]),
        ({"states": [pb.Run.STATE_DONE]}, [ended]),
        ({"labels": [TEAM_A]}, [ended]),
        ({"labels": [pb.Label(name="team", value="b")]}, []),
        ({"submitted_by": "somebody"}, []),
        ({"since_time": runs[0].create_time}, [waiting]),
        ({"until_time": runs[0].create_time}, [ended]),
    ):
        listed = await all_runs(suite, **query)  # type: ignore[arg-type]
        assert [run.run_id for run in listed] == found, query


@on_both_engines
async def test_a_thread_says_what_it_does_and_what_was_said(suite: Suite) -> None:
    # given a thread with a run that has ended, and one that waits
    await suite.apply_agent("helper", s.replying("done"))
    await suite.apply_waiting_agent()
    await suite.follow(await suite.submit("helper", "hello", thread_id="t"))
    waiting = await suite.submit("waiting", thread_id="t", pool_id="quiet")
    await suite.until_parked(waiting, pb.WAITING_KIND_WAKE)
    queued = await suite.submit("helper", thread_id="t")

    # when it is read
    thread = (await suite.runs.GetThread(service.GetThreadRequest(thread_id="t"))).thread
    active = await suite.runs.GetActiveRun(service.GetActiveRunRequest(thread_id="t"))
    threads = (await suite.runs.ListThreads(service.ListThreadsRequest())).threads
    messages = service.ListMessagesRequest(thread_id="t", page_size=2)
    said = await suite.runs.ListMessages(messages)

    # then
    assert (thread.state, thread.open_run_id) == (pb.Thread.STATE_PARKED, waiting)
    assert (thread.latest_run_id, thread.queued_dispatches) == (queued, 1)
    assert (active.run.run_id, active.queued_dispatches) == (waiting, 1)
    assert active.head_seq == thread.head_seq
    assert [each.thread_id for each in threads] == ["t"]
    assert [each.message.parts[0].text.text for each in said.messages] == ["hello", "done"]
    messages.page_token = said.next_page_token
    rest = await suite.runs.ListMessages(messages)
    assert [each.sequence for each in rest.messages] == [3, 4]


async def test_an_idle_thread_has_no_active_run(suite: Suite) -> None:
    await suite.apply_agent("helper", s.replying("done"))
    await suite.follow(await suite.submit("helper", thread_id="t"))
    active = await suite.runs.GetActiveRun(service.GetActiveRunRequest(thread_id="t"))
    thread = (await suite.runs.GetThread(service.GetThreadRequest(thread_id="t"))).thread
    assert not active.HasField("run")
    assert thread.state == pb.Thread.STATE_IDLE


async def test_what_is_not_there_is_not_found(suite: Suite) -> None:
    for call in (
        suite.runs.GetThread(service.GetThreadRequest(thread_id="none")),
        suite.runs.GetActiveRun(service.GetActiveRunRequest(thread_id="none")),
        suite.runs.ListMessages(service.ListMessagesRequest(thread_id="none")),
    ):
        assert (await refused(call)).reason == "THREAD_NOT_FOUND"


@pytest.mark.parametrize("token", ["x", "e30"])
async def test_a_page_token_of_something_else_is_refused(suite: Suite, token: str) -> None:
    for call in (
        suite.runs.ListRuns(service.ListRunsRequest(page_token=token)),
        suite.runs.ListThreads(service.ListThreadsRequest(page_token=token)),
        suite.runs.ListMessages(service.ListMessagesRequest(thread_id="t", page_token=token)),
    ):
        assert (await refused(call)).reason == "INVALID_REQUEST"


@on_both_engines
async def test_a_dead_letter_is_run_again(suite: Suite) -> None:
    # given a run that could not join its pool
    await suite.apply_agent("helper", s.replying("done"))
    dead = await suite.submit("helper", "hello", thread_id="t", pool_id="late")
    await suite.follow(dead)
    (letter,) = (
        await suite.runs.ListDeadDispatches(service.ListDeadDispatchesRequest(thread_id="t"))
    ).dispatches
    assert (letter.run_id, letter.state) == (dead, pb.Dispatch.STATE_DEAD)

    # when the pool is open, and the letter is redriven, twice with one id
    await suite.open_pool("late")
    request = service.RedriveDispatchRequest(request_id="r", dispatch_id=letter.dispatch_id)
    again = (await suite.runs.RedriveDispatch(request)).dispatch
    repeated = (await suite.runs.RedriveDispatch(request)).dispatch

    # then one other run has done what was asked
    assert (again, again.redrive_of) == (repeated, letter.dispatch_id)
    events = await suite.follow(again.run_id)
    assert events[-1].run_finished.output_text == "done"
    other = service.RedriveDispatchRequest(dispatch_id=letter.dispatch_id)
    assert (await refused(suite.runs.RedriveDispatch(other))).reason == "DISPATCH_NOT_DEAD"
    assert not (await suite.runs.ListDeadDispatches(service.ListDeadDispatchesRequest())).dispatches
