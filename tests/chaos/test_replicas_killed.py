"""Two replicas of run control and of pool on PostgreSQL, killed in turn under load.

A ledger says at the end that every run ended once, with its whole answer, and that every message
that a run sent has arrived once. ``-s`` shows how long takeovers took.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as runs
from tests.support import clients
from tests.support.event_order import uncovered_gaps
from tests.support.postgres import fresh_schema, private_cluster
from tests.support.stack import IMPATIENT, SERVICES, Stack, free_port

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

ROUNDS = 15
CLIENTS = 16
RUNS_PER_ROUND = 24
TAKEOVER_P90_S = 3.0
LONGEST_WAIT_S = 5.0
REPLICATED = ("runcontrol", "pool")
# About 0.6 s of streaming.
ANSWER = " ".join(f"word{n}" for n in range(30))
LEDGER = "ledger"


@dataclass
class Replicas:
    """Four services, run control and pool twice.

    Attributes:
        halves: All four, and the second replicas.
        killed: What was killed, and when, by the clock of the machine.
    """

    halves: tuple[Stack, Stack]
    killed: list[tuple[str, float]] = field(default_factory=list)

    def target(self, service: str, first: int = 0) -> str:
        """Both replicas, in the form that gRPC takes for a list of addresses."""
        ports = [half.ports[service] for half in self.halves]
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in (ports[first], ports[1 - first]))

    async def kill_one(self, number: int) -> None:
        """Kill the replica whose turn it is in this round."""
        service, half = REPLICATED[number % 2], self.halves[number // 2 % 2]
        await half.kill(service)
        self.killed.append((service, time.time()))

    async def restart(self) -> None:
        for half in self.halves:
            for service in REPLICATED:
                if service not in half.processes:
                    await half.start(service)


@contextlib.asynccontextmanager
async def replicas(data: Path, urls: dict[str, str]) -> AsyncIterator[Replicas]:
    ports = {service: free_port() for service in SERVICES}
    beside = {**ports, **{service: free_port() for service in REPLICATED}}
    halves = []
    for name, own in (("a", ports), ("b", beside)):
        (data / name).mkdir()
        halves.append(Stack(data / name, ports=own))
    found = Replicas((halves[0], halves[1]))
    for number, half in enumerate(halves):
        half.environment = {
            service: {
                f"RUNYARD_{service.upper()}_DATABASE_URL": urls[service],
                f"RUNYARD_{service.upper()}_DATABASE_CONNECTIONS": "6",
            }
            for service in SERVICES
        }
        half.environment["runcontrol"]["RUNYARD_RUNCONTROL_POOL_TARGET"] = found.target(
            "pool", number
        )
        half.environment["pool"]["RUNYARD_POOL_RUNCONTROL_TARGET"] = found.target(
            "runcontrol", number
        )
    try:
        await halves[0].start()
        await halves[1].start(*REPLICATED)
        yield found
    finally:
        for half in reversed(halves):
            for process in half.processes.values():
                process.kill()
                await process.wait()


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    """A server of its own: seven processes and their successors need many connections."""
    with ExitStack() as stack:
        cluster = stack.enter_context(private_cluster("max_connections=200"))
        yield {name: stack.enter_context(fresh_schema(cluster.url)) for name in SERVICES}


@dataclass
class Ledger:
    """What clients saw.

    Attributes:
        runs: Events of each run, as its client received them.
        waits_s: The longest time that each client's run said nothing.
    """

    runs: dict[str, list[runs.Event]] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    done: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def grows_by(self, count: int) -> None:
        wanted = len(self.runs) + count
        async with self.done:
            await self.done.wait_for(lambda: len(self.runs) >= wanted)


class Client:
    """Submits one run after the other, and follows each through kills until it has ended."""

    def __init__(self, channel: grpc.aio.Channel, version: int, ledger: Ledger) -> None:
        self._channel = channel
        self._version = version
        self._ledger = ledger
        self._heard_s = 0.0
        self._wait_s = 0.0

    async def work(self, until: asyncio.Event) -> None:
        while not until.is_set():
            self._heard_s, self._wait_s = time.monotonic(), 0.0
            run_id = await self._submit()
            events = await self._follow(run_id)
            async with self._ledger.done:
                self._ledger.runs[run_id] = events
                self._ledger.waits_s.append(self._wait_s)
                self._ledger.done.notify_all()

    async def _submit(self) -> str:
        request_id = str(uuid.uuid4())
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                return await clients.submit(
                    self._channel,
                    "worker",
                    "go",
                    pool_id="room",
                    min_version=self._version,
                    request_id=request_id,
                )
            await self._channel.channel_ready()

    async def _follow(self, run_id: str) -> list[runs.Event]:
        seen: list[runs.Event] = []
        cursor = b""
        while not seen or not seen[-1].HasField("run_finished"):
            with contextlib.suppress(grpc.aio.AioRpcError):
                async with clients.subscribed(self._channel, run_id, cursor) as events:
                    async for behind, event in events:
                        cursor = behind
                        seen.append(event)
                        self._hear()
            await self._channel.channel_ready()
        return seen

    def _hear(self) -> None:
        now_s = time.monotonic()
        self._wait_s = max(self._wait_s, now_s - self._heard_s)
        self._heard_s = now_s


async def _prepare(both: Replicas) -> int:
    """An agent that sends a message to the ledger, waits for a time-out, and tells a story."""
    send = f'{{"to": {{"run_id": "{LEDGER}"}}, "body": "done"}}'
    async with both.halves[0].channel("pool") as channel:
        pool = PoolServiceStub(channel)
        await pool.OpenPool(rpc.OpenPoolRequest(pool_id="room"))
        await pool.JoinPool(rpc.JoinPoolRequest(pool_id="room", run_id=LEDGER, agent_id="clerk"))
    async with both.halves[0].channel("registry") as channel:
        return await clients.apply(
            channel,
            clients.builtin_provider(
                "script",
                clients.calling("send", send, tool_results=0),
                clients.calling("wait", '{"reply_to": "m", "timeout_s": 1}', tool_results=1),
                clients.replying(ANSWER, tool_results=2),
                delta_interval_ms=20,
            ),
            clients.model("model", "script", tools=True),
            clients.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND),
            clients.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT),
            clients.agent("worker", "model", "send", "wait"),
        )


async def _inbox(both: Replicas) -> Counter[str]:
    """How many messages of each run have arrived."""
    found: Counter[str] = Counter()
    async with both.halves[0].channel("pool") as channel:
        pool = PoolServiceStub(channel)
        while True:
            fetch = rpc.FetchInboxRequest(pool_id="room", run_id=LEDGER, max_deliveries=64)
            deliveries = (await pool.FetchInbox(fetch)).deliveries
            if not deliveries:
                return found
            for each in deliveries:
                found[each.message.from_run_id] += 1
                ack = rpc.AckDeliveryRequest(
                    pool_id="room",
                    message_id=each.message.message_id,
                    run_id=LEDGER,
                    lease_token=each.lease_token,
                )
                await pool.AckDelivery(ack)


def _takeovers(both: Replicas, ledger: Ledger) -> list[float]:
    """Seconds from a kill of run control until each run that it executed was resumed."""
    kills = [at_s for service, at_s in both.killed if service == "runcontrol"]
    found = []
    for events in ledger.runs.values():
        lost = False
        for event in events:
            lost = lost or event.attempt_failed.reason == "LEASE_LOST"
            if lost and event.HasField("run_resumed"):
                at_s = event.create_time.ToNanoseconds() / 1e9
                found.append(at_s - max(kill for kill in kills if kill <= at_s))
                lost = False
    return sorted(found)


def _at(share: float, values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def test_replicas_that_are_killed_lose_and_double_nothing_and_hold_nobody_up(
    tmp_path: Path, urls: dict[str, str]
) -> None:
    ledger, stop = Ledger(), asyncio.Event()
    async with replicas(tmp_path, urls) as both, AsyncExitStack() as stack:
        # given sixteen clients of both replicas
        version = await _prepare(both)
        working = []
        for number in range(CLIENTS):
            target = both.target("runcontrol", number % 2)
            channel = grpc.aio.insecure_channel(
                target, options=[*IMPATIENT, ("grpc.use_local_subchannel_pool", 1)]
            )
            await stack.enter_async_context(channel)
            client = Client(channel, version, ledger)
            working.append(asyncio.ensure_future(client.work(stop)))
        await ledger.grows_by(CLIENTS)

        # when one replica after the other is killed and started again
        for number in range(ROUNDS):
            await both.kill_one(number)
            await ledger.grows_by(RUNS_PER_ROUND)
            await both.restart()
            await ledger.grows_by(RUNS_PER_ROUND)
        stop.set()
        await asyncio.gather(*working)
        inbox = await _inbox(both)

    # then nothing was lost or doubled
    for events in ledger.runs.values():
        assert uncovered_gaps(events) == []
        assert clients.kinds(events).count("run_finished") == 1
        assert events[-1].run_finished.output_text == ANSWER
    assert inbox == Counter(dict.fromkeys(ledger.runs, 1))

    # and nobody waited long
    takeovers = _takeovers(both, ledger)
    print(
        f"\n{len(ledger.runs)} runs, {len(both.killed)} kills, {len(takeovers)} takeovers: "
        f"p50 {_at(0.5, takeovers):.2f} s, p90 {_at(0.9, takeovers):.2f} s, "
        f"most {takeovers[-1]:.2f} s; waits: p50 {_at(0.5, ledger.waits_s):.2f} s, "
        f"p99 {_at(0.99, ledger.waits_s):.2f} s, most {max(ledger.waits_s):.2f} s"
    )
    assert _at(0.9, takeovers) <= TAKEOVER_P90_S
    assert max(ledger.waits_s) <= LONGEST_WAIT_S
