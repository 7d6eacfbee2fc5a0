"""A pool server on a free port, and a run control that a test controls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from services.chassis.clock import Clock
from services.chassis.policy import Authenticator
from services.pool.main import build
from services.pool.settings import PoolSettings
from tests.support.fake_runcontrol import FakeRunControl, fake_runcontrol
from tests.support.serving import serving

Serve = Callable[..., AbstractAsyncContextManager[PoolServiceStub]]


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
    """Serves the pool of this test's file; a second call continues where the first ended."""

    @asynccontextmanager
    async def served(
        *,
        clock: Clock | None = None,
        authenticator: Authenticator | None = None,
        target: str | None = None,
    ) -> AsyncIterator[PoolServiceStub]:
        settings = PoolSettings(
            listen="127.0.0.1:0",
            database_url=url,
            runcontrol_target=target or runcontrol.target,
            drain_grace_s=1.0,
        )
        async with serving(build, settings, clock=clock, authenticator=authenticator) as server:
            yield PoolServiceStub(server.channel)

    return served


@pytest.fixture
async def pool(serve: Serve) -> AsyncIterator[PoolServiceStub]:
    async with serve() as stub:
        yield stub
