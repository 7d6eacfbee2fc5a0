from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.router.clients.anthropic import AnthropicAdapter
from services.router.clients.grpc_channels import GrpcChannels
from services.router.clients.grpc_provider import GrpcAdapter
from services.router.clients.http_calls import HttpCalls, open_session
from services.router.clients.openai import OpenAiAdapter
from services.router.core.model import Anthropic, Grpc, OpenAi
from tests.contract.router.adapter_calls import AdapterCalls, Calls
from tests.contract.router.router_under_test import RouterUnderTest
from tests.support.clock import ManualClock
from tests.support.fake_provider import FakeProvider, fake_provider
from tests.support.grpc_upstream import GrpcUpstream, grpc_upstream


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A provider that does as the test says."""
    async with fake_provider() as running:
        yield running


@pytest.fixture
async def openai(provider: FakeProvider) -> AsyncIterator[AdapterCalls]:
    """Calls of the openai adapter to ``provider``."""
    clock = ManualClock()
    async with open_session() as session:
        adapter = OpenAiAdapter(HttpCalls(session, clock))
        yield AdapterCalls(adapter, OpenAi(provider.base_url), clock, provider)


@pytest.fixture
async def anthropic(provider: FakeProvider) -> AsyncIterator[AdapterCalls]:
    """Calls of the anthropic adapter to ``provider``."""
    clock = ManualClock()
    async with open_session() as session:
        adapter = AnthropicAdapter(HttpCalls(session, clock))
        api = Anthropic(provider.base_url, "2023-06-01")
        yield AdapterCalls(adapter, api, clock, provider)


@pytest.fixture
async def upstream() -> AsyncIterator[GrpcUpstream]:
    """A server of ``provider.v1`` that does as the test says."""
    async with grpc_upstream() as running:
        yield running


@pytest.fixture
async def grpc_calls(upstream: GrpcUpstream) -> AsyncIterator[Calls]:
    """Calls of the grpc adapter to ``upstream``."""
    clock, channels = ManualClock(), GrpcChannels()
    try:
        yield Calls(GrpcAdapter(channels, clock), Grpc(upstream.target, tls=False), clock)
    finally:
        await channels.close()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """SQLite, unless the test is marked ``on_both_engines``."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def urls(request: pytest.FixtureRequest, engine: str) -> dict[str, str]:
    """Where each service keeps what it has; empty on SQLite, where it is a file of the test's."""
    if engine == "sqlite":
        return {}
    emptied = request.getfixturevalue("emptied_schema")
    return {name: emptied(name) for name in ("registry", "router")}


@pytest.fixture
async def running(tmp_path: Path, urls: dict[str, str]) -> AsyncIterator[RouterUnderTest]:
    servers = RouterUnderTest(tmp_path, urls)
    try:
        await servers.start_registry()
        await servers.start_router()
        yield servers
    finally:
        await servers.stop_router()
        await servers.stop_registry()
