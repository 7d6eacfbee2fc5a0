"""Registry, router, run control and pool as real servers in this process, on free ports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from runyard.pool.v1.pool_service_pb2 import OpenPoolRequest
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.pool.main import build as build_pool
from services.pool.settings import PoolSettings
from services.registry.main import build as build_registry
from services.registry.settings import RegistrySettings
from services.router.main import build as build_router
from services.router.settings import RouterSettings
from services.runcontrol.main import build as build_runcontrol
from services.runcontrol.settings import RunControlSettings
from tests.support.serving import Served, serving
from tests.support.stack import free_port

LOCAL = "127.0.0.1:0"


class Suite:
    """The four servers; run control can be stopped and started again on its database."""

    def __init__(self, data: Path, urls: Mapping[str, str] | None = None, **common: str) -> None:
        self.data = data
        self.urls = urls or {}
        self.common: dict[str, Any] = {"listen": LOCAL, **common}
        self.stack = AsyncExitStack()
        self.port = free_port()
        self.served: dict[str, Served] = {}
        self._runcontrol = AsyncExitStack()

    async def start(self) -> None:
        registry = RegistrySettings(database_url=self._url("registry"), **self.common)
        self.served["registry"] = await self._enter(serving(build_registry, registry))
        router = RouterSettings(
            database_url=self._url("router"),
            registry_target=self.served["registry"].target,
            **self.common,
        )
        self.served["router"] = await self._enter(serving(build_router, router))
        pool = PoolSettings(
            database_url=self._url("pool"),
            runcontrol_target=f"127.0.0.1:{self.port}",
            **self.common,
        )
        self.served["pool"] = await self._enter(serving(build_pool, pool))
        await self.start_runcontrol()

    async def start_runcontrol(self, *, max_concurrent_runs: int = 64) -> None:
        settings = self._runcontrol_settings(f"127.0.0.1:{self.port}", max_concurrent_runs)
        self._runcontrol = AsyncExitStack()
        self.served["runcontrol"] = await self._runcontrol.enter_async_context(
            serving(build_runcontrol, settings)
        )

    def another_runcontrol(
        self, *, max_concurrent_runs: int = 64
    ) -> AbstractAsyncContextManager[Served]:
        """A second server on the same database, where that can be shared."""
        return serving(build_runcontrol, self._runcontrol_settings(LOCAL, max_concurrent_runs))

    def _runcontrol_settings(self, listen: str, max_concurrent_runs: int) -> RunControlSettings:
        return RunControlSettings(
            database_url=self._url("runcontrol"),
            registry_target=self.served["registry"].target,
            router_target=self.served["router"].target,
            pool_target=self.served["pool"].target,
            max_concurrent_runs=max_concurrent_runs,
            **{**self.common, "listen": listen},
        )

    async def stop_runcontrol(self) -> None:
        await self._runcontrol.aclose()

    async def close(self) -> None:
        await self._runcontrol.aclose()
        await self.stack.aclose()

    def channel(self, service: str) -> grpc.aio.Channel:
        return self.served[service].channel

    @property
    def runs(self) -> RunControlServiceStub:
        return RunControlServiceStub(self.channel("runcontrol"))

    @property
    def pools(self) -> PoolServiceStub:
        return PoolServiceStub(self.channel("pool"))

    async def open_pool(self, pool_id: str) -> None:
        await self.pools.OpenPool(OpenPoolRequest(pool_id=pool_id))

    def _url(self, service: str) -> str:
        return self.urls.get(service) or f"sqlite:///{self.data / service}.db"

    async def _enter(self, context) -> Served:  # type: ignore[no-untyped-def]  # any async context
        return await self.stack.enter_async_context(context)


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
    return {name: emptied(name) for name in ("registry", "router", "pool", "runcontrol")}


@pytest_asyncio.fixture
async def suite(tmp_path: Path, urls: dict[str, str]) -> AsyncIterator[Suite]:
    """Four servers on fresh databases."""
    running = Suite(tmp_path, urls)
    await running.start()
    try:
        yield running
    finally:
        await running.close()
