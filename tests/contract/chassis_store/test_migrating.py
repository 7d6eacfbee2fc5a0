"""Schema versions, on every engine: forward in one transaction, or only looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Index, Table, Text, select

from services.chassis.store.errors import SchemaError
from services.chassis.store.migrating import SchemaState
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.releases import BROKEN, ONE, Release, run, tables


async def test_opening_takes_an_older_database_forward_with_its_rows(
    engine: Engine, old: Release, new: Release
) -> None:
    # given
    old.migrate(engine.url)
    run(engine.url, "INSERT INTO thing VALUES ('a')")

    # when
    async with engine.open(metadata=new.metadata, migrations=new.migrations) as store:
        rows = await store.fetch(statement(select(new.thing)))

    # then
    assert [tuple(row) for row in rows] == [("a", 7)]
    assert new.verify(engine.url) == SchemaState("0002", "0002", ())


async def test_a_database_that_is_newer_than_the_code_is_refused(
    engine: Engine, old: Release, new: Release
) -> None:
    """Code that does not know a column would lose what is in it."""
    new.migrate(engine.url)

    with pytest.raises(SchemaError, match="0002, newer than 0001") as refused:
        await engine.open(metadata=old.metadata, migrations=old.migrations).__aenter__()
    with pytest.raises(SchemaError, match="newer"):
        old.verify(engine.url)

    assert refused.value.metadata == {"found": "0002", "newest_known": "0001"}


def test_a_migration_that_fails_leaves_the_version_before_it(
    engine: Engine, old: Release, tmp_path: Path
) -> None:
    # given
    old.migrate(engine.url)
    run(engine.url, "INSERT INTO thing VALUES ('a')")
    broken = Release(tmp_path / "broken", ONE, BROKEN)

    # when
    with pytest.raises(Exception, match="NONSENSE"):
        broken.migrate(engine.url)

    # then neither the column nor the version is there
    assert run(engine.url, "SELECT * FROM thing") == [("a",)]
    assert old.verify(engine.url) == SchemaState("0001", "0001", ())


def test_several_versions_are_one_transaction(engine: Engine, tmp_path: Path) -> None:
    broken = Release(tmp_path / "broken", ONE, BROKEN)

    with pytest.raises(Exception, match="NONSENSE"):
        broken.migrate(engine.url)

    assert tables(engine.url) == []


def test_migrations_that_forget_a_column_are_found_at_once(engine: Engine, tmp_path: Path) -> None:
    """Else the first statement that needs it fails, in production."""
    forgetful = Release(tmp_path / "forgetful", ONE, columns=("size",))
    Table("other", forgetful.metadata, Column("id", Text))
    Index("thing_id", forgetful.thing.c.id)

    with pytest.raises(SchemaError) as refused:
        forgetful.migrate(engine.url)

    assert refused.value.metadata == {"missing": "index thing_id, other, thing.size"}
    assert tables(engine.url) == []


def test_a_service_without_versions_does_not_start(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no migration"):
        Release(tmp_path / "empty").migrate(engine.url)


def test_looking_creates_nothing(engine: Engine, new: Release) -> None:
    state = new.verify(engine.url)

    assert state == SchemaState(None, "0002", ("0001", "0002"))
    assert new.verify(engine.url) == state


def test_what_is_up_to_date_is_left_alone(engine: Engine, new: Release) -> None:
    before = new.migrate(engine.url)

    assert before == SchemaState(None, "0002", ("0001", "0002"))
    assert new.migrate(engine.url) == SchemaState("0002", "0002", ())
