"""A real registry on a free port, its database in the test's own folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.support.clock import ManualClock
from tests.support.serving import Served, serving


@pytest.fixture
def settings(tmp_path: Path) -> RegistrySettings:
    return RegistrySettings(
        listen="127.0.0.1:0", database_url=f"sqlite:///{tmp_path}/registry.db", drain_grace_s=1.0
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def server(settings: RegistrySettings, clock: ManualClock) -> AsyncIterator[Served]:
    async with serving(build, settings, clock=clock) as served:
        yield served


@pytest.fixture
def registry(server: Served) -> RegistryServiceStub:
    return RegistryServiceStub(server.channel)
