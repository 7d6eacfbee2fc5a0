"""No service takes the database of another service, nor starts on what is no database."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

import services.pool.main
import services.registry.main
import services.router.main
import services.runcontrol.main
from services.chassis.server.definition import ServiceDefinition
from services.chassis.server.server import running
from services.chassis.store.errors import DatabaseRefusedError, SchemaError
from tests.contract.chassis_store.releases import run, tables
from tests.support.migrated import new_sqlite

SERVICES: dict[str, ServiceDefinition] = {  # type: ignore[type-arg]  # of several settings
    "pool": services.pool.main.SERVICE,
    "registry": services.registry.main.SERVICE,
    "router": services.router.main.SERVICE,
    "runcontrol": services.runcontrol.main.SERVICE,
}
PAIRS = [pytest.param(*pair, id="-".join(pair)) for pair in permutations(SERVICES, 2)]


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_a_file_of_another_service_is_refused_and_not_extended(
    tmp_path: Path, theirs: str, ours: str
) -> None:
    # given
    url = new_sqlite(SERVICES[theirs].schema, tmp_path / "store.db")
    before = tables(url), run(url, "SELECT version_num FROM schema_version")

    # when
    with pytest.raises(SchemaError, match=r"another service|newer than"):
        SERVICES[ours].schema.migrate(url)

    # then
    assert (tables(url), run(url, "SELECT version_num FROM schema_version")) == before


@pytest.mark.parametrize(
    ("theirs", "ours"), [("registry", "pool"), ("pool", "runcontrol"), ("router", "registry")]
)
def test_a_schema_of_another_service_is_refused_and_not_extended(
    postgres_url: str, theirs: str, ours: str
) -> None:
    # given
    SERVICES[theirs].schema.migrate(postgres_url)
    before = tables(postgres_url)

    # when
    with pytest.raises(SchemaError, match=r"another service|newer than"):
        SERVICES[ours].schema.migrate(postgres_url)

    # then
    assert tables(postgres_url) == before


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_does_not_start_on_a_directory(tmp_path: Path, service: str) -> None:
    """``process.run`` prints the line and exits with 2."""
    definition = SERVICES[service]
    settings = definition.settings(listen="127.0.0.1:0", database_url=f"sqlite:///{tmp_path}")

    with pytest.raises(DatabaseRefusedError, match="is a directory: name a file in it"):
        async with running(settings, definition.build):
            pass
