"""Starts the servers of ``bench_router``, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from runyard.registry.v1 import registry_pb2 as reg
from tests.bench import litellm_peer
from tests.bench.bench_rpc import started
from tests.bench.router_processes import FAST, PACED
from tests.support.clients import apply
from tests.support.stack import Stack


@dataclass(frozen=True, slots=True)
class ServerArm:
    """A server under measurement: its process, and where it listens (a gRPC target or a URL)."""

    pid: int
    target: str

    def cpu_s(self) -> float:
        """CPU that the process has used, as the operating system counts it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2]
        user_ticks, system_ticks = fields.split()[11:13]
        return (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Memory that the process holds now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@asynccontextmanager
async def servers(data: Path, *, peers: bool) -> AsyncIterator[dict[str, ServerArm]]:
    """All arms by name, before one provider."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(_process("provider"))
        url = f"http://{provider.target}"
        relay = _process("relay", f"{url}/v1/chat/completions")
        found = {
            "direct": ServerArm(provider.pid, url),
            "relay": await stack.enter_async_context(relay),
            "router": await stack.enter_async_context(_router(data, url)),
        }
        if peers and litellm_peer.installed():
            litellm = litellm_peer.running(data, url)
            found["litellm"] = ServerArm(*await stack.enter_async_context(litellm))
        yield found


@asynccontextmanager
async def _process(*arguments: str) -> AsyncIterator[ServerArm]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.router_processes", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        yield ServerArm(process.pid, f"127.0.0.1:{port}")
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def _router(data: Path, provider_url: str) -> AsyncIterator[ServerArm]:
    """A registry and a router that exports every span."""
    stack = Stack(data)
    with started("receiver") as receiver:
        url = f"http://127.0.0.1:{receiver.port}"
        stack.environment["router"] = {"RUNYARD_ROUTER_OTLP_ENDPOINT": url}
        try:
            await stack.start("registry")
            async with stack.channel("registry") as channel:
                await apply(channel, *_resources(provider_url))
            await stack.start("router")
            yield ServerArm(stack.processes["router"].pid, stack.target("router"))
        finally:
            await stack.stop()


def _resources(provider_url: str) -> list[reg.Resource]:
    openai = reg.OpenAiAdapter()
    provider = reg.Provider(id="bench", openai=openai, base_url=f"{provider_url}/v1")
    models = [
        reg.Model(id=name, provider_id="bench", upstream_model=name) for name in (FAST, PACED)
    ]
    return [reg.Resource(provider=provider), *(reg.Resource(model=model) for model in models)]
