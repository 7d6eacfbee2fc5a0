"""Long work in slices: it takes turns, ends with its call, and raises what it raised."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from services.chassis.slices import (
    AbandonedError,
    Slices,
    busy,
    give_way,
    in_a_slice,
    in_slices,
    long_work,
    slicing,
)
from tests.support.waiting import until as until_true
from tests.support.waiting import within_limit


def working(
    until: threading.Event, started: threading.Event, ended: list[str]
) -> Callable[[], int]:
    """Work without an end of its own, until it is allowed to end."""

    def work() -> int:
        started.set()
        try:
            while not until.is_set():
                give_way()
        except AbandonedError:
            ended.append("abandoned")
            raise
        return 7

    return work


async def test_the_result_of_the_work_is_returned() -> None:
    until, started = threading.Event(), threading.Event()
    until.set()

    assert await in_slices(working(until, started, [])) == 7


async def test_an_error_of_the_work_is_raised() -> None:
    def work() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await in_slices(work)


async def test_the_event_loop_goes_on_meanwhile() -> None:
    # given work that does not end before the loop has run
    until, started = threading.Event(), threading.Event()
    waiting = asyncio.ensure_future(in_slices(working(until, started, [])))

    # when the loop is asked for a turn
    async with within_limit():
        await asyncio.to_thread(started.wait)
        until.set()

        # then the work is still running, and ends
        assert await waiting == 7


async def test_work_ends_with_the_call_that_waits_for_it() -> None:
    # given work that runs
    until, started = threading.Event(), threading.Event()
    ended: list[str] = []
    waiting = asyncio.ensure_future(in_slices(working(until, started, ended)))
    async with within_limit():
        await asyncio.to_thread(started.wait)

        # when its call is cancelled
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        # then it ends, though nobody allows it to
        await until_true(lambda: ended == ["abandoned"])


async def test_two_pieces_of_work_take_turns() -> None:
    # given two of which each ends only when the other has begun
    first, second = threading.Event(), threading.Event()

    # when both are done
    async with within_limit():
        both = await asyncio.gather(
            in_slices(working(second, first, [])), in_slices(working(first, second, []))
        )

    # then neither waited for the end of the other
    assert both == [7, 7]


async def test_work_in_a_thread_of_a_store_ends_with_its_call() -> None:
    # given work that somebody else's thread is to run
    async with slicing() as slices:
        work = slices.within(give_way)

    # when its call has ended
    # then the thread does not begin it
    with pytest.raises(AbandonedError):
        await asyncio.to_thread(work)


def test_outside_of_slices_nothing_is_given_way_to() -> None:
    Slices().abandon()

    give_way()


async def test_work_knows_that_it_is_in_a_slice() -> None:
    assert await in_slices(in_a_slice)
    assert not in_a_slice()


async def test_the_process_is_busy_while_there_is_long_work() -> None:
    assert not busy()
    async with slicing():
        assert await in_slices(busy)
        assert busy()
    assert not busy()
    with long_work():
        assert busy()
    assert not busy()
