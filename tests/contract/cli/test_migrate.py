"""``runyard migrate`` as a process: what it makes, what it only looks at, how it exits."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from services.cli.local.mains import schema_of
from tests.contract.cli.process import registry, runyard
from tests.support.stack import SERVICES

pytestmark = pytest.mark.slow


def database(folder: Path) -> dict[str, str]:
    return {"RUNYARD_REGISTRY_DATABASE_URL": f"sqlite:///{folder}/registry.db"}


async def test_check_says_what_is_missing_and_creates_nothing(tmp_path: Path) -> None:
    # when a database that is not there is looked at, for people and for programs
    told = await runyard("migrate", "registry", "--check", **database(tmp_path))
    answered = await runyard("migrate", "registry", "--check", "-o", "json", **database(tmp_path))

    # then both say what is pending, exit with 1, and the folder is as empty as before
    assert (told.code, answered.code) == (1, 1)
    assert "pending  0001" in told.out
    assert "runyard migrate registry" in told.err
    state = json.loads(answered.out)
    assert (state["found"], state["up_to_date"]) == (None, False)
    assert state["pending"][0] == "0001"
    assert json.loads(answered.err)["error"]["reason"] == "SCHEMA_BEHIND"
    assert os.listdir(tmp_path) == []


async def test_migrate_makes_what_a_server_needs_and_then_nothing(tmp_path: Path) -> None:
    # when a new database is migrated, and migrated again
    made = await runyard("migrate", "registry", "-o", "json", **database(tmp_path))
    again = await runyard("migrate", "registry", "-o", "json", **database(tmp_path))

    # then the first applied everything, the second nothing
    first, second = json.loads(made.out), json.loads(again.out)
    assert (made.code, again.code) == (0, 0)
    assert first["found"] is None
    assert first["applied"][0] == "0001"
    assert first["applied"][-1] == first["wanted"] == second["found"]
    assert second["applied"] == []
    assert second["up_to_date"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_schema(tmp_path: Path, service: str) -> None:
    # given
    url, schema = f"sqlite:///{tmp_path}/{service}.db", schema_of(service)

    # when
    before = schema.verify(url)
    schema.migrate(url)

    # then
    assert before.found is None
    assert schema.verify(url).pending == ()


async def test_a_database_of_a_running_server_is_looked_at_only(tmp_path: Path) -> None:
    # given a server on its database
    async with registry(tmp_path):
        # when
        checked = await runyard("migrate", "registry", "--check", **database(tmp_path))
        refused = await runyard("migrate", "registry", **database(tmp_path))

    # then
    assert checked.code == 0
    assert refused.code == 1
    assert "in use by process" in refused.err
    assert "Traceback" not in refused.err


async def test_a_database_of_a_later_release_is_refused(tmp_path: Path) -> None:
    # given a database that says a version nobody here knows
    environment = database(tmp_path)
    schema_of("registry").migrate(environment["RUNYARD_REGISTRY_DATABASE_URL"])
    with closing(sqlite3.connect(tmp_path / "registry.db")) as connection, connection:
        connection.execute("UPDATE schema_version SET version_num = '9999'")

    # when
    checked = await runyard("migrate", "registry", "--check", **environment)
    refused = await runyard("migrate", "registry", **environment)

    # then both name it
    assert (checked.code, refused.code) == (1, 1)
    assert "9999" in checked.err
    assert "9999" in refused.err


async def test_settings_that_do_not_load_are_wrong_use() -> None:
    # when
    refused = await runyard("migrate", "registry", RUNYARD_REGISTRY_DATABSE_URL="sqlite:///x.db")
    unknown = await runyard("migrate", "ledger")

    # then
    assert (refused.code, unknown.code) == (2, 2)
    assert "did you mean RUNYARD_REGISTRY_DATABASE_URL" in refused.err


async def test_a_password_is_never_shown() -> None:
    # when the database cannot be reached
    at = {"RUNYARD_REGISTRY_DATABASE_URL": "postgresql://runyard:hunter2@127.0.0.1:1/registry"}
    answer = await runyard("migrate", "registry", "--check", "-o", "json", **at)

    # then
    assert answer.code == 1
    assert "hunter2" not in answer.out + answer.err
