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
from sqlalchemy import update

from services.chassis.errors import StoreUnavailableError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.kept_snapshot import Kept, KeptChange, SqlKeptSnapshot
from services.chassis.store.opening import open_store
from services.chassis.store.port import Store
from services.chassis.store.statement import statement
from services.router.core.decision import SkipReason
from services.router.core.failures import FailureClass
from services.router.core.pins import Pin, pin_entry
from services.router.core.ports import News
from services.router.core.quarantine import Quarantine, quarantine_entry
from services.router.core.quota import QuotaDeadline, deadline_entry
from services.router.core.shared_entry import Entry, Kind, ended
from services.router.store.router_store import SqlRouterStore
from services.router.store.tables import MIGRATIONS, kept_tables, metadata, shared
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


QUOTA: Entry[QuotaDeadline] = deadline_entry(
    ("provider", "r1", "upstream"), None, QuotaDeadline(START + timedelta(seconds=30), None, 3)
)
RESET = replace(ended(Kind.RESET, ("pool", "m", "p", "r", "u"), START), value="ann")
QUARANTINE = quarantine_entry(
    ("provider", "r1", "upstream", "digest"), Quarantine(FailureClass.AUTH, START, 2), START
)
CORDON = Entry(Kind.CORDON, ("pool", 'm "1" / 🦊'), True, START, START, None)


async def test_every_kind_is_loaded_as_it_was_stored(database_url: str) -> None:
    # given an entry of each kind, and the end of something
    skipped = replace(PIN, session="thread:2", reason=SkipReason.CIRCUIT_OPEN)
    unmoved = replace(PIN, session="thread:3", reason=None)
    pins = [pin_entry(each) for each in (PIN, skipped, unmoved)]
    end: Entry[Pin] = ended(Kind.PIN, ("default", "pool", "thread:4"), START)
    entries = [*pins, end, QUOTA, RESET, CORDON, QUARANTINE]
    async with opened(database_url) as store:
        saved = await SqlRouterStore(store).save(entries)

    # when the next process reads them
    async with opened(database_url) as store:
        loaded = await SqlRouterStore(store).load(10)

    # then
    assert {each.kind for each in entries} == set(Kind)
    assert sorted(loaded.entries, key=repr) == sorted(entries, key=repr)
    assert (saved.number, saved.written, loaded.number) == (8, 8, 8)


@pytest.mark.parametrize(
    "damage",
    [
        {"body": "{"},
        {"body": '{"kind":"a class of a newer version","since":"2026-01-01T00:00:00Z"}'},
        {"kind": "a kind of a newer version"},
        {"key": '["too", "many", "parts", "for", "a", "pin"]', "kind": "pin"},
    ],
)
async def test_an_entry_that_cannot_be_read_keeps_no_other_back(
    database_url: str, damage: dict[str, str]
) -> None:
    # given
    damaging = statement(update(shared).where(shared.c.kind == "quarantine").values(**damage))
    async with opened(database_url) as store:
        written = SqlRouterStore(store)
        await written.save([QUARANTINE, RESET, pin_entry(PIN)])
        await store.write(lambda tx: tx.run(damaging))

        # when
        loaded, news = await written.load(10), await written.news(0, 10)

    # then
    assert sorted(each.kind.value for each in loaded.entries) == ["pin", "reset"]
    assert sorted(each.kind.value for each in news.entries) == ["pin", "reset"]
    assert (news.number, news.more) == (3, False)


async def test_of_many_pins_those_used_last_are_loaded_the_newest_at_the_end(
    database_url: str,
) -> None:
    # given
    used = [
        replace(PIN, session=f"thread:{n}", used_at=START + timedelta(seconds=n))
        for n in (3, 1, 4, 2)
    ]
    async with opened(database_url) as store:
        stored = SqlRouterStore(store)
        await stored.save(list(map(pin_entry, used)))

        # when, then
        assert [each.value for each in (await stored.load(2)).entries] == [used[0], used[2]]


async def test_what_is_stored_and_supersedes_an_entry_stays(database_url: str) -> None:
    # given a pin that was moved at 5 s and used at 9 s
    newest = replace(
        PIN, moved_at=START + timedelta(seconds=5), used_at=START + timedelta(seconds=9)
    )
    async with opened(database_url) as store:
        stored = SqlRouterStore(store)
        await stored.save([pin_entry(newest)])

        # when older ones come, and an end that is older than the move
        await stored.save([pin_entry(replace(newest, used_at=START + timedelta(seconds=8)))])
        await stored.save([pin_entry(replace(PIN, used_at=START + timedelta(seconds=99)))])
        await stored.save([ended(Kind.PIN, PIN.key, START + timedelta(seconds=4))])
        older = (await stored.load(10)).entries
        end: Entry[Pin] = ended(Kind.PIN, PIN.key, START + timedelta(seconds=6))
        await stored.save([end])

        # then
        assert older == [pin_entry(newest)]
        assert (await stored.load(10)).entries == [end]


async def test_what_was_written_since_is_read_in_pages_and_once(database_url: str) -> None:
    # given five entries, one of which changes again
    pins = [replace(PIN, session=f"thread:{n}") for n in range(5)]
    async with opened(database_url) as store:
        stored = SqlRouterStore(store)
        nothing = await stored.news(0, 10)
        await stored.save(list(map(pin_entry, pins)))
        moved = replace(pins[0], moved_at=START + timedelta(seconds=1))
        await stored.save([pin_entry(moved)])

        # when
        first = await stored.news(2, 2)
        second = await stored.news(first.number, 2)
        third = await stored.news(second.number, 2)

    # then
    assert nothing == News([], 0)
    assert [each.value for each in first.entries] == pins[2:4]
    assert [each.value for each in second.entries] == [pins[4], moved]
    assert (first.more, second.more, third) == (True, True, News([], 6))


async def test_a_database_that_was_put_back_is_read_from_its_beginning(database_url: str) -> None:
    # given one entry
    async with opened(database_url) as store:
        stored = SqlRouterStore(store)
        await stored.save([CORDON])

        # when a process asks that has seen a hundred
        assert await stored.news(100, 10) == News([CORDON], 1)


async def test_what_has_ended_is_forgotten(database_url: str) -> None:
    # given a pin of 300.5 s, and what has no end
    async with opened(database_url) as store:
        stored = SqlRouterStore(store)
        await stored.save([pin_entry(PIN), CORDON])

        # when
        await stored.forget(START + timedelta(seconds=300))
        before = (await stored.load(10)).entries
        await stored.forget(START + timedelta(seconds=301))

        # then
        assert len(before) == 2
        assert (await stored.load(10)).entries == [CORDON]


@on_postgresql
async def test_two_routers_write_the_same_pins_at_once(two: tuple[Store, Store]) -> None:
    # given a hundred pins that both have changed, in opposite orders
    pins = [pin_entry(replace(PIN, session=f"thread:{number:03}")) for number in range(100)]
    first, second = (SqlRouterStore(store) for store in two)

    # when both write them, again and again
    await asyncio.gather(
        *(first.save(pins) for _ in range(5)), *(second.save(pins[::-1]) for _ in range(5))
    )

    # then all pins are stored
    assert len((await first.load(1000)).entries) == 100


@on_postgresql
async def test_no_write_becomes_visible_behind_a_later_one(two: tuple[Store, Store]) -> None:
    # given two processes that write at once, and one that reads on
    first, second = (SqlRouterStore(store) for store in two)
    seen: set[str] = set()
    number = 0

    async def write(store: SqlRouterStore, name: str) -> None:
        for n in range(50):
            await store.save([pin_entry(replace(PIN, session=f"thread:{name}{n}"))])

    # when
    writing = asyncio.gather(write(first, "a"), write(second, "b"))
    while not writing.done() or number < 100:
        news = await second.news(number, 1_000)
        seen |= {each.key[2] for each in news.entries}
        number = news.number
    await writing

    # then it has missed none
    assert len(seen) == 100


@on_postgresql
async def test_a_locked_entry_delays_itself_alone(
    two: tuple[Store, Store], router_url: str
) -> None:
    # given seventy stored pins, the first of which somebody keeps locked
    pins = [replace(PIN, session=f"thread:{number:03}") for number in range(70)]
    store = SqlRouterStore(two[0])
    await store.save(list(map(pin_entry, pins)))
    with psycopg.connect(router_url) as shell:
        shell.execute("SELECT * FROM shared WHERE key LIKE '%thread:000%' FOR UPDATE")

        # when all are moved, a new one is added, and what has ended is forgotten
        later = START + timedelta(seconds=1)
        moved = [replace(each, member_id="third", moved_at=later) for each in pins]
        added = replace(PIN, session="thread:100")
        saved = await store.save(list(map(pin_entry, [*moved, added])))
        await store.forget(START + timedelta(days=1))
        shell.rollback()

    # then
    assert [each.value for each in saved.locked] == [moved[0]]
    assert [each.value for each in (await store.load(100)).entries] == [pins[0]]


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
