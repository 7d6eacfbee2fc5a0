"""Wake-ups between processes on PostgreSQL: to others, once, coalesced, over every outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
import pytest_asyncio

from services.chassis import failpoints
from services.chassis.clock import Clock, SystemClock
from services.chassis.drain import Drain
from services.chassis.follow.feed import Items, Page, follow
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.port import Store
from services.chassis.store.postgres.notify import (
    COALESCE_S,
    MOST_CHANNELS,
    NotifyBridge,
    notify_bridge,
    payload_of,
)
from tests.contract.chassis_store.engines import Engine, add_and_notify, ids
from tests.support.clock import ManualClock
from tests.support.postgres import fresh_schema, schema_of, terminate

PATIENCE_S = 10.0
FENCE = "the last one"


class Process(LocalNotifier):
    """One of several that share a database; it remembers what was notified."""

    bridge: NotifyBridge

    def __init__(self) -> None:
        super().__init__()
        self.notified: list[str] = []
        self.everybody = 0

    def notify(self, channel: str) -> None:
        self.notified.append(channel)
        super().notify(channel)

    def notify_all(self) -> None:
        self.everybody += 1
        super().notify_all()


@asynccontextmanager
async def process(url: str, clock: Clock | None = None) -> AsyncIterator[Process]:
    opened = Process()
    async with notify_bridge(url, opened, clock or SystemClock()) as opened.bridge:
        async with asyncio.timeout(PATIENCE_S):
            await opened.bridge.listening.wait()
        opened.notified.clear()
        opened.everybody = 0
        yield opened


@pytest_asyncio.fixture
async def one(postgres_url: str) -> AsyncIterator[Process]:
    async with process(postgres_url) as opened:
        yield opened


@pytest_asyncio.fixture
async def other(postgres_url: str) -> AsyncIterator[Process]:
    async with process(postgres_url) as opened:
        yield opened


async def reaches(sender: Process, receiver: Process, channel: str) -> None:
    """``sender`` announces ``channel``, and ``receiver`` is notified."""
    with receiver.signal(channel) as signal:
        sender.bridge.announce([channel])
        assert await signal.wait(PATIENCE_S), f"{channel} was never notified"


async def fenced(sender: Process, receiver: Process) -> None:
    """Everything that ``sender`` announced before has arrived: notifications keep their order."""
    await reaches(sender, receiver, FENCE)


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
async def test_an_announced_channel_is_notified_in_the_other_process(
    one: Process, other: Process, channel: str
) -> None:
    with other.signal("another") as silent:
        await reaches(one, other, channel)
        assert not await silent.wait(0)


async def test_an_encoding_in_the_address_is_no_obstacle(postgres_url: str) -> None:
    latin = f"{postgres_url}&client_encoding=LATIN1"
    async with process(latin) as one, process(latin) as other:
        one.bridge.announce(["Grüße"])
        await fenced(one, other)
    assert other.notified == ["Grüße", FENCE]


async def test_ones_own_announcements_do_not_come_back(one: Process, other: Process) -> None:
    """Whoever commits has notified already."""
    one.bridge.announce(["a"])
    await fenced(one, other)
    await fenced(other, one)
    assert other.notified == ["a", FENCE]
    assert one.notified == [FENCE]


async def test_schemas_of_one_database_do_not_wake_each_other(
    postgres_server: str, one: Process, other: Process
) -> None:
    with fresh_schema(postgres_server) as elsewhere:
        async with process(elsewhere) as third, process(elsewhere) as fourth:
            one.bridge.announce(["a"])
            await fenced(one, other)
            await fenced(third, fourth)
            assert fourth.notified == [FENCE]
            assert other.notified == ["a", FENCE]


async def test_announcements_of_a_channel_are_coalesced(postgres_url: str, other: Process) -> None:
    # given a sender whose time stands still after its first announcement
    clock = ManualClock()
    async with process(postgres_url, clock) as one:
        await reaches(one, other, "first")

        # when it announces a thousand times
        for _ in range(1_000):
            one.bridge.announce(["a"])

        # then that is one notification, after the pause
        assert "a" not in other.notified
        for channel in ("a", FENCE):
            one.bridge.announce([channel])
            with other.signal(channel) as signal:
                while not await signal.wait(0.01):
                    clock.advance(COALESCE_S)
        assert other.notified == ["first", "a", FENCE]


async def test_more_channels_than_fit_wake_everybody(one: Process, other: Process) -> None:
    with other.signal("not announced") as signal:
        one.bridge.announce(str(n) for n in range(MOST_CHANNELS + 1))
        assert await signal.wait(PATIENCE_S)
    assert other.everybody == 1


async def test_announcements_may_come_from_any_thread(one: Process, other: Process) -> None:
    with other.signal("a") as signal:
        await asyncio.to_thread(one.bridge.announce, ["a"])
        assert await signal.wait(PATIENCE_S)


async def test_what_was_announced_last_still_goes_out(postgres_url: str, other: Process) -> None:
    """A process that is replaced must not leave the others waiting for their polls."""
    with other.signal("last") as signal:
        async with process(postgres_url) as one:
            one.bridge.announce(["last"])
        assert await signal.wait(PATIENCE_S)


async def test_after_cut_connections_everybody_is_woken_once_and_notifications_go_on(
    postgres_server: str, postgres_url: str, one: Process, other: Process
) -> None:
    """What was announced while nobody listened is not said again."""
    # given two that have a connection to listen and one to send
    await fenced(one, other)
    await fenced(other, one)

    with other.signal("quiet") as signal:
        # when every connection is cut
        assert terminate(postgres_server, schema_of(postgres_url)) == 4

        # then everybody looks once
        assert await signal.wait(PATIENCE_S)
        assert other.everybody == 1

    # and what is announced, also before the sender notices, arrives
    await fenced(one, other)


@pytest.mark.parametrize("times", ["error@1", "error@2"])
@pytest.mark.parametrize("place", failpoints.names("notify."))
async def test_a_failure_at_any_place_costs_a_reconnection_and_no_notification(
    one: Process, other: Process, place: str, times: str
) -> None:
    with failpoints.armed(f"{place}={times}") as arming, other.signal("a") as signal:
        while not arming[place].acted.is_set():
            one.bridge.announce(["a"])
            assert await signal.wait(PATIENCE_S)
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


async def followed(store: Store, notifier: LocalNotifier, count: int, poll_s: float) -> list[int]:
    """The first ``count`` of the accounts as a log: their ids are numbers without a gap."""

    async def read(after: int) -> Page[int]:
        newest = len(await ids(store))
        return Page(range(after + 1, newest + 1), max(after, newest), more=False)

    found: list[int] = []
    with notifier.signal("log") as signal:
        clock = SystemClock()
        feed = follow(read, signal, after=0, drain=Drain(), clock=clock, poll_s=poll_s)
        async with asyncio.timeout(PATIENCE_S), aclosing(feed):
            async for each in feed:
                found += each.items if isinstance(each, Items) else []
                if len(found) >= count:
                    return found
    return found


async def assert_all_arrives(url: str, poll_s: float) -> None:
    """One replica commits twenty numbers, and a follower on another one gets them all."""
    notifier = LocalNotifier()
    reading = Engine(url).open(notifier=notifier)
    async with Engine(url).open() as writer, reading as reader:
        following = asyncio.ensure_future(followed(reader, notifier, 20, poll_s))
        for number in range(1, 21):
            await writer.write(add_and_notify(str(number)))
        assert await following == list(range(1, 21))


async def test_a_follower_on_another_replica_does_not_wait_for_its_poll(postgres_url: str) -> None:
    await assert_all_arrives(postgres_url, poll_s=3_600)


@pytest.mark.parametrize("place", failpoints.names("notify."))
async def test_with_every_notification_lost_everything_still_arrives(
    postgres_url: str, place: str
) -> None:
    """The poll is the truth."""
    with failpoints.armed(f"{place}=error") as arming:
        await assert_all_arrives(postgres_url, poll_s=0.02)
        assert arming[place].reached >= 1
