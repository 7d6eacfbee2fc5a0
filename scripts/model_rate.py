"""Tokens per second of one request to the model server, sent directly and through the suite."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

from runyard.provider.v1 import provider_pb2
from runyard.registry.v1 import registry_pb2, registry_service_pb2, registry_service_pb2_grpc
from runyard.router.v1 import router_service_pb2, router_service_pb2_grpc
from runyard.types.v1 import content_pb2
from scripts.model_server import MODEL, Endpoint
from tests.support.stack import Stack

PROMPT = "Tell me a long story about a river and the people who live beside it."
MAX_TOKENS = 128
ROUNDS = 5


def stream_directly(endpoint: Endpoint) -> int:
    """Stream the answer over HTTP; the server sends one event per token."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "stream": True,
    }
    request = urllib.request.Request(  # noqa: S310  # our own loopback address
        f"{endpoint.base_url}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    tokens = 0
    with urllib.request.urlopen(request, timeout=60.0) as reply:  # noqa: S310  # as above
        for line in reply:
            if line.startswith(b"data: {"):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                tokens += bool(delta.get("content"))
    return tokens


async def stream_through_router(
    router: router_service_pb2_grpc.RouterServiceStub, version: int
) -> int:
    """Stream the same answer through the router, which passes every delta on."""
    request = router_service_pb2.InferRequest(
        target_id=MODEL,
        messages=[
            content_pb2.Message(
                role=content_pb2.MESSAGE_ROLE_USER,
                parts=[content_pb2.Part(text=content_pb2.Text(text=PROMPT))],
            )
        ],
        sampling=provider_pb2.Sampling(temperature=0.0, max_output_tokens=MAX_TOKENS),
        min_registry_version=version,
    )
    tokens = 0
    call = router.Infer(request, timeout=60.0)
    try:
        async for response in call:
            tokens += sum(item.HasField("text_delta") for item in response.items)
    finally:
        call.cancel()
    return tokens


def resources(endpoint: Endpoint) -> list[registry_pb2.Resource]:
    provider = registry_pb2.Provider(
        id="local",
        openai=registry_pb2.OpenAiAdapter(stream_usage=False),
        base_url=endpoint.base_url,
    )
    model = registry_pb2.Model(id=MODEL, provider_id="local", upstream_model=MODEL)
    return [registry_pb2.Resource(provider=provider), registry_pb2.Resource(model=model)]


async def timed(arm: Callable[[], Awaitable[int]]) -> tuple[int, float]:
    started = time.perf_counter()
    tokens = await arm()
    return tokens, tokens / (time.perf_counter() - started)


async def compare(endpoint: Endpoint) -> str:
    """Run both arms in turn and tell the medians; starts a registry and a router of its own."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            await stack.start("registry", "router")
            async with stack.channel("registry") as registry, stack.channel("router") as router:
                applied = await registry_service_pb2_grpc.RegistryServiceStub(
                    registry
                ).ApplyResources(
                    registry_service_pb2.ApplyResourcesRequest(resources=resources(endpoint))
                )
                stub = router_service_pb2_grpc.RouterServiceStub(router)
                return await _measure(
                    lambda: asyncio.to_thread(stream_directly, endpoint),
                    lambda: stream_through_router(stub, applied.version),
                )
        finally:
            await stack.stop()


async def _measure(
    direct: Callable[[], Awaitable[int]], suite: Callable[[], Awaitable[int]]
) -> str:
    await direct()  # the first evaluation reads the weights from disk
    await suite()  # and the first call opens the connections
    rounds = [(await timed(direct), await timed(suite)) for _ in range(ROUNDS)]
    counts = {tokens for pair in rounds for tokens, _ in pair}
    per_s = [statistics.median(pair[arm][1] for pair in rounds) for arm in (0, 1)]
    return (
        f"tokens per second, median of {ROUNDS} answers of {max(counts)} tokens each:\n"
        f"  directly          {per_s[0]:6.1f}\n"
        f"  through the suite {per_s[1]:6.1f}  ({per_s[1] / per_s[0]:.0%})"
    )
