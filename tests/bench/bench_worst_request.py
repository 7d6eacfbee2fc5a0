"""``make bench-worst-request``: how long another caller waits while the worst legal requests run.

Real server processes over gRPC on loopback. For each request of ``worst_requests``, while none, one
and two of it run all the time, another caller with a process and a connection of its own reads one
small thing after the other. The figures are those of its reads:

p50, p99, longest   of all rounds, by how many worst requests run
heavy               how long one of those takes, the median
stop                from SIGTERM to the exit, while two run, beyond the grace of one second

A request that is refused counts as one that runs. SQLite and PostgreSQL where the service stores.

    python -m tests.bench.bench_worst_request [--rounds 3] [--seconds 8] [--only "pool send"]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from runyard.pool.v1 import pool_service_pb2 as pools
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1.registry_service_pb2 import ApplyResourcesRequest
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.clock import SystemClock
from tests.bench.report import Report, scratch
from tests.bench.worst_requests import READS, RESOURCES, WORST, Worst
from tests.support.postgres import VARIABLE, answers, fresh_schema, server_url
from tests.support.stack import SERVICES, Stack

_GRACE_S = 1
_LIMIT_S = 0.1
# Then the requests have arrived, and are judged.
_UNDER_WAY_S = 1.0
# The router keeps no history: its database holds a copy of the snapshot alone.
_STORING = ("registry", "runcontrol", "pool")
_CALL_LIMIT_S = 120.0
_MORE_BYTES = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(slots=True)
class Measured:
    """One request on one engine.

    Attributes:
        reads_s: Latencies by how many of it ran.
        heavy_s: Of the request itself.
        stops_s: Beyond the grace.
    """

    reads_s: dict[int, list[float]] = field(default_factory=dict)
    p99s_s: dict[int, list[float]] = field(default_factory=dict)
    heavy_s: list[float] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    stops_s: list[float] = field(default_factory=list)

    def add(self, running: int, latencies_s: list[float]) -> None:
        self.reads_s.setdefault(running, []).extend(latencies_s)
        self.p99s_s.setdefault(running, []).append(_quantile(latencies_s, 99))

    def figures(self) -> dict[str, float | str]:
        found: dict[str, float | str] = {}
        for running, latencies_s in self.reads_s.items():
            found[f"{running} running, p50_ms"] = _quantile(latencies_s, 50) * 1000
            found[f"{running} running, p99_ms"] = statistics.median(self.p99s_s[running]) * 1000
            found[f"{running} running, longest_ms"] = max(latencies_s) * 1000
        if self.heavy_s:
            found["heavy_ms"] = statistics.median(self.heavy_s) * 1000
        found["heavy ends"] = " ".join(sorted(self.codes))
        if self.stops_s:
            found["stop_beyond_grace_ms"] = statistics.median(self.stops_s) * 1000
        return found


def _quantile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100)[percent - 1]


class Reader:
    """The other caller."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def latencies_s(self, for_s: float) -> list[float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{for_s}\n".encode())
        found: list[float] = json.loads(await self._process.stdout.readline())
        return found


@asynccontextmanager
async def _reader(service: str, target: str) -> AsyncIterator[Reader]:
    method, request = READS[service]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.steady_reader",
        target,
        method,
        request.SerializeToString().hex(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        reader = Reader(process)
        await reader.latencies_s(0.5)
        yield reader
    finally:
        process.kill()
        await process.wait()


async def _send(worst: Worst, target: str, request: bytes, measured: Measured) -> None:
    """Send the request again and again, each time another one, over a connection of its own."""
    options = [*_MORE_BYTES, ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        while True:
            began_s = time.perf_counter()
            measured.codes.add(await _called(worst, channel, request))
            measured.heavy_s.append(time.perf_counter() - began_s)
            request = await asyncio.to_thread(worst.made)


async def _called(worst: Worst, channel: grpc.aio.Channel, request: bytes) -> str:
    try:
        if worst.streamed:
            async for _ in channel.unary_stream(worst.method)(request, timeout=_CALL_LIMIT_S):
                pass
        else:
            await channel.unary_unary(worst.method)(request, timeout=_CALL_LIMIT_S)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@asynccontextmanager
async def _sending(
    worst: Worst, target: str, count: int, measured: Measured
) -> AsyncIterator[None]:
    requests = [await asyncio.to_thread(worst.made) for _ in range(count)]
    tasks = [asyncio.ensure_future(_send(worst, target, each, measured)) for each in requests]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _measure(worst: Worst, stack: Stack, seconds: float, measured: Measured) -> None:
    """One round; it ends with a stop and a new start of the server."""
    target = stack.target(worst.service)
    async with _reader(worst.service, target) as reader:
        for count in (0, 1, 2):
            async with _sending(worst, target, count, measured):
                await SystemClock().sleep(_UNDER_WAY_S if count else 0)
                measured.add(count, await reader.latencies_s(seconds))
    heavy = Measured()
    async with _sending(worst, target, 2, heavy):
        await SystemClock().sleep(_UNDER_WAY_S)
        process = stack.processes.pop(worst.service)
        asked_s = time.perf_counter()
        process.terminate()
        await process.wait()
        measured.stops_s.append(time.perf_counter() - asked_s - _GRACE_S)
    await stack.start(worst.service)


def _services(service: str) -> Sequence[str]:
    """Those that run: run control needs the others."""
    return {"runcontrol": SERVICES, "router": ("registry", "router")}.get(service, (service,))


@asynccontextmanager
async def _stack(folder: Path, service: str, url: str | None) -> AsyncIterator[Stack]:
    environment = {
        each: {
            f"RUNYARD_{each.upper()}_DRAIN_GRACE_S": str(_GRACE_S),
            f"RUNYARD_{each.upper()}_LOG_LEVEL": "error",
        }
        for each in SERVICES
    }
    if url is not None:
        environment[service][f"RUNYARD_{service.upper()}_DATABASE_URL"] = url
    stack = Stack(folder, environment=environment)
    try:
        await stack.start(*_services(service))
        await _prepare(stack, service)
        yield stack
    finally:
        await stack.stop()


async def _prepare(stack: Stack, service: str) -> None:
    if service == "pool":
        async with stack.channel("pool") as channel:
            stub = PoolServiceStub(channel)
            await stub.OpenPool(pools.OpenPoolRequest(pool_id="room"))
            for run in ("r1", "r2"):
                joining = pools.JoinPoolRequest(pool_id="room", run_id=run, agent_id="a1")
                await stub.JoinPool(joining)
        return
    async with stack.channel("registry") as channel:
        await RegistryServiceStub(channel).ApplyResources(
            ApplyResourcesRequest(resources=RESOURCES)
        )


def _engines(service: str, stack: ExitStack) -> Iterator[tuple[str, str | None]]:
    yield "sqlite", None
    if service not in _STORING:
        return
    server = server_url()
    if answers(server):
        yield "postgresql", stack.enter_context(fresh_schema(server))
    else:
        print(f"no PostgreSQL answers at {VARIABLE}: its arms are absent")


async def measure(folder: Path, only: str, rounds: int, seconds: float) -> dict[str, Measured]:
    results: dict[str, Measured] = {}
    for worst in WORST:
        if not f"{worst.service} {worst.name}".startswith(only):
            continue
        with ExitStack() as schemas:
            for engine, url in _engines(worst.service, schemas):
                arm = f"{worst.service} {worst.name}, {engine}"
                place = Path(tempfile.mkdtemp(dir=folder))
                results[arm] = measured = Measured()
                async with _stack(place, worst.service, url) as stack:
                    for _ in range(rounds):
                        await _measure(worst, stack, seconds, measured)
                print(arm, json.dumps(measured.figures(), indent=1), flush=True)
    return results


def report(results: dict[str, Measured]) -> Report:
    ratios = {}
    for arm, measured in results.items():
        for running in (1, 2):
            p99_s = statistics.median(measured.p99s_s[running])
            ratios[f"{arm}: 100 ms over p99, {running} running"] = _LIMIT_S / p99_s
    arms = {arm: measured.figures() for arm, measured in results.items()}
    return Report("worst_request", arms, ratios, dict.fromkeys(ratios, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", default="", help="how the names of the requests begin")
    options = parser.parse_args()
    with scratch() as folder:
        found = asyncio.run(measure(folder, options.only, options.rounds, options.seconds))
    report(found).publish()


if __name__ == "__main__":
    main()
