from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.router.clients.openai import OpenAiAdapter, open_session
from tests.contract.router.openai_calls import OpenAiCalls
from tests.contract.router.router_under_test import RouterUnderTest
from tests.support.clock import ManualClock
from tests.support.fake_provider import FakeProvider, fake_provider


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A provider that does as the test says."""
    async with fake_provider() as running:
        yield running


@pytest.fixture
async def openai(provider: FakeProvider) -> AsyncIterator[OpenAiCalls]:
    """Calls of the openai adapter to ``provider``."""
    async with open_session() as session:
        yield OpenAiCalls(OpenAiAdapter(session, ManualClock()), provider)


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
