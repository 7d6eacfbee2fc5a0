"""A real registry on a free port, over an empty database of one engine after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.registry.main import SERVICE
from services.registry.settings import RegistrySettings
from tests.contract.registry.calls import Client, settings_of
from tests.contract.registry.databases import EmptyStore, clear, emptied
from tests.support.clock import ManualClock
from tests.support.migrated import new_sqlite
from tests.support.postgres import fresh_schema, schema_of, terminate
from tests.support.serving import Served, serving
from tests.support.stack import free_port


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


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a migrated database without a row."""
    return new_sqlite(SERVICE.schema, tmp_path / "data" / "registry.db")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The URL of one database for the tests of a module, on one engine after the other."""
    if request.param == "sqlite":
        return new_sqlite(SERVICE.schema, tmp_path_factory.mktemp("shared") / "registry.db")
    url: str = request.getfixturevalue("registry_schema")
    return url


@pytest_asyncio.fixture(scope="module")
async def empty_store(shared_database: str) -> AsyncIterator[EmptyStore]:
    """As many empty stores as a test asks for, one after the other."""
    async with emptied(shared_database) as empty:
        yield empty


@pytest.fixture
def settings(database_url: str) -> RegistrySettings:
    return settings_of(database_url)


@pytest.fixture
def fixed(settings: RegistrySettings) -> RegistrySettings:
    """Settings that keep their address, so that a registry can come back to it."""
    return settings.model_copy(update={"listen": f"127.0.0.1:{free_port()}"})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def server(settings: RegistrySettings, clock: ManualClock) -> AsyncIterator[Served]:
    async with serving(SERVICE.build, settings, clock=clock) as served:
        yield served


@pytest.fixture
def registry(server: Served) -> Client:
    return Client(server.channel)
