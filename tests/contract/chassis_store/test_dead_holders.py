"""A process that died is known by its lock, which the server frees; what it leased is free then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import psycopg
import pytest
import pytest_asyncio

from services.chassis.errors import StoreUnavailableError
from services.chassis.outbox.claims import SenderLeases
from services.chassis.outbox.rows import put, statements_of
from services.chassis.store.dead_holders import HELD, HOLD, DeadHolders, instance_name, key_of
from services.chassis.store.port import Store, Tx
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.stores import View
from tests.contract.chassis_store.schema import outbox
from tests.support.clock import ManualClock
from tests.support.waiting import within_limit

SQL = statements_of(outbox)
OWN, OTHER = 7, 2**31 - 1
SENDER = f"{instance_name(OTHER)}.00ff"


@pytest.fixture
def engine(postgres_url: str) -> Engine:
    return Engine(postgres_url)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def end(session: psycopg.Connection[tuple[object, ...]]) -> None:
    """Free its lock at once, as a kill does, while closing a session takes the server a moment."""
    session.execute("SELECT pg_advisory_unlock_all()")


@contextmanager
def alive(engine: Engine, key: int) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The session of a process, which ends with the block."""
    with psycopg.connect(engine.url, autocommit=True) as connection:
        connection.execute(HOLD, (key,))
        yield connection


@pytest_asyncio.fixture
async def view(store: Store) -> AsyncIterator[View]:
    """The store of a process that a test keeps alive under the key ``OWN``."""
    view = View(store, sole_owner=False)
    view.instance = instance_name(OWN)
    yield view


async def lease(store: Store, clock: ManualClock, lane: str, holder: str) -> None:
    """Put a row into ``lane``, and lease it for an hour."""
    now = clock.now()

    def closure(tx: Tx) -> None:
        put(tx, outbox, id="r", lane=lane, kind="k", payload=b"", traceparent="", now=now)
        due_at = now + timedelta(hours=1)
        tx.run(SQL.claim, now=now, limit=1, to_holder=holder, to_due_at=due_at)

    await store.write(closure)


async def holders(store: Store) -> set[str]:
    return {row.holder for row in await store.read(lambda tx: tx.all(SQL.holders))}


async def looks(dead: DeadHolders, clock: ManualClock, count: int) -> None:
    """As often as the loop would, 0.4 s apart."""
    for _ in range(count):
        with suppress(StoreUnavailableError):
            await dead.look()
        clock.advance(0.4)


async def test_a_frozen_process_keeps_its_lanes_and_a_killed_one_loses_them(
    engine: Engine, view: View, clock: ManualClock
) -> None:
    dead = DeadHolders(view, clock, [SenderLeases(outbox, clock)])
    await lease(view, clock, "lane", SENDER)
    with alive(engine, OWN):
        # given a process that does nothing, for a minute
        with alive(engine, OTHER) as session:
            await looks(dead, clock, 150)
            assert await holders(view) == {SENDER}
            end(session)

            # when its lock is free, then two looks are no proof
            await looks(dead, clock, 2)
            assert await holders(view) == {SENDER}

        # and those of a second are
        await looks(dead, clock, 2)
        assert await holders(view) == set()
    (row,) = await view.read(lambda tx: tx.all(SQL.due, now=clock.now(), limit=9))
    assert row.lane == "lane"


async def test_who_died_before_the_first_look_is_found(
    engine: Engine, view: View, clock: ManualClock
) -> None:
    dead = DeadHolders(view, clock, [SenderLeases(outbox, clock)])
    await lease(view, clock, "lane", SENDER)
    with alive(engine, OWN):
        await looks(dead, clock, 4)
    assert await holders(view) == set()


@pytest.mark.parametrize("holder", ["00ff00ff00ff00ff", "first", "lock-7fffffff-x"])
async def test_a_holder_that_names_no_lock_keeps_its_lease(
    engine: Engine, view: View, clock: ManualClock, holder: str
) -> None:
    """An older version holds no lock; its leases expire."""
    dead = DeadHolders(view, clock, [SenderLeases(outbox, clock)])
    await lease(view, clock, "lane", holder)
    with alive(engine, OWN):
        await looks(dead, clock, 20)
    assert await holders(view) == {holder}


@pytest.mark.parametrize("outage", ["own lock", "database"])
async def test_after_an_outage_a_free_lock_proves_nothing_for_ten_seconds(
    engine: Engine, view: View, clock: ManualClock, outage: str
) -> None:
    """The server has freed the locks of all, and some take theirs again later than others."""
    dead = DeadHolders(view, clock, [SenderLeases(outbox, clock)])
    await lease(view, clock, "lane", SENDER)
    with alive(engine, OWN) as own, alive(engine, OTHER) as other:
        # given
        await looks(dead, clock, 3)

        # when
        end(other)
        if outage == "database":
            view.away = True
            await looks(dead, clock, 1)
            view.away = False
        else:
            end(own)
            await looks(dead, clock, 1)
            own.execute(HOLD, (OWN,))

        # then
        await looks(dead, clock, 24)
        assert await holders(view) == {SENDER}
        await looks(dead, clock, 6)
        assert await holders(view) == set()


async def test_a_locked_row_keeps_its_lease_and_no_other(
    engine: Engine, view: View, clock: ManualClock
) -> None:
    dead = DeadHolders(view, clock, [SenderLeases(outbox, clock)])
    for lane in ("locked", "other"):
        await lease(view, clock, lane, SENDER)
    with alive(engine, OWN), psycopg.connect(engine.url) as shell:
        # when
        shell.execute("SELECT * FROM outbox WHERE lane = 'locked' FOR UPDATE")
        await looks(dead, clock, 4)

        # then
        due = await view.read(lambda tx: tx.all(SQL.due, now=clock.now(), limit=9))
        assert [row.lane for row in due] == ["other"]

        # and it follows as soon as it is free
        shell.rollback()
        await looks(dead, clock, 1)
    assert await holders(view) == set()


async def test_a_store_holds_its_lock_until_it_is_closed(engine: Engine, store: Store) -> None:
    # given another process with a lane
    clock = ManualClock()
    dead = DeadHolders(store, clock, [SenderLeases(outbox, clock)])
    async with engine.open() as other, within_limit():
        keys = {key_of(store.instance), key_of(other.instance)}
        while {row.key for row in await store.fetch(HELD)} != keys:
            pass
        await lease(store, clock, "lane", f"{other.instance}.00ff")

        # when it only waits
        await looks(dead, clock, 20)
        assert len(await holders(store)) == 1

    # then it keeps the lane until it is gone
    async with within_limit():
        while await holders(store):
            await looks(dead, clock, 1)
