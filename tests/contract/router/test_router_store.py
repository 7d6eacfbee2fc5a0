"""What a router still knows after a restart, on both engines, and with another router beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from services.chassis.errors import StoreUnavailableError
from services.chassis.kept_snapshot import Kept, KeptChange, SqlKeptSnapshot
from services.chassis.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.store.port import Store
from services.router.core.failures import FailureClass
from services.router.core.pins import Pin
from services.router.store.pin_store import SqlPinStore
from services.router.store.tables import MIGRATIONS, kept_tables, metadata
from tests.support.clock import START, ManualClock
from tests.support.engines import on_postgresql

PIN = Pin(
    tenant="default",
    pool_id="chat",
    session="thread:1",
    revision="r1",
    member_id="second",
    home_member_id="first",
    reason=FailureClass.RATE_LIMIT,
    run_id="run",
    moved_at=START,
    used_at=START,
    ttl_s=300.5,
    traceparent="00-1-2-01",
)
WHOLE = KeptChange(7, "a 7", whole=True, upserts={(1, "x"): b"x7", (1, "y"): b"y7"})


def change(version: int, *, whole: bool = False, **bodies: str) -> KeptChange:
    upserts = {(1, name): body.encode() for name, body in bodies.items()}
    return KeptChange(version, f"a {version}", whole, upserts)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    clock = ManualClock()
    store = open_store(
        url,
        metadata=metadata,
        migrations=MIGRATIONS,
        clock=clock,
        notifier=LocalNotifier(clock),
    )
    async with store as each:
        yield each


@pytest.fixture
async def two(request: pytest.FixtureRequest, engine: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes on one database."""
    url: str = request.getfixturevalue("emptied_schema")("router")
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(opened(url)),
            await stack.enter_async_context(opened(url)),
        )


async def test_pins_come_back_as_they_were_the_newest_first(database_url: str) -> None:
    # given a pin, one that was used later, and one that is gone again
    later = replace(PIN, session="thread:2", used_at=START + timedelta(seconds=9), reason=None)
    gone = replace(PIN, session="thread:3")
    async with opened(database_url) as store:
        await SqlPinStore(store).save([PIN, later, gone], [])
        await SqlPinStore(store).save([], [gone.key, ("default", "chat", "never")])

    # when the next process reads them
    async with opened(database_url) as store:
        pins = SqlPinStore(store)
        loaded, newest = await pins.load(10), await pins.load(1)

    # then
    assert (loaded, newest) == ([later, PIN], [later])


async def test_a_pin_that_moves_replaces_itself(database_url: str) -> None:
    async with opened(database_url) as store:
        pins = SqlPinStore(store)
        await pins.save([PIN], [])
        await pins.save([replace(PIN, member_id="third")], [])
        assert await pins.load(10) == [replace(PIN, member_id="third")]


@on_postgresql
async def test_two_routers_write_the_same_pins_at_once(two: tuple[Store, Store]) -> None:
    # given a hundred sessions that both have moved, noted in opposite orders
    pins = [replace(PIN, session=f"thread:{number:03}") for number in range(100)]
    first, second = (SqlPinStore(store) for store in two)

    # when both write them, again and again
    await asyncio.gather(
        *(first.save(pins, []) for _ in range(5)), *(second.save(pins[::-1], []) for _ in range(5))
    )

    # then all are there
    assert len(await first.load(1000)) == 100


@on_postgresql
async def test_two_routers_keep_one_snapshot(two: tuple[Store, Store]) -> None:
    first, second = (SqlKeptSnapshot(store, kept_tables) for store in two)
    # given both follow the same registry
    await first.save(WHOLE)
    await second.save(WHOLE)

    # when it changes, and one of them is a little behind
    await first.save(change(8, x="x8"))
    await second.save(change(8, x="x8"))
    await second.save(change(9, y="y9"))
    await first.save(change(9, y="y9"))

    # then the copy is the newest version
    assert await first.load() == Kept(9, "a 9", {(1, "x"): b"x8", (1, "y"): b"y9"})


@on_postgresql
async def test_a_router_that_has_missed_what_another_kept_leaves_no_mixture(
    two: tuple[Store, Store],
) -> None:
    first, second = (SqlKeptSnapshot(store, kept_tables) for store in two)
    await first.save(WHOLE)
    await second.save(WHOLE)

    # given one that is two versions ahead
    await first.save(change(8, x="x8"))
    await first.save(change(9, y="y9"))

    # when the other keeps the first of these changes
    with pytest.raises(StoreUnavailableError, match="another version"):
        await second.save(change(8, x="x8"))

    # then the copy is what it was, and the other takes part again with a whole one
    assert await first.load() == Kept(9, "a 9", {(1, "x"): b"x8", (1, "y"): b"y9"})
    await second.save(change(10, whole=True, x="x10"))
    assert await first.load() == Kept(10, "a 10", {(1, "x"): b"x10"})


@on_postgresql
async def test_two_first_snapshots_at_once_are_one(two: tuple[Store, Store]) -> None:
    for version in range(10, 20):
        # given two processes that have kept nothing yet
        one, other = (SqlKeptSnapshot(store, kept_tables) for store in two)
        a = change(version, whole=True, **{f"a{n}": "a" for n in range(50)})
        b = KeptChange(version, "b", whole=True, upserts={(1, "b"): b"b"})

        # when both keep a whole one at once
        await asyncio.gather(one.save(a), other.save(b))

        # then it is one or the other
        kept = await one.load()
        assert kept is not None
        assert (kept.incarnation, len(kept.resources)) in {(a.incarnation, 50), ("b", 1)}
