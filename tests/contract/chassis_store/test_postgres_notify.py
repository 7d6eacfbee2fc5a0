"""Wake-ups between processes on PostgreSQL: to others, once, coalesced, over every outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from services.chassis import failpoints
from services.chassis.clock import Clock, SystemClock
from services.chassis.drain import Drain
from services.chassis.feed import Items, Page, follow
from services.chassis.notifier import LocalNotifier
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres_notify import (
    COALESCE_S,
    MOST_CHANNELS,
    NotifyBridge,
    notify_bridge,
    payload_of,
)
from tests.contract.chassis_store.engines import engine_of, ids
from tests.contract.chassis_store.schema import ADD
from tests.support.clock import ManualClock
from tests.support.postgres import fresh_schema, schema_of, terminate

PATIENCE_S = 10.0
FENCE = "the last one"


class Process:
    """One of several that share a database: its notifier, with what rang, and its bridge."""

    def __init__(self, bridge: NotifyBridge, notifier: CountingNotifier) -> None:
        self.bridge = bridge
        self.notifier = notifier


class CountingNotifier(LocalNotifier):
    """Remembers what was rung."""

    def __init__(self) -> None:
        super().__init__()
        self.rung: list[str] = []
        self.everybody = 0

    def ring(self, channel: str) -> None:
        self.rung.append(channel)
        super().ring(channel)

    def ring_all(self) -> None:
        self.everybody += 1
        super().ring_all()


@asynccontextmanager
async def process(url: str, clock: Clock | None = None) -> AsyncIterator[Process]:
    notifier = CountingNotifier()
    async with notify_bridge(url, notifier, clock or SystemClock()) as bridge:
        async with asyncio.timeout(PATIENCE_S):
            await bridge.listening.wait()
        notifier.rung.clear()
        notifier.everybody = 0
        yield Process(bridge, notifier)


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[Process, Process]]:
    async with process(url) as one, process(url) as other:
        yield one, other


async def heard(at: Process, channel: str) -> None:
    """Return once ``channel`` rings there."""
    with at.notifier.bell(channel) as bell:
        assert await bell.wait(PATIENCE_S), f"{channel} never rang"


async def fenced(sender: Process, receiver: Process) -> None:
    """Everything that ``sender`` announced before has arrived: notifications keep their order."""
    with receiver.notifier.bell(FENCE) as bell:
        sender.bridge.announce([FENCE])
        assert await bell.wait(PATIENCE_S)


@pytest.mark.parametrize(
    "channel",
    [
        "runs/1",
        "'; DROP TABLE x; --",
        '"quoted" %s {} \\ 😀',
        "long " + "x" * 9_000,
        "a NUL \0 in it",
        "*",
        "=",
    ],
    ids=["plain", "sql", "signs", "long", "nul", "star", "equals"],
)
async def test_an_announced_channel_rings_in_the_other_process(
    postgres_url: str, channel: str
) -> None:
    async with two(postgres_url) as (one, other):
        with other.notifier.bell(channel) as bell, other.notifier.bell("another") as silent:
            one.bridge.announce([channel])
            assert await bell.wait(PATIENCE_S)
            assert not await silent.wait(0)


async def test_an_encoding_in_the_address_is_no_obstacle(postgres_url: str) -> None:
    async with two(f"{postgres_url}&client_encoding=LATIN1") as (one, other):
        one.bridge.announce(["Grüße"])
        await fenced(one, other)
    assert other.notifier.rung == ["Grüße", FENCE]


async def test_ones_own_announcements_do_not_come_back(postgres_url: str) -> None:
    """Whoever commits has rung already."""
    async with two(postgres_url) as (one, other):
        one.bridge.announce(["a"])
        await fenced(one, other)
        await fenced(other, one)
        assert other.notifier.rung == ["a", FENCE]
        assert one.notifier.rung == [FENCE]


async def test_schemas_of_one_database_do_not_wake_each_other(
    postgres_server: str, postgres_url: str
) -> None:
    with fresh_schema(postgres_server) as elsewhere:
        async with two(postgres_url) as (one, other), two(elsewhere) as (third, fourth):
            one.bridge.announce(["a"])
            await fenced(one, other)
            await fenced(third, fourth)
            assert fourth.notifier.rung == [FENCE]
            assert other.notifier.rung == ["a", FENCE]


async def test_announcements_of_a_channel_are_coalesced(postgres_url: str) -> None:
    # given a sender whose time stands still after its first announcement
    clock = ManualClock()
    async with process(postgres_url, clock) as one, process(postgres_url) as other:
        one.bridge.announce(["first"])
        await heard(other, "first")

        # when it announces a thousand times
        for _ in range(1_000):
            one.bridge.announce(["a"])

        # then that is one notification, after the pause
        assert "a" not in other.notifier.rung
        with other.notifier.bell("a") as bell:
            while not await bell.wait(0.01):
                clock.advance(COALESCE_S)
        one.bridge.announce([FENCE])
        with other.notifier.bell(FENCE) as bell:
            while not await bell.wait(0.01):
                clock.advance(COALESCE_S)
        assert other.notifier.rung == ["first", "a", FENCE]


async def test_more_channels_than_fit_wake_everybody(postgres_url: str) -> None:
    async with two(postgres_url) as (one, other):
        with other.notifier.bell("not announced") as bell:
            one.bridge.announce(str(n) for n in range(MOST_CHANNELS + 1))
            assert await bell.wait(PATIENCE_S)
        assert other.notifier.everybody == 1


async def test_announcements_may_come_from_any_thread(postgres_url: str) -> None:
    async with two(postgres_url) as (one, other):
        with other.notifier.bell("a") as bell:
            await asyncio.to_thread(one.bridge.announce, ["a"])
            assert await bell.wait(PATIENCE_S)


async def test_what_was_announced_last_still_goes_out(postgres_url: str) -> None:
    """A process that is replaced must not leave the others waiting for their polls."""
    async with process(postgres_url) as other:
        with other.notifier.bell("last") as bell:
            async with process(postgres_url) as one:
                one.bridge.announce(["last"])
            assert await bell.wait(PATIENCE_S)


async def test_after_cut_connections_everybody_is_woken_once_and_rings_go_on(
    postgres_server: str, postgres_url: str
) -> None:
    """What was announced while nobody listened is not said again."""
    async with two(postgres_url) as (one, other):
        with other.notifier.bell("quiet") as bell:
            # when every connection is cut
            assert terminate(postgres_server, schema_of(postgres_url)) == 4

            # then everybody looks once
            assert await bell.wait(PATIENCE_S)
            assert other.notifier.everybody == 1

        # and what is announced, also before the sender notices, arrives
        await fenced(one, other)


@pytest.mark.parametrize("times", ["error@1", "error@2"])
@pytest.mark.parametrize("place", failpoints.names("notify."))
async def test_a_failure_at_any_place_costs_a_reconnection_and_no_ring(
    postgres_url: str, place: str, times: str
) -> None:
    async with two(postgres_url) as (one, other):
        with failpoints.armed(f"{place}={times}") as arming, other.notifier.bell("a") as bell:
            while not arming[place].acted.is_set():
                one.bridge.announce(["a"])
                assert await bell.wait(PATIENCE_S)
        await fenced(one, other)


async def test_a_server_that_is_away_is_neither_waited_for_nor_queued_for() -> None:
    """It begins and ends without it."""
    notifier = LocalNotifier()
    nowhere = "postgresql://postgres@127.0.0.1:1/nowhere"
    async with notify_bridge(nowhere, notifier, ManualClock()) as bridge:
        for number in range(3 * MOST_CHANNELS):
            bridge.announce([str(number)])
        assert bridge._pending == {"*"}
        assert not bridge.listening.is_set()


async def test_a_payload_always_fits() -> None:
    for channel in ("x" * 7_998, "x" * 7_999, "é" * 4_000, "\0"):
        payload = payload_of(channel)
        assert len(payload.encode()) < 8_000
        assert "\0" not in payload
    assert payload_of("x" * 9_000) != payload_of("x" * 9_001)


class Replica:
    """A store on the shared database, and what its followers wait with."""

    def __init__(self, store: Store, notifier: LocalNotifier) -> None:
        self.store = store
        self.notifier = notifier

    async def read(self, after: int) -> Page[int]:
        """Accounts as a log: their ids are numbers without a gap."""
        newest = len(await ids(self.store))
        return Page(range(after + 1, newest + 1), max(after, newest), more=False)

    async def commit(self, number: int) -> None:
        def closure(tx: Tx) -> None:
            tx.run(ADD, id=str(number), balance=0)
            tx.ring("log")

        await self.store.write(closure)

    async def follows(self, count: int, poll_s: float) -> list[int]:
        """The first ``count`` of the log."""
        found: list[int] = []
        with self.notifier.bell("log") as bell:
            clock = SystemClock()
            feed = follow(self.read, bell, after=0, drain=Drain(), clock=clock, poll_s=poll_s)
            async with asyncio.timeout(PATIENCE_S), aclosing(feed):
                async for each in feed:
                    found += each.items if isinstance(each, Items) else []
                    if len(found) >= count:
                        return found
        return found


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[Replica]:
    notifier = LocalNotifier()
    async with engine_of(url).open(notifier=notifier) as store:
        yield Replica(store, notifier)


async def test_a_follower_on_another_replica_does_not_wait_for_its_poll(postgres_url: str) -> None:
    async with replica(postgres_url) as writer, replica(postgres_url) as reader:
        following = asyncio.ensure_future(reader.follows(20, poll_s=3_600))
        for number in range(1, 21):
            await writer.commit(number)
        assert await following == list(range(1, 21))


@pytest.mark.parametrize("place", failpoints.names("notify."))
async def test_with_every_notification_lost_everything_still_arrives(
    postgres_url: str, place: str
) -> None:
    """The poll is the truth."""
    with failpoints.armed(f"{place}=error") as arming:
        async with replica(postgres_url) as writer, replica(postgres_url) as reader:
            following = asyncio.ensure_future(reader.follows(20, poll_s=0.02))
            for number in range(1, 21):
                await writer.commit(number)
            assert await following == list(range(1, 21))
        assert arming[place].reached >= 1
