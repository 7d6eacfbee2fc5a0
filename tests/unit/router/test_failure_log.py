"""Failed attempts in the log: a warning where the call fails, information where it goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Opened, TextDelta
from tests.support.scripted_adapter import Action, Break, Hang
from tests.unit.router.in_memory_router import limited, refused, router_of

Log = pytest.LogCaptureFixture


@pytest.fixture(autouse=True)
def _from_info_on(caplog: Log) -> None:
    caplog.set_level(logging.INFO, "services.router.engine.attempt")


def told(caplog: Log) -> Sequence[tuple[str, str, str]]:
    """Level, member and class of each failed attempt."""
    records = [each for each in caplog.records if each.message == "attempt failed"]
    return [
        (each.levelname, each.__dict__["member_id"], each.__dict__["failure"]) for each in records
    ]


async def test_a_failure_after_which_the_call_fails_over(caplog: Log) -> None:
    async with router_of("a", "b") as (running, (home, _)):
        running.provider.will(home, limited())
        await running.ask()

    assert told(caplog) == [("INFO", home, "rate_limit")]


async def test_a_failure_that_is_repeated_and_one_that_ends_the_call(caplog: Log) -> None:
    async with router_of("solo") as (running, _):
        running.provider.will("solo", *[refused(FailureClass.SERVER_ERROR, 500)] * 2)
        await running.ask()

    assert told(caplog) == [("INFO", "solo", "server_error"), ("WARNING", "solo", "server_error")]


async def test_a_failure_for_which_no_retry_is_left(caplog: Log) -> None:
    # given a budget of retries that other calls have spent
    async with router_of("solo") as (running, _):
        while running.retries.take():
            pass
        running.provider.will("solo", refused(FailureClass.SERVER_ERROR, 500))

        # when
        await running.ask()

    # then
    assert told(caplog) == [("WARNING", "solo", "server_error")]


async def test_an_answer_that_breaks_off(caplog: Log) -> None:
    async with router_of("a", "b") as (running, (home, _)):
        broken: list[Action] = [Break(Failure(FailureClass.STREAM_TRUNCATED))]
        running.provider.will(home, [[Opened(), TextDelta("a")], *broken])
        await running.ask()

    assert told(caplog) == [("WARNING", home, "stream_truncated")]


@pytest.mark.parametrize("begun", [[], [[Opened(), TextDelta("a")]]])
async def test_a_cancelled_attempt_has_not_failed(caplog: Log, begun: list[Action]) -> None:
    async with router_of("solo") as (running, _):
        running.provider.will("solo", [*begun, Hang()])
        asking = await running.ask_until_it_hangs()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    assert told(caplog) == []
