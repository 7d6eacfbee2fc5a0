"""Every statement of every service is one that PostgreSQL takes, on the tables it migrates to."""

from __future__ import annotations

import gc
from typing import Any

import psycopg
import pytest
from psycopg.pq import ExecStatus
from sqlalchemy import MetaData, Table
from sqlalchemy.sql import visitors

import services.pool.main
import services.pool.store.tables
import services.registry.main
import services.registry.store.tables
import services.router.main
import services.router.store.tables
import services.runcontrol.main
import services.runcontrol.store.tables
from services.chassis.store.opening import migrate, verify
from services.chassis.store.statement import Statement
from tests.support.postgres import execute

SERVICES = {
    "pool": services.pool.store.tables,
    "registry": services.registry.store.tables,
    "router": services.router.store.tables,
    "runcontrol": services.runcontrol.store.tables,
}


@pytest.fixture(params=SERVICES)
def schema(request: pytest.FixtureRequest, postgres_url: str) -> dict[str, Any]:
    """Of one service after the other; the database has its tables."""
    tables = SERVICES[request.param]
    found = {"metadata": tables.metadata, "migrations": tables.MIGRATIONS}
    migrate(postgres_url, **found)
    return found


def statements_on(metadata: MetaData) -> list[Statement]:
    """All that were compiled at import, whoever keeps them."""
    gc.unfreeze()  # frozen objects are not listed
    every = [each for each in gc.get_objects() if isinstance(each, Statement)]
    gc.freeze()
    return [each for each in every if metadata in metadata_of(each)]


def metadata_of(statement: Statement) -> set[MetaData]:
    elements = visitors.iterate(statement._clause)
    tables = [getattr(each, "table", each) for each in elements]
    return {each.metadata for each in tables if isinstance(each, Table)}


def test_every_statement_is_valid_on_postgresql(schema: dict[str, Any], postgres_url: str) -> None:
    """A mistake would else be found by the first caller whose request leads there."""
    # given
    statements = statements_on(schema["metadata"])

    # when
    refused = {}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for each in statements:
            text = each.postgresql.text
            result = connection.pgconn.prepare(b"", text.encode())
            if result.status != ExecStatus.COMMAND_OK:
                refused[text] = result.error_message.decode()

    # then
    assert len(statements) > 5
    assert refused == {}


def test_no_number_comes_from_a_sequence_of_the_database(
    schema: dict[str, Any], postgres_url: str
) -> None:
    """It would skip what is rolled back, and overtake what commits late."""
    sequences = execute(
        postgres_url,
        "SELECT sequence_name FROM information_schema.sequences "
        "WHERE sequence_schema = current_schema()",
    )
    assert sequences == []
    assert verify(postgres_url, **schema).pending == ()
