"""Many open streams of a router, a tenth of whose readers stall: the others get whole answers.

The router is a process of its own, whose memory is measured; the stalled readers have connections
of their own, as other callers do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.chassis.calls.channel import open_channel
from tests.chaos.stalling_provider import LONG_DELTAS, StallingProvider, stalling_provider
from tests.contract.router.router_under_test import model, request
from tests.support.clients import apply
from tests.support.profiles import amount, scaled
from tests.support.stack import Stack
from tests.support.waiting import until, within_limit

pytestmark = [scaled, pytest.mark.slow, pytest.mark.timeout(900)]

STREAMS = amount(gate=60, chaos=1_000)
STALLED = STREAMS // 10
PER_CHANNEL = 50
ANSWER_CHARS = LONG_DELTAS * 4096
# What a stalled stream may keep, in the buffers of HTTP and of gRPC, out of an answer without end.
STALLED_BYTES = 2_500_000
# Of each other stream.
STREAM_BYTES = 200_000
# What a process grows by in its first calls.
BASE_BYTES = 20_000_000

Infer: TypeAlias = "grpc.aio.UnaryStreamCall[rpc.InferRequest, rpc.InferResponse]"


def resident_bytes(pid: int) -> int:
    """Memory of a process, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:")
    )


@asynccontextmanager
async def router(data: Path, provider: StallingProvider) -> AsyncIterator[Stack]:
    """A registry and a router whose models ``long`` and ``flooding`` the provider serves."""
    stack = Stack(data)
    fake = reg.Provider(id="fake", openai=reg.OpenAiAdapter(), base_url=provider.base_url)
    models = [model(name, "fake") for name in ("whole", "long", "flooding")]
    try:
        await stack.start("registry")
        async with stack.channel("registry") as channel:
            await apply(channel, reg.Resource(provider=fake), *models)
        await stack.start("router")
        yield stack
    finally:
        await stack.stop()


async def characters(call: Infer) -> int:
    """Read an answer to its end; how long its text is."""
    count = 0
    async for frame in call:
        count += sum(len(item.text_delta.text) for item in frame.items)
    return count


@asynccontextmanager
async def stubs(stack: Stack, streams: int) -> AsyncIterator[list[RouterServiceStub]]:
    """A stub for each of so many streams; every ``PER_CHANNEL`` of them share a connection."""
    async with AsyncExitStack() as exits:
        found: list[RouterServiceStub] = []
        for first in range(0, streams, PER_CHANNEL):
            channel = await exits.enter_async_context(open_channel(stack.target("router")))
            found += [RouterServiceStub(channel)] * min(PER_CHANNEL, streams - first)
        yield found


async def stall(stub: RouterServiceStub, number: int) -> Infer:
    """Read the first frame of an answer without end."""
    call: Infer = stub.Infer(request("flooding", f"call-{number}"))
    await call.read()
    return call


async def test_readers_that_stall_do_not_hold_up_the_others(tmp_path: Path) -> None:
    async with (
        stalling_provider() as provider,
        router(tmp_path, provider) as stack,
        stubs(stack, STALLED) as slow,
        stubs(stack, STREAMS - STALLED) as quick,
    ):
        # given readers that stall in answers without end
        pid = stack.processes["router"].pid
        await characters(quick[0].Infer(request("whole")))
        sizes_bytes = [resident_bytes(pid)]
        flooded = [provider.expect(f"call-{number}") for number in range(STALLED)]
        stalled = await asyncio.gather(*(stall(stub, n) for n, stub in enumerate(slow)))
        async with within_limit():
            await asyncio.gather(*(each.reached.wait() for each in flooded))
        sizes_bytes.append(resident_bytes(pid))

        # when the others read theirs, all at once
        calls = [stub.Infer(request("long", "others")) for stub in quick]
        read = await asyncio.gather(*map(characters, calls))
        sizes_bytes.append(resident_bytes(pid))

        # then each has its whole answer, while the stalled streams are open
        assert read == [ANSWER_CHARS] * (STREAMS - STALLED)
        assert not any(call.done() for call in stalled)
        assert provider.open_now == STALLED
        # and the router keeps no more than buffers of bounded size
        grown = [after - before for before, after in pairwise(sizes_bytes)]
        print(
            f"{STREAMS} streams: {STALLED} stalled take {grown[0]:,} bytes, the rest {grown[1]:,}"
        )
        assert grown[0] < STALLED * STALLED_BYTES + BASE_BYTES
        assert grown[1] < STREAMS * STREAM_BYTES + BASE_BYTES

        # and a stalled reader may read on, or leave
        assert isinstance(await stalled[0].read(), rpc.InferResponse)
        for call in stalled:
            call.cancel()
        async with within_limit():
            await until(lambda: provider.open_now == 0)
