"""A replica of run control that stands still for 30 s, and then goes on as if nothing had happened.

It is stopped in the middle of model calls and of a tool. The other one takes over; the first one
writes nothing more for the runs that it has lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import grpc
import psycopg
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as runs
from runyard_worker import Worker
from services.chassis.clock import SystemClock
from services.cli.manifests.resources import load
from tests.chaos.test_replicas_killed import Replicas, replicas
from tests.support import clients
from tests.support.postgres import fresh_schema, private_cluster
from tests.support.stack import SERVICES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

RUNS = 8
STOPPED_S = 30.0
LEASE_S = 15.0
TAKEOVER_S = LEASE_S + 2.0
# About 20 s of streaming: a server starts meanwhile.
ANSWER = " ".join(f"word{n}" for n in range(400))
# A subscription of the tests ends after a while; the next one goes on from its cursor.
_ENDED = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        cluster = stack.enter_context(private_cluster("max_connections=200"))
        yield {name: stack.enter_context(fresh_schema(cluster.url)) for name in SERVICES}


class Forwarder:
    """Carries TCP connections to a port that can be changed, as a load balancer does."""

    def __init__(self, port: int) -> None:
        self.target_port = port
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Forwarder]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(_carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
    finally:
        sink.close()


async def _prepare(both: Replicas, worker: Worker) -> int:
    manifests = load([("worker", worker.manifests())])
    async with both.halves[0].channel("registry") as channel:
        return await clients.apply(
            channel,
            clients.builtin_provider("story", clients.replying(ANSWER), delta_interval_ms=50),
            clients.builtin_provider(
                "script",
                clients.calling("lookup", '{"order": 4711}', tool_results=0),
                clients.replying("it says ${all}", matches="(?P<all>.+)"),
            ),
            clients.model("story-model", "story"),
            clients.model("script-model", "script", tools=True),
            *manifests.resources,
            clients.agent("thinker", "story-model"),
            clients.agent("clerk", "script-model", "lookup"),
        )


def _rows_of(url: str, run_ids: set[str]) -> list[tuple[object, ...]]:
    """Every row of these runs in any table, with the transaction that wrote it last."""
    named = """SELECT table_name FROM information_schema.columns
               WHERE column_name = 'run_id' AND table_schema = current_schema()"""
    found: list[tuple[object, ...]] = []
    for (table,) in sorted(_query(url, named)):
        text = f"SELECT '{table}', run_id, xmin::text, md5(t::text) FROM {table} t"  # noqa: S608
        found += [row for row in _query(url, text) if row[1] in run_ids]
    return sorted(found)


def _query(url: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


async def _submitted(channel: grpc.aio.Channel, agent: str, version: int) -> str:
    """A run, once a worker has announced the tools of its agent."""
    while True:
        try:
            return await clients.submit(channel, agent, "go", min_version=version)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise


async def _followed(channel: grpc.aio.Channel, run_id: str) -> list[runs.Event]:
    """The run's events to its end, over as many subscriptions as it takes."""
    seen: list[runs.Event] = []
    cursor = b""
    while not seen or not seen[-1].HasField("run_finished"):
        try:
            async with clients.subscribed(channel, run_id, cursor) as events:
                async for behind, event in events:
                    cursor = behind
                    seen.append(event)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _ENDED:
                raise
    return seen


def _told(events: list[runs.Event]) -> str:
    """What the deltas say that count."""
    text = ""
    for event in events:
        if event.HasField("step_reset"):
            text = ""
        text += event.text_delta.text
    return text


async def test_a_replica_that_stood_still_writes_nothing_for_what_it_has_lost(
    tmp_path: Path, urls: dict[str, str]
) -> None:
    begun, goes_on, executed = asyncio.Event(), asyncio.Event(), []
    async with replicas(tmp_path, urls) as both:
        stands, goes = both.halves
        forwarder = Forwarder(stands.ports["runcontrol"])
        async with forwarder.listening():
            worker = Worker("desk", target=f"127.0.0.1:{forwarder.port}")

            @worker.tool(effect="at_most_once", timeout_s=120.0)
            async def lookup(order: int) -> str:
                executed.append(order)
                begun.set()
                await goes_on.wait()
                return "found"

            # given one replica that executes runs, a worker that executes a call of one
            version = await _prepare(both, worker)
            await goes.terminate("runcontrol")
            stop = asyncio.Event()
            working = asyncio.ensure_future(worker.serve(stop))
            async with stands.channel("runcontrol") as channel:
                tool_run = await _submitted(channel, "clerk", version)
                await begun.wait()
                thinking = [await _submitted(channel, "thinker", version) for _ in range(RUNS)]
                for run_id in thinking:
                    await clients.until(channel, run_id, "text_delta")
            await goes.start("runcontrol")
            held = _query(urls["runcontrol"], "SELECT thread_id, run_id, fence FROM lease")
            fences = {thread_id: fence for thread_id, _, fence in held}
            assert {run_id for _, run_id, _ in held} == set(thinking)

            # when it stands still, and the worker's connections go to the other one
            zombie = stands.processes["runcontrol"]
            zombie.send_signal(signal.SIGSTOP)
            stopped_at_s = time.time()
            forwarder.target_port = goes.ports["runcontrol"]
            async with goes.channel("runcontrol") as channel:
                told = [await _followed(channel, run_id) for run_id in thinking]
                waited_s = time.time() - stopped_at_s
                goes_on.set()
                tool_told = await _followed(channel, tool_run)
                before = _rows_of(urls["runcontrol"], {*thinking, tool_run})
                await SystemClock().sleep(max(0.0, STOPPED_S - (time.time() - stopped_at_s)))

                # and goes on, and has served another run
                zombie.send_signal(signal.SIGCONT)
                async with stands.channel("runcontrol") as awake:
                    another = await _submitted(awake, "thinker", version)
                    await _followed(awake, another)
                after = _rows_of(urls["runcontrol"], {*thinking, tool_run})
            stop.set()
            await working

    # then the other one has taken all over in time, and has told each story once
    taken_over_s = []
    for events in told:
        (resumed,) = (event for event in events if event.HasField("run_resumed"))
        taken_over_s.append(resumed.create_time.ToNanoseconds() / 1e9 - stopped_at_s)
        assert _told(events) == ANSWER
        assert events[-1].run_finished.output_text == ANSWER
        assert clients.uncovered_gaps(events) == []
    print(
        f"\ntakeovers after {min(taken_over_s):.1f} to {max(taken_over_s):.1f} s, "
        f"all runs ended after {waited_s:.1f} s"
    )
    assert max(taken_over_s) <= TAKEOVER_S

    # and the call of the worker went on, once
    assert executed == [4711]
    assert tool_told[-1].run_finished.output_text == "it says found"
    assert clients.kinds(tool_told).count("ticket_opened") == 0

    # and the first one has written no row of what it had lost, and none has its fence
    assert before
    assert after == before
    leases = _query(urls["runcontrol"], "SELECT thread_id, fence FROM lease")
    assert [row for row in leases if row[0] in fences] == []
    newer = _query(urls["runcontrol"], "SELECT thread_id, fence FROM thread")
    assert {row[0] for row in newer} >= set(fences)
    assert [row for row in newer if fences.get(row[0]) == row[1]] == []
