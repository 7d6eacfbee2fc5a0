"""Real processes, real time: a watcher that reads nothing for 10 s, 30 kills of a server."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runyard.registry.v1.registry_service_pb2 import ApplyResourcesRequest
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.calls.channel import open_channel
from services.chassis.clock import SystemClock
from tests.support.registry_kills import Clients, ServerRun, run_registry
from tests.support.registry_resources import agent, model, provider
from tests.support.snapshot_follower import Follower, snapshot_of, watch
from tests.support.stack import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

STALL_S = 10.0
KILLS = 30


def resident_bytes(pid: int) -> int:
    """Memory of a process, as Linux counts it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} says nothing of its memory")


async def test_a_watcher_that_stalls_for_ten_seconds_costs_the_server_no_memory(
    database_url: str, tmp_path: Path
) -> None:
    # given a watcher of ten large agents in a process of its own
    stack = Stack(
        tmp_path, environment={"registry": {"RUNYARD_REGISTRY_DATABASE_URL": database_url}}
    )
    clock, stalled = SystemClock(), Follower()
    try:
        await stack.start("registry")
        pid = stack.processes["registry"].pid
        async with (
            open_channel(stack.target("registry")) as writing,
            open_channel(stack.target("registry"), tokens=True) as reading,
        ):
            registry = RegistryServiceStub(writing)
            await registry.ApplyResources(ApplyResourcesRequest(resources=[provider(), model()]))
            async with watch(RegistryServiceStub(reading), stalled) as call:
                await stalled.follow(call, 2)

                # when it reads nothing for ten seconds, in which a megabyte is published at a time
                began_s, version, sizes = clock.monotonic_s(), 2, []
                while clock.monotonic_s() - began_s < STALL_S:
                    text = f"{version:04}" * 25_000
                    agents = [agent(f"a{number}", system_prompt=text) for number in range(10)]
                    answer = await registry.ApplyResources(ApplyResourcesRequest(resources=agents))
                    version = answer.version
                    sizes.append(resident_bytes(pid))

                # then the server is no larger than it was soon, and the watcher catches up at once
                await stalled.follow(call, version)
            newest = await snapshot_of(registry)
    finally:
        await stack.stop()
    assert stalled.resources == newest.resources
    assert len(sizes) > 50
    assert max(sizes[len(sizes) // 2 :]) - max(sizes[: len(sizes) // 2]) < 50_000_000
    assert stalled.received_bytes < 30_000_000


async def test_a_registry_that_is_killed_again_and_again(database_url: str, tmp_path: Path) -> None:
    # given
    environment = {"RUNYARD_REGISTRY_DATABASE_URL": database_url}
    stack = Stack(tmp_path, environment={"registry": environment})
    clients, chance = Clients(stack.target("registry")), random.Random(1)
    runs = []
    try:
        async with clients.watching():
            # when it dies at any of its commits, whichever comes first
            for _ in range(KILLS):
                place = chance.choice(["committing", "committed", "answered"])
                runs.append(ServerRun(f"store.{place}=kill@{chance.randint(2, 9)}"))
                await run_registry(stack, runs[-1], clients)
            runs.append(ServerRun(""))
            await run_registry(stack, runs[-1], clients)
    finally:
        await stack.stop()

    # then nothing was lost or doubled in any run, and the last one was not killed
    assert runs[-1].end == "survived"
    assert sum("killed" in run.end for run in runs) >= KILLS // 2
