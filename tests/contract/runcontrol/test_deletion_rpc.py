"""Deleting a thread over real servers: its readers, its run and its callers are told."""

from __future__ import annotations

import asyncio

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_thread_stream_rpc import subscribed
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.refusals import refused

ENDLESS = " ".join(f"word{number}" for number in range(10_000))


@on_both_engines
async def test_a_deleted_thread_ends_its_run_and_the_streams_of_its_readers(suite: Suite) -> None:
    # given a run whose model answers for long, one behind it, and readers of the run and the thread
    await suite.apply_agent("helper", s.replying(ENDLESS), delta_interval_ms=20)
    runs = [await suite.submit("helper", thread_id="t") for _ in range(2)]
    of_run = suite.runs.SubscribeRun(
        service.SubscribeRunRequest(run_id=runs[0]), timeout=s.CALL_TIMEOUT_S
    )
    of_thread = suite.runs.SubscribeThread(
        service.SubscribeThreadRequest(thread_id="t"), timeout=s.CALL_TIMEOUT_S
    )
    await suite.until(runs[0], "text_delta")
    readers = [asyncio.ensure_future(refused(_to_end(call))) for call in (of_run, of_thread)]

    # when the thread is deleted, and deleted again
    request = service.DeleteThreadRequest(thread_id="t")
    deleted = await suite.runs.DeleteThread(request)
    again = await suite.runs.DeleteThread(request)

    # then the answers name the runs, when and by whom
    assert list(deleted.cancelled_run_ids) == runs
    assert (deleted.cancelled_count, deleted.deleted_by) == (2, "local")
    assert (again.cancelled_count, again.delete_time) == (0, deleted.delete_time)

    # then the streams end with the reason
    ends = [await reader for reader in readers]
    assert [end.reason for end in ends] == ["RUN_DELETED", "THREAD_DELETED"]
    assert all(end.metadata["thread_id"] == "t" for end in ends)
    assert all(end.metadata["deleted_by"] == "local" for end in ends)

    # then its id takes no more work, and the server goes on with other threads
    refusal = await refused(suite.submit("helper", thread_id="t"))
    assert refusal.reason == "THREAD_CLOSED"
    await suite.apply_agent("brief", s.replying("done"))
    events = await suite.follow(await suite.submit("brief", thread_id="other"))
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_NATURAL_END
    listed = await suite.runs.ListThreads(service.ListThreadsRequest())
    assert [each.thread_id for each in listed.threads] == ["other"]


async def _to_end(call) -> None:  # type: ignore[no-untyped-def]  # a stream of either kind
    async for _ in call:
        pass


async def test_a_repeat_of_a_deletion_has_the_first_answer_after_a_restart(suite: Suite) -> None:
    # given a thread with an ended run that was deleted with a request id
    await suite.apply_agent("helper", s.replying("done"))
    await suite.follow(await suite.submit("helper", thread_id="t"))
    await suite.submit("helper", thread_id="kept")
    request = service.DeleteThreadRequest(thread_id="t", request_id="r-1")
    first = await suite.runs.DeleteThread(request)

    # when the server restarts and the request is repeated
    await suite.restart_runcontrol()
    again = await suite.runs.DeleteThread(request)

    # then it has the same answer, and so have those who ask for the thread
    assert again == first
    get = service.GetThreadRequest(thread_id="t")
    refusal = await refused(suite.runs.GetThread(get))
    at = first.delete_time.ToDatetime().isoformat()
    assert refusal.reason == "THREAD_DELETED"
    assert refusal.metadata["delete_time"].startswith(at)
    async with subscribed(suite.channel("runcontrol")) as items:
        assert (await refused(anext(items))).reason == "THREAD_DELETED"
