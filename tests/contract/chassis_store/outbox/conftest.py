"""The outbox runs on every engine; on SQLite also as if other processes sent as well."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.senders import Sender, open_sender
from tests.contract.chassis_store.outbox.stores import SharedEngine


@pytest.fixture(params=["sqlite", "sqlite-shared", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return _engine(request, request.param)


@pytest.fixture(params=["sqlite-shared", "postgresql"])
def shared_engine(request: pytest.FixtureRequest) -> Engine:
    """One whose senders have to claim lanes."""
    return _engine(request, request.param)


@pytest_asyncio.fixture
async def sender(engine: Engine) -> AsyncIterator[Sender]:
    """One that is not started yet, alone on its database."""
    async with open_sender(engine) as opened:
        yield opened


def _engine(request: pytest.FixtureRequest, name: str) -> Engine:
    if name == "postgresql":
        return Engine(request.getfixturevalue("postgres_url"))
    url = request.getfixturevalue("sqlite_url")
    return SharedEngine(url) if name == "sqlite-shared" else Engine(url)
