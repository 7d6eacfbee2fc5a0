"""Migrations of a PostgreSQL schema: replicas that start together, looking, and what must hold."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from services.chassis.store.errors import SchemaError
from services.chassis.store.migrating import SchemaState
from tests.contract.chassis_store.engines import Engine, add, ids
from tests.contract.chassis_store.releases import Release, tables
from tests.support.postgres import execute

SORTED_BY_LANGUAGE = 'op.execute("CREATE TABLE thing (id TEXT PRIMARY KEY)")'


@pytest.fixture
def engine(postgres_url: str) -> Engine:
    return Engine(postgres_url)


async def test_replicas_that_start_together_migrate_once(engine: Engine) -> None:
    # when
    opening = [engine.open() for _ in range(4)]
    stores = await asyncio.gather(*(each.__aenter__() for each in opening))

    # then
    await asyncio.gather(*(store.write(add(str(n))) for n, store in enumerate(stores)))
    assert await ids(stores[0]) == ["0", "1", "2", "3"]
    await asyncio.gather(*(each.__aexit__(None, None, None) for each in opening))
    assert execute(engine.url, "SELECT version_num FROM schema_version") == [("0001",)]


async def test_a_replica_waits_for_another_that_migrates(engine: Engine, new: Release) -> None:
    # given one that is in the middle of it
    with psycopg.connect(engine.url) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock("
            "hashtextextended('migrations of ' || current_schema(), 0))"
        )

        # when
        migrating = asyncio.ensure_future(asyncio.to_thread(new.migrate, engine.url))
        looked = await asyncio.to_thread(new.verify, engine.url)

        # then looking does not wait for it
        assert looked.pending == ("0001", "0002")
        assert tables(engine.url) == []
        other.rollback()
    assert (await migrating).pending == ("0001", "0002")


def test_looking_leaves_nothing_in_the_schema(engine: Engine, new: Release) -> None:
    assert new.verify(engine.url) == SchemaState(None, "0002", ("0001", "0002"))
    assert tables(engine.url) == []


def test_a_reader_may_look(engine: Engine, new: Release) -> None:
    """``--check`` is for whoever may not change anything."""
    new.migrate(engine.url)
    read_only = "options=-cdefault_transaction_read_only%3Don%20"
    assert new.verify(engine.url.replace("options=", read_only)).pending == ()


def test_two_services_in_one_database_keep_to_their_schemas(
    engine: Engine, old: Release, new: Release, postgres_server: str
) -> None:
    # given
    new.migrate(engine.url)
    execute(engine.url, 'CREATE SCHEMA "tmp_Other one"')
    other = f"{postgres_server}?options=-csearch_path%3D%22tmp_Other%5C%20one%22"

    # when, then
    try:
        assert old.migrate(other) == SchemaState(None, "0001", ("0001",))
        assert new.verify(engine.url) == SchemaState("0002", "0002", ())
    finally:
        execute(engine.url, 'DROP SCHEMA "tmp_Other one" CASCADE')


def test_text_that_sorts_by_a_language_is_refused(engine: Engine, tmp_path: Path) -> None:
    """A page that begins after a key would skip rows, or show them twice."""
    wrong = Release(tmp_path / "wrong", SORTED_BY_LANGUAGE)

    with pytest.raises(SchemaError) as refused:
        wrong.migrate(engine.url)

    assert refused.value.metadata == {"columns": "thing.id"}
    assert tables(engine.url) == []


def test_columns_are_wide_and_sort_by_code_point(engine: Engine, new: Release) -> None:
    new.migrate(engine.url)
    found = execute(
        engine.url,
        "SELECT column_name, data_type, collation_name FROM information_schema.columns "
        "WHERE table_name = 'thing' AND table_schema = current_schema() ORDER BY column_name",
    )
    assert found == [("id", "text", "C"), ("size", "bigint", None)]
