"""A real registry on a free port, over an empty database of one engine after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.registry.main import build
from services.registry.settings import RegistrySettings
from tests.contract.registry.databases import Databases, clear
from tests.support.clock import ManualClock
from tests.support.postgres import fresh_schema, schema_of, terminate
from tests.support.serving import Served, serving


@pytest.fixture(scope="session")
def registry_schema(postgres_server: str) -> Iterator[str]:
    """The URL of one schema for all tests here: making tables takes longer than most of them."""
    with fresh_schema(postgres_server) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str, registry_schema: str) -> str:
    """The URL of that schema, without a row and without another user."""
    terminate(postgres_server, schema_of(registry_schema))
    clear(registry_schema)
    return registry_schema


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """As many empty databases as a test asks for, on one engine after the other."""
    if request.param == "sqlite":
        return _in_a_folder
    schema: str = request.getfixturevalue("registry_schema")

    @contextmanager
    def cleared() -> Iterator[str]:
        clear(schema)
        yield schema

    return cleared


@contextmanager
def _in_a_folder() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/registry.db"


@pytest.fixture
def settings(database_url: str) -> RegistrySettings:
    return RegistrySettings(listen="127.0.0.1:0", database_url=database_url, drain_grace_s=1.0)


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
