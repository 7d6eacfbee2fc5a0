"""The stream of a thread: the events of all its runs, in the thread's order, over real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines, on_postgresql
from tests.support.refusals import refused

WORDS = " ".join(f"word{number}" for number in range(60))


@asynccontextmanager
async def subscribed(
    channel: grpc.aio.Channel, **request: Any
) -> AsyncIterator[AsyncIterator[service.SubscriptionItem]]:
    """The items of the stream of thread ``t``, one by one."""
    wanted = service.SubscribeThreadRequest(thread_id="t", **request)
    call = RunControlServiceStub(channel).SubscribeThread(wanted, timeout=s.CALL_TIMEOUT_S)

    async def items() -> AsyncIterator[service.SubscriptionItem]:
        async for response in call:
            for item in response.items:
                yield item

    try:
        yield items()
    finally:
        call.cancel()
        await call.code()


async def read(
    channel: grpc.aio.Channel, until_seq: int, after: bytes = b""
) -> list[service.SubscriptionItem]:
    """The events after a cursor, up to the thread's sequence ``until_seq``."""
    found = []
    async with subscribed(channel, after=after) as items:
        async for item in items:
            if item.HasField("event"):
                found.append(item)
                if item.event.thread_seq >= until_seq:
                    break
    return found


async def head(suite: Suite) -> int:
    found = await suite.runs.GetThread(service.GetThreadRequest(thread_id="t"))
    return found.thread.head_seq


async def listed(suite: Suite) -> list[pb.ThreadMessage]:
    request = service.ListMessagesRequest(thread_id="t", page_size=200)
    return list((await suite.runs.ListMessages(request)).messages)


def said(items: Sequence[service.SubscriptionItem]) -> list[pb.ThreadMessage]:
    """The conversation, as a reader of the stream rebuilds it."""
    committed = [item.event.message_committed for item in items]
    return [each.message for each in committed if each.HasField("message")]


async def three_runs(suite: Suite) -> list[str]:
    """Ids of the ended runs of thread ``t``; each answers with sixty deltas."""
    await suite.apply_agent("helper", s.replying(WORDS), delta_interval_ms=2)
    runs = [await suite.submit("helper", f"go {n}", thread_id="t") for n in range(3)]
    for run_id in runs:
        await suite.follow(run_id)
    return runs


@on_both_engines
async def test_a_reader_resumes_anywhere_and_has_the_whole_conversation(suite: Suite) -> None:
    # given three runs of a thread, and what a reader of the thread has received
    runs = await three_runs(suite)
    end = await head(suite)
    whole = await read(suite.channel("runcontrol"), end)

    # then it has every event once, in the thread's order, and the conversation as it is listed
    assert [item.event.thread_seq for item in whole] == list(range(1, end + 1))
    assert {item.event.run_id for item in whole} == set(runs)
    assert said(whole) == await listed(suite)
    assert len(said(whole)) == 6

    # when the server is restarted, and readers resume after every tenth event
    await suite.restart_runcontrol()
    for received in range(10, end, 10):
        cursor = whole[received - 1].cursor
        # then each has exactly the rest
        rest = await read(suite.channel("runcontrol"), end, cursor)
        assert rest == whole[received:], received


@on_postgresql
async def test_another_server_streams_what_one_commits(suite: Suite) -> None:
    # given a reader at a server that executes nothing, on a thread with an ended run
    await suite.apply_agent("helper", s.replying(WORDS), delta_interval_ms=2)
    await suite.follow(await suite.submit("helper", thread_id="t"))
    start, found = service.SUBSCRIBE_FROM_SNAPSHOT, list[service.SubscriptionItem]()
    async with (
        suite.another_runcontrol(max_concurrent_runs=0) as other,
        subscribed(other.channel, start=start) as items,
    ):
        before = (await anext(items)).snapshot.head_seq

        # when the thread gets another run, which the first server executes
        run_id = await suite.submit("helper", thread_id="t")
        async for item in items:
            found.append(item)
            if item.event.HasField("run_finished"):
                break

    # then the reader has its events, from the first to the last
    events = [item.event for item in found if item.HasField("event")]
    assert [each.thread_seq for each in events] == list(range(before + 1, await head(suite) + 1))
    assert {each.run_id for each in events} == {run_id}


@on_both_engines
async def test_a_snapshot_has_the_open_run_and_what_follows_builds_on_it(suite: Suite) -> None:
    # given a thread whose run waits
    await suite.apply_waiting_agent()
    waiting = await suite.submit("waiting", thread_id="t", pool_id="quiet")
    await suite.until_parked(waiting, pb.WAITING_KIND_WAKE)
    end = await head(suite)

    # when it is followed after a snapshot, and the run is cancelled
    start = service.SUBSCRIBE_FROM_SNAPSHOT
    async with subscribed(suite.channel("runcontrol"), start=start) as items:
        first = await anext(items)
        await suite.cancel(run_id=waiting)
        second = await anext(items)

    # then the snapshot is of the newest event, and the next one follows it
    assert (first.snapshot.run.run_id, first.snapshot.head_seq) == (waiting, end)
    assert second.event.thread_seq == end + 1

    # when nothing is open
    async with subscribed(suite.channel("runcontrol"), start=start) as items:
        idle = (await anext(items)).snapshot

    # then the snapshot has no run
    assert (idle.HasField("run"), idle.head_seq) == (False, await head(suite))


@pytest.mark.parametrize(
    ("thread_id", "cursor", "reason"),
    [
        ("none", "", "THREAD_NOT_FOUND"),
        ("t", "run", "INVALID_REQUEST"),
        ("other", "thread", "INVALID_REQUEST"),
        ("t", "beyond", "CURSOR_OUT_OF_RANGE"),
    ],
)
async def test_a_stream_that_cannot_begin_is_refused(
    suite: Suite, thread_id: str, cursor: str, reason: str
) -> None:
    # given a thread with an ended run, and cursors of both
    await suite.apply_agent("helper", s.replying("done"))
    run_id = await suite.submit("helper", thread_id="t")
    of_run, _ = await suite.until(run_id, "run_finished")
    of_thread = (await read(suite.channel("runcontrol"), await head(suite)))[-1].cursor
    beyond = of_thread[:-8] + (1 << 40).to_bytes(8, "big")
    after = {"": b"", "run": of_run, "thread": of_thread, "beyond": beyond}[cursor]

    # when a thread is followed
    request = service.SubscribeThreadRequest(thread_id=thread_id, after=after)
    refusal = await refused(suite.runs.SubscribeThread(request).read())

    # then
    assert refusal.reason == reason
