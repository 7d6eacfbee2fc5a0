"""What a router keeps across restarts, on both engines, alone and with another router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import psycopg
import pytest

from services.chassis.errors import StoreUnavailableError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.kept_snapshot import Kept, KeptChange, SqlKeptSnapshot
from services.chassis.store.opening import open_store
from services.chassis.store.port import Store
from services.router.core.decision import SkipReason
from services.router.store.router_store import SqlRouterStore
from services.router.store.tables import MIGRATIONS, kept_tables, metadata
from tests.support.clock import START, ManualClock
from tests.support.engines import on_postgresql
from tests.unit.router.builders import a_pin

PIN = a_pin(ttl_s=300.5)
WHOLE = KeptChange(7, "a 7", whole=True, upserts={(1, "x"): b"x7", (1, "y"): b"y7"})


def change(version: int, *, whole: bool = False, **bodies: str) -> KeptChange:
    upserts = {(1, name): body.encode() for name, body in bodies.items()}
    return KeptChange(version, f"a {version}", whole, upserts)


Snapshots: TypeAlias = tuple[SqlKeptSnapshot, SqlKeptSnapshot]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    notifier = LocalNotifier(ManualClock())
    store = open_store(url, metadata=metadata, migrations=MIGRATIONS, notifier=notifier)
    async with store as each:
        yield each


@pytest.fixture
def router_url(request: pytest.FixtureRequest, engine: str) -> str:
    """A database that several processes can share."""
    url: str = request.getfixturevalue("emptied_schema")("router")
    return url


@pytest.fixture
async def two(router_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes on one database."""
    async with opened(router_url) as first, opened(router_url) as second:
        yield first, second


@pytest.fixture
async def snapshots(two: tuple[Store, Store]) -> Snapshots:
    """The kept snapshot of two processes that follow the same registry."""
    first, second = (SqlKeptSnapshot(store, kept_tables) for store in two)
    await first.save(WHOLE)
    await second.save(WHOLE)
    return first, second


async def test_pins_are_loaded_as_they_were_the_newest_first(database_url: str) -> None:
    # given a pin, one that was used later, and one that was removed
    later = replace(PIN, session="thread:2", used_at=START + timedelta(seconds=9), reason=None)
    gone = replace(PIN, session="thread:3")
    async with opened(database_url) as store:
        await SqlRouterStore(store).save([PIN, later, gone], [])
        await SqlRouterStore(store).save([], [gone.key, ("default", "pool", "never")])

    # when the next process reads them
    async with opened(database_url) as store:
        pins = SqlRouterStore(store)
        loaded, newest = await pins.load(10), await pins.load(1)

    # then
    assert (loaded, newest) == ([later, PIN], [later])


async def test_what_moved_a_session_is_kept(database_url: str) -> None:
    """A failure in a call, or why a member was set aside before it."""
    # given
    skipped = replace(PIN, reason=SkipReason.CIRCUIT_OPEN)
    async with opened(database_url) as store:
        await SqlRouterStore(store).save([skipped], [])

    # when, then
    async with opened(database_url) as store:
        assert await SqlRouterStore(store).load(10) == [skipped]


async def test_a_changed_pin_replaces_the_stored_one(database_url: str) -> None:
    async with opened(database_url) as store:
        pins = SqlRouterStore(store)
        await pins.save([PIN], [])
        await pins.save([replace(PIN, member_id="third")], [])
        assert await pins.load(10) == [replace(PIN, member_id="third")]


@on_postgresql
async def test_two_routers_write_the_same_pins_at_once(two: tuple[Store, Store]) -> None:
    # given a hundred pins that both have changed, in opposite orders
    pins = [replace(PIN, session=f"thread:{number:03}") for number in range(100)]
    first, second = (SqlRouterStore(store) for store in two)

    # when both write them, again and again
    await asyncio.gather(
        *(first.save(pins, []) for _ in range(5)), *(second.save(pins[::-1], []) for _ in range(5))
    )

    # then all pins are stored
    assert len(await first.load(1000)) == 100


@on_postgresql
async def test_a_locked_pin_delays_itself_alone(two: tuple[Store, Store], router_url: str) -> None:
    # given thirty stored pins, the first of which somebody keeps locked
    pins = [replace(PIN, session=f"thread:{number:03}") for number in range(30)]
    store = SqlRouterStore(two[0])
    await store.save(pins, [])
    with psycopg.connect(router_url) as shell:
        shell.execute("SELECT * FROM pin WHERE session = 'thread:000' FOR UPDATE")

        # when all but the last are changed, which is removed, and a new one is added
        moved = [replace(each, member_id="third") for each in pins[:-1]]
        added = replace(PIN, session="thread:100")
        locked = await store.save([*moved, added], [pins[-1].key])
        shell.rollback()

    # then
    assert locked == {pins[0].key}
    stored = sorted(await store.load(100), key=lambda each: each.key)
    assert stored == [pins[0], *moved[1:], added]


@on_postgresql
async def test_two_routers_keep_one_snapshot(snapshots: Snapshots) -> None:
    # when the registry changes, and one of them is a little behind
    first, second = snapshots
    await first.save(change(8, x="x8"))
    await second.save(change(8, x="x8"))
    await second.save(change(9, y="y9"))
    await first.save(change(9, y="y9"))

    # then the copy is the newest version
    assert await first.load() == Kept(9, "a 9", {(1, "x"): b"x8", (1, "y"): b"y9"})


@on_postgresql
async def test_a_router_that_missed_changes_does_not_mix_them_into_the_stored_snapshot(
    snapshots: Snapshots,
) -> None:
    # given one that is two versions ahead
    first, second = snapshots
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
async def test_two_first_snapshots_at_once_store_one_of_them(two: tuple[Store, Store]) -> None:
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
