"""A method's cap ends each of its calls that runs too long, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.chassis.server.handlers.served import Cap, DeadlineExceededError

CAP_S = 0.02


async def waits(_request: Any, _context: Any) -> Any:
    await asyncio.Event().wait()


async def fails_when_cancelled(_request: Any, _context: Any) -> Any:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise LookupError("the clean-up failed") from None


async def keeps(cap: Cap, invoke: Callable[[Any, Any], Any]) -> tuple[object, int]:
    """How a call under ``cap`` ends, and how many cancels its task is left with."""
    task = asyncio.current_task()
    assert task is not None
    try:
        ended: object = await cap.keep(invoke, "request", None)  # type: ignore[arg-type]
    except (DeadlineExceededError, LookupError, asyncio.CancelledError) as error:
        ended = type(error)
    return ended, task.cancelling()


@pytest.mark.parametrize(
    ("invoke", "ended"),
    [(waits, DeadlineExceededError), (fails_when_cancelled, LookupError)],
)
async def test_an_overdue_call_is_ended_and_no_cancel_is_left(
    invoke: Callable[[Any, Any], Any], ended: object
) -> None:
    assert await keeps(Cap(CAP_S), invoke) == (ended, 0)


async def test_a_call_that_ends_in_time_is_left_alone() -> None:
    async def answers(request: Any, _context: Any) -> Any:
        return request

    cap = Cap(CAP_S)
    assert await keeps(cap, answers) == ("request", 0)

    # and neither is what its task does after it, although another call of the method is overdue
    assert await keeps(cap, waits) == (DeadlineExceededError, 0)


async def test_each_of_many_calls_gets_its_whole_time() -> None:
    # given calls of one method that start one after the other
    cap = Cap(CAP_S)
    loop = asyncio.get_running_loop()

    async def lasting() -> float:
        started_s = loop.time()
        assert await keeps(cap, waits) == (DeadlineExceededError, 0)
        return loop.time() - started_s

    # when the second begins while the first runs, and a third when none runs
    first = asyncio.ensure_future(lasting())
    await asyncio.wait({first}, timeout=CAP_S / 2)
    second = asyncio.ensure_future(lasting())
    lasted_s = [await first, await second, await lasting()]

    # then none of them ends early
    assert min(lasted_s) >= CAP_S - 0.002  # the clock of the loop counts whole milliseconds


async def test_a_cancel_of_the_caller_stays_a_cancel() -> None:
    # given a call that runs
    running = asyncio.ensure_future(Cap(30.0).keep(waits, "request", None))  # type: ignore[arg-type]
    await asyncio.wait({running}, timeout=0)

    # when its caller leaves
    running.cancel()

    # then
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_caller_that_leaves_at_the_same_time_gets_its_cancel() -> None:
    # given a handler whose caller leaves just when its time is over
    async def is_left(_request: Any, _context: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.Event().wait()
        finally:
            task.cancel()

    # when
    running = asyncio.ensure_future(Cap(CAP_S).keep(is_left, "request", None))  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        await running

    # then the cancel of the cap alone is taken back
    assert running.cancelling() == 1
