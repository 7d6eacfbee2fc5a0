"""Statements in one round trip, where a store does not come by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from services.chassis.store.postgres.session import connect, writing
from services.chassis.store.postgres.wire import Call, Wire
from tests.support.postgres import execute


@pytest.fixture
def wire(postgres_url: str) -> Iterator[Wire]:
    with closing(connect(postgres_url, writing(5.0, 5.0))) as connection:
        yield Wire(connection)


def answered(wire: Wire, *calls: Call) -> list[tuple[object, ...]]:
    """The rows of the last call."""
    return wire.rows(wire.execute(calls), tuple)


def test_both_directions_may_hold_more_than_the_buffers_of_the_sockets(wire: Wire) -> None:
    """Neither side waits for the other to read."""
    # given 40 MB of answer, and as much of statement behind it
    long_answer = wire.call("SELECT repeat('a', 40000000)")
    long_statement = wire.call("SELECT length($1)", ("a" * 40_000_000,))

    # when, then
    assert answered(wire, long_answer, long_statement) == [(40_000_000,)]


def test_the_first_error_is_raised_and_the_calls_after_it_are_prepared_later(wire: Wire) -> None:
    # given
    divide = wire.call("SELECT 1 / $1", (0,))
    later = wire.call("SELECT 2")

    # when
    with pytest.raises(psycopg.errors.DivisionByZero):
        wire.execute([divide, later, wire.call("SELECT nonsense")])

    # then
    assert answered(wire, later) == [(2,)]
    assert answered(wire, wire.call("SELECT 1 / $1", (1,))) == [(1,)]


def test_a_lost_connection_raises_the_reason_that_the_server_gave(
    wire: Wire, postgres_url: str
) -> None:
    # given
    execute(postgres_url, f"SELECT pg_terminate_backend({wire.connection.info.backend_pid}, 5000)")

    # when, then
    with pytest.raises(psycopg.errors.AdminShutdown):
        wire.execute([wire.call("SELECT 1"), wire.call("SELECT 2")])
    with pytest.raises(psycopg.OperationalError):
        wire.execute([wire.call("SELECT 3")])


def test_nothing_follows_a_round_trip_that_was_interrupted(wire: Wire) -> None:
    """The answers that are left would be taken for its own."""
    # given
    impossible = Call(("SELECT 1", ()), [b"a parameter"], [])
    with pytest.raises(ValueError, match="param_formats"):
        wire.execute([wire.call("SELECT 2"), impossible])

    # when, then
    with pytest.raises(psycopg.OperationalError, match="did not end"):
        wire.execute([wire.call("SELECT 3")])
