"""Bells: a ring is never lost, a channel is never kept longer than its bells."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.notifier import LocalNotifier
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def notifier(clock: ManualClock) -> LocalNotifier:
    return LocalNotifier(clock)


async def test_a_ring_between_two_waits_is_answered_by_the_second(
    notifier: LocalNotifier,
) -> None:
    with notifier.bell("a") as bell:
        notifier.ring("a")
        notifier.ring("a")
        assert await bell.wait(10) is True
        # two rings are one wake-up
        assert await bell.wait(0) is False


async def test_a_wait_ends_with_the_ring(notifier: LocalNotifier, clock: ManualClock) -> None:
    with notifier.bell("a") as bell:
        waiting = asyncio.ensure_future(bell.wait(10))
        await asyncio.sleep(0)
        notifier.ring("b")
        await asyncio.sleep(0)
        assert not waiting.done()

        notifier.ring("a")
        assert await waiting is True
        assert await bell.wait(0) is False
    assert clock.now() == ManualClock().now()


async def test_a_wait_ends_after_its_time(notifier: LocalNotifier, clock: ManualClock) -> None:
    with notifier.bell("a") as bell:
        waiting = asyncio.ensure_future(bell.wait(10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(9.5)
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.advance(0.5)
        assert await waiting is False


async def test_a_cancelled_wait_takes_no_ring_with_it(notifier: LocalNotifier) -> None:
    with notifier.bell("a") as bell:
        waiting = asyncio.ensure_future(bell.wait(10))
        await asyncio.sleep(0)
        # when it is rung and cancelled before it could look
        notifier.ring("a")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        # then
        assert await bell.wait(0) is True


async def test_a_wait_begun_while_the_last_one_is_being_cancelled_is_rung(
    notifier: LocalNotifier,
) -> None:
    """The end of the cancelled one must not take the bell from the new one."""
    with notifier.bell("a") as bell:
        first = asyncio.ensure_future(bell.wait(10))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(bell.wait(10))
        first.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        notifier.ring("a")

        assert await second is True
        assert first.cancelled()


async def test_every_bell_of_a_channel_rings(notifier: LocalNotifier) -> None:
    with notifier.bell("a") as one, notifier.bell("a") as two, notifier.bell("b") as three:
        notifier.ring("a")
        assert [await bell.wait(0) for bell in (one, two, three)] == [True, True, False]


async def test_a_bell_hears_nothing_from_before_it_was_there(notifier: LocalNotifier) -> None:
    notifier.ring("a")
    with notifier.bell("a") as bell:
        assert await bell.wait(0) is False


async def test_channels_without_bells_are_forgotten(notifier: LocalNotifier) -> None:
    """There is a channel for every thread and pool there ever was."""
    with notifier.bell("a"):
        with notifier.bell("a"):
            pass
        assert list(notifier._bells) == ["a"]
    assert list(notifier._bells) == []


async def test_everybody_can_be_woken_at_once(notifier: LocalNotifier) -> None:
    with notifier.bell("a") as one, notifier.bell("b") as two:
        assert notifier.heard() == ["a", "b"]
        notifier.ring_all()
        assert [await bell.wait(0) for bell in (one, two)] == [True, True]
