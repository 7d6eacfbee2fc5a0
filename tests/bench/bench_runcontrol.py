"""``make bench-runcontrol``: what runs cost, and whether it grows with what is there.

All figures are those of ``runyard serve runcontrol`` on SQLite, beside a registry, a router with
the scripted provider, and a pool; the client is this process.

bare        an empty unary call of grpc.aio, 16 in flight
submit      durable submits of run control, 16 in flight, while it executes none
runs        runs from their submission to their end, 16 in flight, each on a thread of its own
history     runs on threads of 20 and of 2,000 messages, one after the other; the router reads the
            whole prompt each time
parked      runs on new threads, one after the other, beside 0 and 10,000 parked runs, in turns

    python -m tests.bench.bench_runcontrol [--rounds 9] [--seconds 2]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from runyard.pool.v1.pool_service_pb2 import OpenPoolRequest
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1.runcontrol_service_pb2 import SubmitRunRequest
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.chassis.server.loop import run
from tests.bench.bench_rpc import started
from tests.bench.report import Report, median_ratio, scratch
from tests.bench.router_arms import ServerArm
from tests.bench.runcontrol_fill import database, lengthen, multiply
from tests.contract.chassis_grpc.probe import ProbeStub
from tests.support import clients as s
from tests.support.stack import Stack

IN_FLIGHT = 16
SHORT, LONG = 20, 2_000
PARKED = 10_000
_RUNS_PER_ROUND = 10
_TARGETS = {
    "submit_rate_vs_bare_16": 0.25,
    "history_flatness_2e3": 0.5,
    "parked_flatness_1e4": 0.8,
}


@dataclass
class Results:
    """By arm and figure, an entry per round."""

    found: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, arm: str, figure: str, value: float) -> None:
        self.found[arm][figure].append(value)

    def of(self, arm: str, figure: str) -> list[float]:
        return self.found[arm][figure]

    def report(self) -> Report:
        arms = {
            arm: {name: statistics.median(values) for name, values in figures.items()}
            for arm, figures in self.found.items()
        }
        per_s, ms, cpu = "per_s", "run_ms", "runcontrol_cpu_ms"
        ratios = {
            "submit_rate_vs_bare_16": median_ratio(
                self.of("submit", per_s), self.of("bare", per_s)
            ),
            "history_flatness_2e3": median_ratio(
                self.of(f"history, {SHORT}", ms), self.of(f"history, {LONG}", ms)
            ),
            "history_cpu_flatness_2e3": median_ratio(
                self.of(f"history, {SHORT}", cpu), self.of(f"history, {LONG}", cpu)
            ),
            "parked_flatness_1e4": median_ratio(
                self.of("parked, 0", ms), self.of(f"parked, {PARKED}", ms)
            ),
        }
        return Report("runcontrol", arms, ratios, _TARGETS)


class Subject:
    """A stack whose run control is measured."""

    def __init__(self, data: Path) -> None:
        data.mkdir()
        self.data = data
        self.stack = Stack(data)
        self.version = 0

    async def start(self) -> None:
        await self.stack.start()
        wait = s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT)
        async with self.stack.channel("registry") as channel:
            self.version = await s.apply(
                channel,
                s.builtin_provider("plain", s.replying("The order left the warehouse at noon.")),
                s.builtin_provider("waits", s.calling("wait", "{}", tool_results=0)),
                *(s.model("m", "plain"), s.model("w", "waits", tools=True), wait),
                *(s.agent("helper", "m"), s.agent("waiting", "w", "wait")),
            )

    @property
    def arm(self) -> ServerArm:
        return ServerArm(self.stack.processes["runcontrol"].pid, self.stack.target("runcontrol"))

    async def again(self, most_runs: int = 64) -> None:
        """Start run control after a change of its database or its settings."""
        slots = {"RUNYARD_RUNCONTROL_MAX_CONCURRENT_RUNS": str(most_runs)}
        self.stack.environment["runcontrol"] = slots
        await self.stack.start("runcontrol")

    async def submit(self, channel: grpc.aio.Channel, thread_id: str = "") -> tuple[str, str]:
        """Submit a run; answer its id and that of its thread."""
        request = SubmitRunRequest(
            agent_id="helper",
            thread_id=thread_id,
            messages=[s.user_message("Where is the order 4711, and when will it be here?")],
            min_registry_version=self.version,
        )
        answer = await RunControlServiceStub(channel).SubmitRun(request)
        return answer.run_id, answer.thread_id

    async def run_once(self, channel: grpc.aio.Channel, thread_id: str = "") -> str:
        run_id, thread_id = await self.submit(channel, thread_id)
        await s.follow_to_end(channel, run_id)
        return thread_id

    async def timed_runs(self, results: Results, arm: str, thread_id: str = "") -> None:
        """Ten runs, one after the other: the mean of one, in time and in CPU of run control."""
        async with self.stack.channel("runcontrol") as channel:
            await self.run_once(channel, thread_id)
            began_s, used_s = time.perf_counter(), self.arm.cpu_s()
            for _ in range(_RUNS_PER_ROUND):
                await self.run_once(channel, thread_id)
            lasted_s, used_s = time.perf_counter() - began_s, self.arm.cpu_s() - used_s
        results.add(arm, "run_ms", lasted_s / _RUNS_PER_ROUND * 1000)
        results.add(arm, "runcontrol_cpu_ms", used_s / _RUNS_PER_ROUND * 1000)


async def rate(work: Callable[[], Awaitable[object]], seconds: float) -> float:
    """How often a second ``work`` is done by 16 callers."""
    began_s = time.perf_counter()

    async def repeated() -> int:
        done = 0
        while time.perf_counter() < began_s + seconds:
            await work()
            done += 1
        return done

    done = sum(await asyncio.gather(*(repeated() for _ in range(IN_FLIGHT))))
    return done / (time.perf_counter() - began_s)


async def rates(subject: Subject, results: Results, rounds: int, seconds: float) -> None:
    await subject.again(most_runs=0)
    with started("bare") as bare:
        target = f"127.0.0.1:{bare.port}"
        async with (
            grpc.aio.insecure_channel(target) as to_bare,
            subject.stack.channel("runcontrol") as channel,
        ):
            probe = ProbeStub(to_bare)
            for number in range(rounds + 1):
                bare_rate = await rate(lambda: probe.unary(""), seconds)
                submits = await rate(lambda: subject.submit(channel), seconds)
                if number:  # the first round warms up
                    results.add("bare", "per_s", bare_rate)
                    results.add("submit", "per_s", submits)
    await subject.stack.terminate("runcontrol")
    with database(subject.data) as connection:  # their backlog would be executed meanwhile
        connection.execute("UPDATE thread SET ready_at = NULL")
    await subject.again()
    async with subject.stack.channel("runcontrol") as channel:
        for number in range(rounds + 1):
            runs = await rate(lambda: subject.run_once(channel), seconds)
            if number:
                results.add("runs", "per_s", runs)


async def history(subject: Subject, results: Results, rounds: int) -> None:
    async with subject.stack.channel("runcontrol") as channel:
        threads = {size: await subject.run_once(channel) for size in (SHORT, LONG)}
    await subject.stack.terminate("runcontrol")
    with database(subject.data) as connection:
        for size, thread_id in threads.items():
            lengthen(connection, thread_id, size)
    await subject.again()
    for _ in range(rounds):
        for size, thread_id in threads.items():
            await subject.timed_runs(results, f"history, {size}", thread_id)


async def parked(subjects: dict[int, Subject], results: Results, rounds: int) -> None:
    """Runs of a run control without parked runs and of one with many, in turns."""
    full = subjects[PARKED]
    async with full.stack.channel("runcontrol") as channel, full.stack.channel("pool") as to_pool:
        await PoolServiceStub(to_pool).OpenPool(OpenPoolRequest(pool_id="quiet"))
        run_id = await s.submit(
            channel, "waiting", "wait", pool_id="quiet", min_version=full.version
        )
        await s.until_parked(channel, run_id, pb.WAITING_KIND_WAKE)
    await full.stack.terminate("runcontrol")
    with database(full.data) as connection:
        multiply(connection, run_id, PARKED - 1)
    began_s = time.perf_counter()
    await full.again()
    results.add(f"parked, {PARKED}", "start_s", time.perf_counter() - began_s)
    for _ in range(rounds):
        for count, subject in subjects.items():
            await subject.timed_runs(results, f"parked, {count}")
    results.add(f"parked, {PARKED}", "rss_mib", full.arm.rss_mib())


@asynccontextmanager
async def subject_in(folder: Path) -> AsyncIterator[Subject]:
    subject = Subject(folder)
    try:
        await subject.start()
        yield subject
    finally:
        await subject.stack.stop()


async def measure(folder: Path, rounds: int, seconds: float) -> Results:
    results = Results()
    async with subject_in(folder / "small") as small:
        await history(small, results, rounds)
        async with subject_in(folder / "full") as full:
            await parked({0: small, PARKED: full}, results, rounds)
        await small.stack.terminate("runcontrol")
        await rates(small, results, rounds, seconds)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with scratch() as folder:
        results = run(measure(folder, options.rounds, options.seconds))
    print(__doc__)
    results.report().publish()


if __name__ == "__main__":
    main()
