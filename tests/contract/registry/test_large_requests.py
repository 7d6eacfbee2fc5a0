"""The largest legal requests hold up nobody, and end with their callers and with the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from tests.contract.registry.calls import Client
from tests.support.profiles import amount, scaled
from tests.support.registry_resources import model, provider, tool
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), scaled]

# `make bench-worst-request` measures; here the machine may be busy with something else.
READ_LIMIT_S = 20.0
GRACE_S = 1.0
STOP_LIMIT_S = GRACE_S + 12.0
# A reader without a pause would take the server's time from the change.
PAUSE_S = 0.05
# Of 256 tools each; as many as a request may hold in chaos.
AGENTS = amount(gate=40, chaos=1_150)


def agents(count: int, tools: list[str]) -> list[pb.Resource]:
    return [
        pb.Resource(agent=pb.Agent(id=f"a{number}", model_id="m", tools=tools))
        for number in range(count)
    ]


def with_unknown_tools(count: int) -> service_pb.ValidateResourcesRequest:
    """Agents of 256 tools each, none of which exists."""
    resources = []
    for number in range(count):
        resources += agents(1, [f"unknown-{number}-{n}" for n in range(256)])
        resources[-1].agent.id = f"a{number}"
    return service_pb.ValidateResourcesRequest(resources=resources)


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return {
        "RUNYARD_REGISTRY_DATABASE_URL": database_url,
        "RUNYARD_REGISTRY_DRAIN_GRACE_S": str(GRACE_S),
    }


@pytest_asyncio.fixture
async def stack(tmp_path: Path, environment: dict[str, str]) -> AsyncIterator[Stack]:
    """A registry in a process of its own, with 256 tools."""
    running = Stack(tmp_path, environment={"registry": environment})
    await running.start("registry")
    try:
        async with grpc.aio.insecure_channel(running.target("registry")) as channel:
            tools = [tool(f"t{number}") for number in range(256)]
            await Client(channel).applied(provider("p"), model("m", "p"), *tools)
        yield running
    finally:
        process = running.processes["registry"]
        if process.returncode is None:
            process.kill()
            await process.wait()


async def read_until(done: asyncio.Future[object], client: Client) -> int:
    """Read a resource again and again until ``done``; each answer is there in time."""
    reads = 0
    while not done.done():
        request = service_pb.GetResourceRequest(kind=pb.RESOURCE_KIND_TOOL, id="t1")
        await client.GetResource(request, timeout=READ_LIMIT_S)
        reads += 1
        await asyncio.wait({done}, timeout=PAUSE_S)
    return reads


async def test_others_are_served_while_a_large_change_is_judged(stack: Stack) -> None:
    # given two callers of one registry, of which one validates 10,240 references
    request = with_unknown_tools(AGENTS)
    target = stack.target("registry")
    async with grpc.aio.insecure_channel(target) as one, grpc.aio.insecure_channel(target) as two:
        heavy = asyncio.ensure_future(Client(one).ValidateResources(request))

        # when the other reads meanwhile
        reads = await read_until(heavy, Client(two))
        answer = await heavy

    # then both are answered
    assert reads > 0
    assert len(answer.diagnostics) + answer.diagnostics_omitted == AGENTS * 256
    assert answer.version == 2


async def test_a_large_change_is_applied_while_others_read(stack: Stack) -> None:
    # given a change of 10,240 references, all of which can be met
    request = service_pb.ApplyResourcesRequest(
        resources=agents(AGENTS, [f"t{number}" for number in range(256)])
    )
    target = stack.target("registry")
    async with grpc.aio.insecure_channel(target) as one, grpc.aio.insecure_channel(target) as two:
        heavy = asyncio.ensure_future(Client(one).ApplyResources(request))

        # when it is applied, and another caller reads meanwhile
        await read_until(heavy, Client(two))
        answer = await heavy

    # then it is the next version
    assert (answer.version, len(answer.changes)) == (3, AGENTS)


async def test_a_server_stops_while_the_largest_changes_are_judged(stack: Stack) -> None:
    # given a registry that judges 76,800 references twice, and in chaos 294,400
    request = with_unknown_tools(amount(gate=300, chaos=1_150))
    process = stack.processes["registry"]
    async with grpc.aio.insecure_channel(stack.target("registry")) as channel:
        client = Client(channel)
        calls = [asyncio.ensure_future(client.ValidateResources(request)) for _ in range(2)]
        await client.GetResource(
            service_pb.GetResourceRequest(kind=pb.RESOURCE_KIND_TOOL, id="t1"), timeout=READ_LIMIT_S
        )

        # when it is asked to stop
        asked_s = time.monotonic()
        process.terminate()
        code = await process.wait()
        took_s = time.monotonic() - asked_s
        await asyncio.gather(*calls, return_exceptions=True)

    # then it does not wait for them
    assert code == 0
    assert took_s < STOP_LIMIT_S
