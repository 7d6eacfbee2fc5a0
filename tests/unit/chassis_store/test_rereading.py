"""Streams over a store that fails for a while, and over one that stays away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from services.chassis.errors import DomainError, StoreUnavailableError
from services.chassis.follow.feed import Draining, Items, Page
from services.chassis.store.errors import StoreOwnedError, read_too_long
from tests.unit.chassis_store.test_feed import settle
from tests.unit.chassis_store.test_feed_ring import RingLog


class FailingLog(RingLog):
    """Its next loads raise the errors that are queued."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.read_at_s: list[float] = []

    async def read(self, after: int) -> Page[int]:
        self.read_at_s.append(self.clock.monotonic_s())
        page = await super().read(after)
        if self.errors:
            raise self.errors.pop(0)
        return page

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            await settle()
            self.clock.advance(0.1)
        await settle()


@pytest_asyncio.fixture
async def log() -> AsyncIterator[FailingLog]:
    opened = FailingLog()
    yield opened
    await opened.close()


@pytest.mark.parametrize("failures", [1, 2, 5])
@pytest.mark.parametrize("taken", [0, 3])
async def test_a_follower_outlives_failed_reads(log: FailingLog, failures: int, taken: int) -> None:
    # given a follower that has got what there was
    log.append(taken)
    follower = await log.settled()

    # when the next reads fail
    log.errors = [read_too_long()] * failures
    log.append(2)
    await log.pass_time(8)

    # then it goes on where it was
    assert follower.items == list(range(1, taken + 3))
    assert not follower.ended


async def test_two_hundred_followers_outlive_one_failed_load(log: FailingLog) -> None:
    # given two hundred that share their loads
    followers = await log.followers(200)

    # when the load that they share fails
    log.errors = [read_too_long()]
    log.append(3)
    await log.pass_time(1)

    # then everybody has the items, for a few loads, which were not made at once
    assert [each.items for each in followers] == [[1, 2, 3]] * 200
    assert not any(each.ended for each in followers)
    assert len(log.reads) <= 4


async def test_a_store_that_stays_away_ends_the_stream_with_its_error(log: FailingLog) -> None:
    # given a store that fails for good
    log.errors = [read_too_long()] * 1_000
    stream = log.stream(log.read)
    first = asyncio.ensure_future(anext(stream))

    # when 19 s and then some pass
    await log.pass_time(19)
    assert not first.done()
    await log.pass_time(4)

    # then the stream ends with the error, after reads that became less frequent
    with pytest.raises(StoreUnavailableError) as ended:
        first.result()
    assert ended.value.metadata == {"cause": "READ_TOO_LONG"}
    assert 10 <= len(log.read_at_s) <= 30


class GoneError(DomainError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        lambda: StoreOwnedError("another process owns it"),
        lambda: GoneError("no such run"),
        lambda: ValueError("a defect"),
    ],
    ids=["a repeat cannot help", "it is no failure of the store", "it is a defect"],
)
async def test_other_errors_end_the_stream_at_once(
    log: FailingLog, error: Callable[[], Exception]
) -> None:
    raised = error()
    log.errors = [raised]
    with pytest.raises(type(raised)):
        await anext(log.stream(log.read))
    assert len(log.reads) == 1


async def test_a_drain_does_not_wait_for_the_store(log: FailingLog) -> None:
    # given a follower of three items whose reads fail
    log.append(3)
    follower = await log.settled()
    log.errors = [read_too_long()] * 1_000
    log.append()
    await log.pass_time(5)

    # when the server drains
    log.drain.start()
    await settle()

    # then the stream ends with its cursor, without an error
    assert follower.frames == [Items([1, 2, 3], 3), Draining(3)]
    assert follower.ended


async def test_a_follower_that_leaves_during_a_pause_leaves_nothing_behind() -> None:
    """The fixture that every test has would find a task."""
    log = FailingLog()
    log.errors = [read_too_long()]
    await log.settled()
    await log.close()
    assert log.clock.sleepers == 0
