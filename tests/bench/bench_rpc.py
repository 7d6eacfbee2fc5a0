"""``make bench-rpc``: what a call costs the server, ours against bare grpc.aio.

Each arm is a process of its own with the same handlers, messages and event loop (uvloop where it
is installed); the client, in this process, drives them in turns. A figure is the CPU time of the
server process, as the operating system counts it, for one call (or one frame of a stream):

bare        grpc.aio and nothing else
off         the chassis, no telemetry
sampled     the chassis, metrics and one span in ten exported to a receiver, a process of its own
exported    the chassis, metrics and every span exported

    python -m tests.bench.bench_rpc [--rounds 9] [--seconds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import grpc

from services.chassis.server.loop import run
from tests.bench.report import Report, median_ratio
from tests.bench.rpc_server import FRAMES, REFUSED
from tests.contract.chassis_grpc.probe import ProbeStub

IN_FLIGHT = 16
STREAMS = 4
_TARGETS = {
    "unary_cpu_vs_bare_16": 0.5,
    "unary_cpu_vs_bare_16_off": 0.8,
    "refusal_cpu_vs_ok_16": 0.67,
    "stream_cpu_vs_bare": 0.9,
}
_SAMPLED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}

Work = Callable[[ProbeStub], Awaitable[int]]


@dataclass(slots=True)
class Process:
    """A server and the pipe that asks it how much CPU it has used."""

    popen: subprocess.Popen[str]
    port: int

    def cpu_s(self) -> float:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        return float(self.popen.stdout.readline())


@contextmanager
def started(arm: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.rpc_server", arm],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as popen:
        assert popen.stdout is not None
        assert popen.stdin is not None
        yield Process(popen, int(popen.stdout.readline()))
        popen.stdin.close()


async def unary(stub: ProbeStub) -> int:
    await stub.unary("")
    return 1


async def refusal(stub: ProbeStub) -> int:
    try:
        await stub.unary(REFUSED)
    except grpc.aio.AioRpcError:
        return 1
    raise RuntimeError("the probe answered what it had to refuse")


async def stream(stub: ProbeStub) -> int:
    async for _ in stub.watch("one delta of an answer"):
        pass
    return FRAMES


@dataclass(slots=True)
class Measured:
    """The rounds of one arm at one kind of work."""

    cpu_us: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        return {
            "server CPU, us": statistics.median(self.cpu_us),
            "per second": statistics.median(self.rates),
        }


WORKS: Mapping[str, tuple[Work, int, tuple[str, ...]]] = {
    "unary": (unary, IN_FLIGHT, ("bare", "off", "sampled", "exported")),
    "refusal": (refusal, IN_FLIGHT, ("off", "exported")),
    "stream": (stream, STREAMS, ("bare", "off", "exported")),
}

Results = dict[tuple[str, str], Measured]


async def one_round(work: Work, process: Process, at_once: int, seconds: float) -> Measured:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
        stub = ProbeStub(channel)
        await work(stub)

        async def repeated(ends_s: float) -> int:
            done = 0
            while time.perf_counter() < ends_s:
                done += await work(stub)
            return done

        began_s, used_s = time.perf_counter(), process.cpu_s()
        done = sum(await asyncio.gather(*(repeated(began_s + seconds) for _ in range(at_once))))
        lasted_s, used_s = time.perf_counter() - began_s, process.cpu_s() - used_s
    return Measured([used_s / done * 1e6], [done / lasted_s])


async def measure(processes: Mapping[str, Process], rounds: int, seconds: float) -> Results:
    results: Results = {}
    for number in range(rounds + 1):
        for name, (work, at_once, arms) in WORKS.items():
            for arm in arms:
                found = await one_round(work, processes[arm], at_once, seconds)
                if number:  # the first round warms what is loaded and made at the first call
                    into = results.setdefault((name, arm), Measured())
                    into.cpu_us += found.cpu_us
                    into.rates += found.rates
    return results


def report(results: Results) -> Report:
    def ratio(base: tuple[str, str], ours: tuple[str, str]) -> float:
        return median_ratio(results[base].cpu_us, results[ours].cpu_us)

    ratios = {
        "unary_cpu_vs_bare_16": ratio(("unary", "bare"), ("unary", "exported")),
        "unary_cpu_vs_bare_16_sampled": ratio(("unary", "bare"), ("unary", "sampled")),
        "unary_cpu_vs_bare_16_off": ratio(("unary", "bare"), ("unary", "off")),
        "refusal_cpu_vs_ok_16": ratio(("unary", "exported"), ("refusal", "exported")),
        "refusal_cpu_vs_ok_16_off": ratio(("unary", "off"), ("refusal", "off")),
        "stream_cpu_vs_bare": ratio(("stream", "bare"), ("stream", "exported")),
        "stream_cpu_vs_bare_off": ratio(("stream", "bare"), ("stream", "off")),
    }
    arms = {f"{name}, {arm}": found.figures() for (name, arm), found in results.items()}
    return Report("rpc", arms, ratios, _TARGETS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        receiver = stack.enter_context(started("receiver"))
        exporting = {"RUNYARD_BENCH_RECEIVER": f"http://127.0.0.1:{receiver.port}"}
        processes = {
            "bare": stack.enter_context(started("bare")),
            "off": stack.enter_context(started("chassis")),
            "sampled": stack.enter_context(started("chassis", {**exporting, **_SAMPLED})),
            "exported": stack.enter_context(started("chassis", exporting)),
        }
        results = run(measure(processes, options.rounds, options.seconds))
    report(results).publish()


if __name__ == "__main__":
    main()
