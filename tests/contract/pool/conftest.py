"""A pool server on a free port, and a fake run control."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from services.chassis.access.policy import Authenticator
from services.chassis.clock import Clock
from services.pool.main import SERVICE
from services.pool.settings import PoolSettings
from tests.contract.pool.client import RUN_A, RUN_B, PoolClient
from tests.support.fake_runcontrol import FakeRunControl, fake_runcontrol
from tests.support.serving import serving

Serve = Callable[..., AbstractAsyncContextManager[PoolClient]]


@pytest.fixture
async def runcontrol() -> AsyncIterator[FakeRunControl]:
    async with fake_runcontrol() as fake:
        yield fake


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """SQLite, unless the test is marked ``on_both_engines``."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> str:
    if engine == "sqlite":
        return f"sqlite:///{tmp_path / 'pool.db'}"
    emptied: str = request.getfixturevalue("emptied_schema")("pool")
    return emptied


@pytest.fixture
def serve(url: str, runcontrol: FakeRunControl) -> Serve:
    """Serves the pool on the database of this test; a second call continues there."""

    @asynccontextmanager
    async def served(
        *,
        clock: Clock | None = None,
        authenticator: Authenticator | None = None,
        target: str | None = None,
    ) -> AsyncIterator[PoolClient]:
        settings = PoolSettings(
            listen="127.0.0.1:0",
            database_url=url,
            runcontrol_target=target or runcontrol.target,
            drain_grace_s=1.0,
        )
        async with serving(
            SERVICE.build, settings, clock=clock, authenticator=authenticator
        ) as server:
            yield PoolClient(server.channel)

    return served


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[PoolClient]:
    """A client of a server without a pool."""
    async with serve() as client:
        yield client


@pytest.fixture
async def pool(client: PoolClient) -> PoolClient:
    """A client of a pool whose members are run-a and run-b; its log ends at 4."""
    await client.opened(RUN_A, RUN_B)
    return client
