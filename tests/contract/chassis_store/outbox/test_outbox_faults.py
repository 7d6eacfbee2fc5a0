"""The store fails at each step, before and after its commit; the process ends at each step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from services.chassis import failpoints
from tests.contract.chassis_store.children import child, lines_until_killed
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox import scenario
from tests.contract.chassis_store.outbox.senders import REFUSE, Sender, count_answer, open_sender
from tests.support.clock import ManualClock

ANYWHERE = (
    "outbox.after_deliver",
    "outbox.before_close",
    "outbox.before_deliver",
    "outbox.before_postpone",
    "outbox.closed",
    "outbox.postponed",
)
# Reached by those alone who claim.
SHARED = ("outbox.claimed", "outbox.released", "outbox.renewed")


def test_every_failpoint_is_enumerated() -> None:
    assert failpoints.names("outbox.") == sorted(ANYWHERE + SHARED)


@pytest_asyncio.fixture
async def putter(engine: Engine) -> AsyncIterator[Sender]:
    """Puts rows, and never starts."""
    async with open_sender(engine, tuning=scenario.TUNING) as opened:
        yield opened


@asynccontextmanager
async def emptied(putter: Sender) -> AsyncIterator[Sender]:
    """A sender beside ``putter``, whose rows are all there is."""
    await putter.empty()
    sender = putter.beside()
    sender.settle = count_answer
    try:
        await scenario.put_all(putter)
        yield sender
    finally:
        await sender.stop()


async def finish(sender: Sender) -> None:
    await scenario.finish(sender)
    scenario.assert_arrived_in_order({lane: sender.receiver.ids(lane) for lane in "abce"})


async def run_with_failure(putter: Sender, fails_at: int, after: bool) -> int:
    """The whole scenario, in which one call of the store fails; how many calls there were."""
    async with emptied(putter) as sender:
        sender.view.fails_at, sender.view.after = fails_at, after
        await scenario.run(sender, putter)
        calls = sender.view.calls
        await finish(sender)
        return calls


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine",
    ["sqlite", "sqlite-shared", pytest.param("postgresql", marks=pytest.mark.chaos)],
    indirect=True,
)
@pytest.mark.parametrize("after", [False, True], ids=["before-commit", "after-commit"])
async def test_the_store_fails_at_each_step(putter: Sender, after: bool) -> None:
    calls = await run_with_failure(putter, 0, after)
    assert calls > 10
    for fails_at in range(1, calls + 1):
        await run_with_failure(putter, fails_at, after)


@pytest.mark.slow
async def test_an_error_at_each_failpoint(putter: Sender) -> None:
    for name in ANYWHERE if putter.store.sole_owner else ANYWHERE + SHARED:
        for nth in (1, 2):
            async with emptied(putter) as sender:
                with failpoints.armed(f"{name}=error@{nth}") as arming:
                    await scenario.run(sender, putter)
                    assert arming[name].reached >= 1
                await finish(sender)


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        *(("sqlite", name) for name in ANYWHERE),
        *(("postgresql", name) for name in ANYWHERE + SHARED),
    ],
    indirect=["engine"],
)
async def test_a_kill_at_each_failpoint(engine: Engine, name: str) -> None:
    # given a process that is killed there, in the middle of the scenario
    with child("outbox.killed_process", engine.url, name) as process:
        said = lines_until_killed(process)
    arrived: defaultdict[str, list[str]] = defaultdict(list)
    for line in said:
        lane, _, id_ = line.removeprefix("arrived ").partition("/")
        arrived[lane].append(id_)

    # when another one takes over, long after every lease
    clock = ManualClock(datetime.now(UTC) + timedelta(hours=1))
    async with open_sender(engine, clock=clock, tuning=scenario.TUNING) as sender:
        sender.settle = count_answer
        sender.receiver.scripts["b1"] = [REFUSE]
        await sender.put("e/e1", "e/e2")
        await scenario.finish(sender)
        for row in sender.receiver.rows:
            arrived[row.lane].append(row.id)

    # then nothing was lost, nothing settled twice, and lanes kept their order
    scenario.assert_arrived_in_order(arrived)
