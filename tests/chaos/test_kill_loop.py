"""kill -9 of run control and of workers in turn, round after round, under load.

Sixteen clients keep sixty-four threads busy with runs that ask for an approval, call a tool of two
workers once and wait for a wake. A ledger of every acknowledged operation and every effect says at
the end of each round that nothing was lost, doubled or left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
import pytest

from runyard.pool.v1 import pool_service_pb2 as pool_rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as runs
from runyard.runcontrol.v1 import runcontrol_service_pb2 as rpc
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from runyard.types.v1 import content_pb2 as content
from services.cli.manifests.resources import load
from tests.chaos.ledger_worker import worker as ledger_worker
from tests.support import clients
from tests.support.postgres import fresh_schema, private_cluster
from tests.support.stack import IMPATIENT, SERVICES, Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(5_400)]

T = TypeVar("T")

# RUNYARD_KILL_ROUNDS makes it shorter.
ROUNDS = int(os.environ.get("RUNYARD_KILL_ROUNDS", "50"))
CLIENTS = 16
THREADS = 64
RUNS_PER_ROUND = 32
WORKERS = 2
# At first no worker has announced its tool: that is a failed precondition.
_AWAY = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.FAILED_PRECONDITION,
}
_TAKEN = (rpc.DECISION_OUTCOME_ACCEPTED, rpc.DECISION_OUTCOME_DUPLICATE)
# Sixty-four threads, sixteen clients: each has four of its own.
_THREADS_EACH = THREADS // CLIENTS


@dataclass
class Seen:
    """What clients were told, by run.

    Attributes:
        submitted: Runs whose submission was acknowledged.
        decided: Tickets whose decision was acknowledged as the one that counts.
        ended: Events of each run, as its client received them.
    """

    submitted: set[str] = field(default_factory=set)
    decided: set[str] = field(default_factory=set)
    ended: dict[str, list[runs.Event]] = field(default_factory=dict)
    done: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def grows_by(self, count: int) -> None:
        wanted = len(self.ended) + count
        async with self.done:
            await self.done.wait_for(lambda: len(self.ended) >= wanted)


class Client:
    """Submits one run after the other, answers what it asks, and follows it to its end."""

    def __init__(self, channel: grpc.aio.Channel, number: int, version: int, seen: Seen) -> None:
        self._channel = channel
        self._runs = RunControlServiceStub(channel)
        self._threads = [f"thread-{number}-{n}" for n in range(_THREADS_EACH)]
        self._version = version
        self._seen = seen

    async def work(self, until: asyncio.Event) -> None:
        for number in range(sys.maxsize):
            if until.is_set():
                return
            run_id = await self._submit(self._threads[number % _THREADS_EACH])
            self._seen.submitted.add(run_id)
            events = await self._follow(run_id)
            async with self._seen.done:
                self._seen.ended[run_id] = events
                self._seen.done.notify_all()

    async def _submit(self, thread_id: str) -> str:
        request = rpc.SubmitRunRequest(
            request_id=str(uuid.uuid4()),
            agent_id="clerk",
            thread_id=thread_id,
            messages=[clients.user_message("go")],
            pool=runs.PoolMembership(pool_id="room"),
            min_registry_version=self._version,
        )
        return (await self._repeated(lambda: self._runs.SubmitRun(request))).run_id

    async def _follow(self, run_id: str) -> list[runs.Event]:
        seen: list[runs.Event] = []
        cursor = b""
        while not seen or not seen[-1].HasField("run_finished"):
            try:
                async with clients.subscribed(self._channel, run_id, cursor) as events:
                    async for behind, event in events:
                        cursor = behind
                        seen.append(event)
                        if event.HasField("ticket_opened"):
                            await self._decide(event.ticket_opened.ticket)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    raise
            await self._channel.channel_ready()
        return seen

    async def _decide(self, ticket: runs.Ticket) -> None:
        """Approve a call; of a lost one say that it happened."""
        verdict = runs.Verdict(approve=runs.Approve())
        if ticket.kind == runs.Ticket.KIND_RECONCILE:
            verdict = runs.Verdict(happened=runs.Happened(content="reconciled"))
        request = rpc.SubmitDecisionRequest(
            ticket_id=ticket.ticket_id, decision_id="d", verdict=verdict
        )
        answer = await self._repeated(lambda: self._runs.SubmitDecision(request))
        # A late result may have answered before.
        if answer.outcome in _TAKEN:
            self._seen.decided.add(ticket.ticket_id)

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    raise
            await self._channel.channel_ready()


class WorkerProcesses:
    """Two processes of the worker that writes a ledger, killed and started again."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._processes: list[asyncio.subprocess.Process | None] = [None] * WORKERS

    async def start(self) -> None:
        for number, process in enumerate(self._processes):
            if process is None:
                self._processes[number] = await self._spawn()

    async def kill(self, number: int) -> None:
        process = self._processes[number]
        if process is not None:
            self._processes[number] = None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with (self._folder / "workers.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.ledger_worker",
                env={
                    **os.environ,
                    "RUNYARD_ENDPOINTS": f"runcontrol={self._target}",
                    "LEDGER": str(self.ledger),
                },
                stdout=log,
                stderr=log,
            )

    @property
    def ledger(self) -> Path:
        return self._folder / "ledger"

    def effects(self) -> Counter[str]:
        """How often each key was executed."""
        text = self.ledger.read_text() if self.ledger.exists() else ""
        return Counter(text.splitlines())


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield {}
            return
        cluster = stack.enter_context(private_cluster("max_connections=200"))
        yield {name: stack.enter_context(fresh_schema(cluster.url)) for name in SERVICES}


@asynccontextmanager
async def everything(data: Path, urls: dict[str, str]) -> AsyncIterator[Stack]:
    stack = Stack(data)
    stack.environment = {
        name: {f"RUNYARD_{name.upper()}_DATABASE_URL": url} for name, url in urls.items()
    }
    # A lease that a killed worker holds ends soon.
    stack.environment.setdefault("runcontrol", {})["RUNYARD_RUNCONTROL_WORKER_LEASE_S"] = "3"
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()


async def _prepare(stack: Stack) -> int:
    async with stack.channel("pool") as channel:
        await PoolServiceStub(channel).OpenPool(pool_rpc.OpenPoolRequest(pool_id="room"))
    manifests = load([("worker", ledger_worker.manifests())])
    (pay,) = manifests.resources
    pay.tool.approval = content.APPROVAL_ASK
    async with stack.channel("registry") as channel:
        return await clients.apply(
            channel,
            clients.builtin_provider(
                "script",
                clients.calling("pay", '{"amount": 5}', tool_results=0),
                clients.calling("wait", '{"reply_to": "m", "timeout_s": 1}', tool_results=1),
                clients.replying("done", tool_results=2),
            ),
            clients.model("model", "script", tools=True),
            pay,
            clients.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT),
            clients.agent("clerk", "model", "pay", "wait"),
        )


def _examine(seen: Seen, effects: Counter[str]) -> None:
    """What holds at the end of every round, of all runs that have ended by then."""
    for run_id, events in seen.ended.items():
        assert clients.uncovered_gaps(events) == [], run_id
        assert clients.kinds(events).count("run_finished") == 1, run_id
        finished = events[-1].run_finished
        assert finished.termination.reason == runs.TERMINATION_REASON_NATURAL_END, finished
        opened = {e.ticket_opened.ticket.ticket_id for e in events if e.HasField("ticket_opened")}
        decided = {e.ticket_decided.ticket_id for e in events if e.HasField("ticket_decided")}
        assert opened & seen.decided <= decided, run_id
    doubled = {key: count for key, count in effects.items() if count > 1}
    assert doubled == {}


async def _kill(number: int, stack: Stack, workers: WorkerProcesses) -> str:
    """Kill whose turn it is in this round."""
    victim = ("run control", "a worker", "both")[number % 3]
    if victim != "run control":
        await workers.kill(number % WORKERS)
    if victim != "a worker":
        await stack.kill("runcontrol")
    return victim


async def test_nothing_is_lost_doubled_or_stuck_over_kills_of_every_side(
    tmp_path: Path, urls: dict[str, str]
) -> None:
    seen, stop, killed = Seen(), asyncio.Event(), Counter[str]()
    async with everything(tmp_path, urls) as stack, AsyncExitStack() as opened:
        # given sixteen clients with four threads each, and two workers
        version = await _prepare(stack)
        workers = WorkerProcesses(stack.target("runcontrol"), tmp_path)
        await workers.start()
        for number in range(WORKERS):
            opened.push_async_callback(workers.kill, number)
        working = []
        for number in range(CLIENTS):
            channel = grpc.aio.insecure_channel(
                stack.target("runcontrol"),
                options=[*IMPATIENT, ("grpc.use_local_subchannel_pool", 1)],
            )
            await opened.enter_async_context(channel)
            client = Client(channel, number, version, seen)
            working.append(asyncio.ensure_future(client.work(stop)))

        # when run control, a worker or both are killed in every round, and started again
        for number in range(ROUNDS):
            await _grown(seen, CLIENTS // 4, working)
            killed[await _kill(number, stack, workers)] += 1
            if "runcontrol" not in stack.processes:
                await stack.start("runcontrol")
            await workers.start()
            await _grown(seen, RUNS_PER_ROUND, working)
            _examine(seen, workers.effects())
        stop.set()
        await asyncio.gather(*working)

        # then every run that was acknowledged has ended, and the ledger has every effect once
        _examine(seen, workers.effects())
        assert seen.submitted == set(seen.ended)
        effects = workers.effects()
    paid = Counter(_result(events) for events in seen.ended.values())
    print(
        f"\n{dict(killed)} killed, {len(seen.ended)} runs, {len(seen.decided)} decisions, "
        f"{effects.total()} effects, {paid['reconciled']} calls reconciled"
    )
    assert set(paid) <= {"paid 5", "reconciled"}
    assert effects.total() >= paid["paid 5"]


async def _grown(seen: Seen, count: int, working: Sequence[asyncio.Future[None]]) -> None:
    """Wait for so many more runs that end; a client that fails ends the test."""
    growing = asyncio.ensure_future(seen.grows_by(count))
    await asyncio.wait({growing, *working}, return_when=asyncio.FIRST_COMPLETED)
    for each in working:
        if each.done():
            each.result()
    await growing


def _result(events: list[runs.Event]) -> str:
    """The result of the run's first call of a tool of a worker."""
    ids = [
        e.tool_call_planned.call.tool_call_id
        for e in events
        if e.HasField("tool_call_planned") and e.tool_call_planned.call.tool_id == "pay"
    ]
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    (result,) = [each.result for each in settled if each.tool_call_id == ids[0]]
    return result
