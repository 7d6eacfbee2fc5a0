"""``make bench-router``: what the router costs, against a relay that does nothing and LiteLLM.

Every arm is a server process before the same provider (``router_processes``) and answers the same
calls (``router_load``), which this process makes, one arm after the other. CPU is that of the arm's
process, as the operating system counts it.

direct      the provider itself: what an arm adds is counted from it
relay       events in, the same events out over grpc.aio, undecoded; no telemetry
router      ``runyard serve router``, with every span and its metrics exported to a receiver
litellm     LiteLLM's proxy with its defaults and one worker; only with ``PEERS=1``

saturated   16 calls in flight, deltas as fast as they are taken
alone       the same, one call at a time
paced       100 calls in flight, each with a delta every 20 ms

A routing decision is measured in this process: from a decoded request to the member to call and the
record of that, for pools of 4 and of 16 members, each time for another session.

    python -m tests.bench.bench_router [--rounds 9] [--seconds 2]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.server.loop import run
from services.router.core.model import Snapshot
from services.router.core.request import InferCommand, Prompt
from services.router.core.session import Session
from tests.bench.report import Report, median_ratio, scratch
from tests.bench.router_arms import ServerArm, servers
from tests.bench.router_load import Arm, arms
from tests.bench.router_processes import DELTAS, FAST, PACED
from tests.unit.router.builders import user
from tests.unit.router.in_memory_router import Router, Snapshots, pool

_DECISIONS = 2_000
_TARGETS = {
    "throughput_vs_relay_16": 0.9,
    "chunks_vs_litellm_16": 10.0,
    "cpu_per_chunk_vs_litellm_16": 10.0,
    "cpu_paced_vs_litellm": 6.0,
    "first_token_vs_litellm_16": 5.0,
}


@dataclass(slots=True)
class Measured:
    """One arm at one kind of work; an entry per round.

    Attributes:
        rates: Deltas per second.
        cpu_us: Of the server, per delta.
        first_s: Medians of the time to the first delta.
    """

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)

    def figures(self, work: str) -> dict[str, float]:
        return {
            f"{work}, deltas_per_s": statistics.median(self.rates),
            f"{work}, cpu_us_per_delta": statistics.median(self.cpu_us),
            f"{work}, first_delta_ms": statistics.median(self.first_s) * 1000,
        }


@dataclass(frozen=True, slots=True)
class Load:
    """``seconds`` is the least time for which new calls are made; 0 makes one per caller."""

    model: str
    callers: int
    seconds: float


Results = dict[tuple[str, str], Measured]


async def one_round(arm: Arm, server: ServerArm, load: Load, into: Measured) -> None:
    """Make calls for as long as the load says, and add what was measured."""
    firsts_s: list[float] = []

    async def repeated(ends_s: float) -> None:
        firsts_s.append((await arm.ask(load.model)).first_s)
        while time.perf_counter() < ends_s:
            firsts_s.append((await arm.ask(load.model)).first_s)

    began_s, used_s = time.perf_counter(), server.cpu_s()
    await asyncio.gather(*(repeated(began_s + load.seconds) for _ in range(load.callers)))
    lasted_s, used_s = time.perf_counter() - began_s, server.cpu_s() - used_s
    deltas = len(firsts_s) * DELTAS
    into.rates.append(deltas / lasted_s)
    into.cpu_us.append(used_s / deltas * 1e6)
    into.first_s.append(statistics.median(firsts_s))


async def measure(found: Mapping[str, ServerArm], rounds: int, seconds: float) -> Results:
    loads = {
        "saturated": Load(FAST, 16, seconds),
        "alone": Load(FAST, 1, seconds / 2),
        "paced": Load(PACED, 100, 0.0),
    }
    results: Results = {(work, name): Measured() for work in loads for name in found}
    async with arms({name: server.target for name, server in found.items()}) as ways:
        for name, way in ways.items():
            # What is loaded and made at the first calls.
            await one_round(way, found[name], Load(FAST, 16, 0.5), Measured())
        for _ in range(rounds):
            for work, load in loads.items():
                for name, way in ways.items():
                    await one_round(way, found[name], load, results[work, name])
    return results


async def decision_us(members: int) -> float:
    """The median time of a decision in a pool of so many members."""
    target = pool(*(f"member-{number}" for number in range(members)))
    inference = Router(Snapshots(Snapshot(7, "incarnation", {"pool": target}))).inference
    prompt = Prompt((user("hi"),))
    taken_s = []
    for number in range(_DECISIONS):
        command = InferCommand("pool", prompt, Session(thread_id=f"thread-{number}"))
        began_s = time.perf_counter()
        await inference.route(LOCAL_PRINCIPAL, command, lambda: None)
        taken_s.append(time.perf_counter() - began_s)
    return statistics.median(taken_s) * 1e6


def report(results: Results, decisions: Mapping[int, float]) -> Report:
    names = list(dict.fromkeys(name for _, name in results))
    figures: dict[str, dict[str, float]] = {name: {} for name in names}
    for (work, name), found in results.items():
        figures[name] |= found.figures(work)
    added_s = added(results["alone", "router"].first_s, results["alone", "relay"].first_s)
    figures["router"]["alone, first_delta_ms beyond relay"] = statistics.median(added_s) * 1000
    for members, taken_us in decisions.items():
        figures["router"][f"decision of {members} members, us"] = taken_us
    return Report("router", figures, ratios(results), _TARGETS)


def ratios(results: Results) -> dict[str, float]:
    """Those against LiteLLM only where it was measured."""
    saturated, paced = results["saturated", "router"], results["paced", "router"]
    relay = results["saturated", "relay"]
    found = {
        "throughput_vs_relay_16": median_ratio(saturated.rates, relay.rates),
        "cpu_per_chunk_vs_relay_16": median_ratio(relay.cpu_us, saturated.cpu_us),
        "cpu_paced_vs_relay": median_ratio(results["paced", "relay"].cpu_us, paced.cpu_us),
    }
    if ("saturated", "litellm") not in results:
        return found
    theirs, direct = results["saturated", "litellm"], results["saturated", "direct"].first_s
    found |= {
        "chunks_vs_litellm_16": median_ratio(saturated.rates, theirs.rates),
        "cpu_per_chunk_vs_litellm_16": median_ratio(theirs.cpu_us, saturated.cpu_us),
        "cpu_paced_vs_litellm": median_ratio(results["paced", "litellm"].cpu_us, paced.cpu_us),
        "first_token_vs_litellm_16": median_ratio(
            added(theirs.first_s, direct), added(saturated.first_s, direct)
        ),
    }
    return found


def added(times_s: Iterable[float], base_s: Iterable[float]) -> list[float]:
    """What was added in each round; a difference that drowns in what varies counts as a tenth."""
    return [max(ours - base, ours / 10) for ours, base in zip(times_s, base_s, strict=True)]


async def main(rounds: int, seconds: float) -> Report:
    peers = os.environ.get("PEERS", "") not in ("", "0")
    with scratch() as data:
        async with servers(data, peers=peers) as found:
            results = await measure(found, rounds, seconds)
    decisions = {members: await decision_us(members) for members in (4, 16)}
    return report(results, decisions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    run(main(options.rounds, options.seconds)).publish()
