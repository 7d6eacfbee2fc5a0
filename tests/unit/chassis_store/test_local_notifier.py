"""Signals: a notification is never lost, a channel is never kept longer than its signals."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.follow.notifier import LocalNotifier
from tests.support.clock import ManualClock
from tests.support.waiting import until


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def notifier(clock: ManualClock) -> LocalNotifier:
    return LocalNotifier(clock)


async def test_a_notification_between_two_waits_is_answered_by_the_second(
    notifier: LocalNotifier,
) -> None:
    with notifier.signal("a") as signal:
        notifier.notify("a")
        notifier.notify("a")
        assert await signal.wait(10) is True
        # two notifications are one wake-up
        assert await signal.wait(0) is False


async def test_a_wait_ends_with_a_notification(notifier: LocalNotifier, clock: ManualClock) -> None:
    with notifier.signal("a") as signal:
        waiting = asyncio.ensure_future(signal.wait(10))
        await asyncio.sleep(0)
        notifier.notify("b")
        await asyncio.sleep(0)
        assert not waiting.done()

        notifier.notify("a")
        assert await waiting is True
        assert await signal.wait(0) is False
    assert clock.now() == ManualClock().now()


async def test_a_wait_ends_after_its_time(notifier: LocalNotifier, clock: ManualClock) -> None:
    with notifier.signal("a") as signal:
        waiting = asyncio.ensure_future(signal.wait(10))
        await until(lambda: clock.sleepers == 1)
        clock.advance(9.5)
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.advance(0.5)
        assert await waiting is False


async def test_a_cancelled_wait_takes_no_notification_with_it(notifier: LocalNotifier) -> None:
    with notifier.signal("a") as signal:
        waiting = asyncio.ensure_future(signal.wait(10))
        await asyncio.sleep(0)
        # when it is notified and cancelled before it could look
        notifier.notify("a")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        # then
        assert await signal.wait(0) is True


async def test_a_wait_begun_while_the_last_one_is_being_cancelled_is_notified(
    notifier: LocalNotifier,
) -> None:
    """The end of the cancelled one must not take the signal from the new one."""
    with notifier.signal("a") as signal:
        first = asyncio.ensure_future(signal.wait(10))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(signal.wait(10))
        first.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        notifier.notify("a")

        assert await second is True
        assert first.cancelled()


async def test_every_signal_of_a_channel_is_notified(notifier: LocalNotifier) -> None:
    with notifier.signal("a") as one, notifier.signal("a") as two, notifier.signal("b") as three:
        notifier.notify("a")
        assert [await signal.wait(0) for signal in (one, two, three)] == [True, True, False]


async def test_a_signal_hears_nothing_from_before_it_was_there(notifier: LocalNotifier) -> None:
    notifier.notify("a")
    with notifier.signal("a") as signal:
        assert await signal.wait(0) is False


async def test_channels_without_signals_are_forgotten(notifier: LocalNotifier) -> None:
    """There is a channel for every thread and pool there ever was."""
    with notifier.signal("a"):
        with notifier.signal("a"):
            pass
        assert list(notifier._signals) == ["a"]
    assert list(notifier._signals) == []


async def test_everybody_can_be_woken_at_once(notifier: LocalNotifier) -> None:
    with notifier.signal("a") as one, notifier.signal("b") as two:
        assert notifier.channels() == ["a", "b"]
        notifier.notify_all()
        assert [await signal.wait(0) for signal in (one, two)] == [True, True]
