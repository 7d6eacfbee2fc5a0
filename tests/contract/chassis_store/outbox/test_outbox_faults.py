"""The store fails at each step, before and after its commit; the process ends at each step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from services.chassis import failpoints
from services.chassis.notifier import LocalNotifier
from services.chassis.store.port import Store
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.desk import REFUSE, Desk, count_settle, desk
from tests.contract.chassis_store.outbox.story import (
    TUNING,
    arrived_in_order,
    ends_well,
    happens,
    put_all,
)
from tests.contract.chassis_store.schema import account, outbox
from tests.support.clock import ManualClock

_ROOT = Path(__file__).parents[4]
_EMPTY = [statement(outbox.delete()), statement(account.delete())]

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


World: TypeAlias = tuple[ManualClock, LocalNotifier]


def a_world() -> World:
    clock = ManualClock()
    return clock, LocalNotifier(clock)


@asynccontextmanager
async def desks(store: Store, world: World) -> AsyncIterator[tuple[Desk, Desk]]:
    """A sender and somebody who puts, on an empty table, with a receiver of their own."""
    clock, notifier = world
    await store.write(lambda tx: [tx.run(each) for each in _EMPTY])
    sender = Desk(store, notifier, clock, TUNING)
    sender.settle = count_settle  # type: ignore[method-assign]  # counts
    putter = Desk(store, notifier, clock, TUNING)
    try:
        await put_all(putter)
        yield sender, putter
    finally:
        await sender.stop()


async def story(store: Store, world: World, fails_at: int, after: bool) -> int:
    """One whole story in which one call of the store fails; the number of calls there were."""
    async with desks(store, world) as (sender, putter):
        sender.view.fails_at, sender.view.after = fails_at, after
        await happens(sender, putter)
        calls = sender.view.calls
        await ends_well(sender)
        arrived_in_order({lane: sender.receiver.ids(lane) for lane in "abce"})
        return calls


@pytest.mark.parametrize("after", [False, True], ids=["before-commit", "after-commit"])
async def test_the_store_fails_at_each_step(engine: Engine, after: bool) -> None:
    world = a_world()
    async with engine.open(notifier=world[1]) as store:
        calls = await story(store, world, 0, after)
        assert calls > 10
        for fails_at in range(1, calls + 1):
            await story(store, world, fails_at, after)


async def test_an_error_at_each_failpoint(engine: Engine) -> None:
    world = a_world()
    async with engine.open(notifier=world[1]) as store:
        names = ANYWHERE if store.sole_owner else ANYWHERE + SHARED
        for name in names:
            for nth in (1, 2):
                async with desks(store, world) as (sender, putter):
                    with failpoints.armed(f"{name}=error@{nth}") as arming:
                        await happens(sender, putter)
                        assert arming[name].reached >= 1
                    await ends_well(sender)
                    arrived_in_order({lane: sender.receiver.ids(lane) for lane in "abce"})


@pytest.fixture
def crashed_engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "postgresql":
        return Engine("postgresql", request.getfixturevalue("postgres_url"))
    return Engine("sqlite", f"sqlite:///{request.getfixturevalue('tmp_path') / 'store.db'}")


@pytest.mark.parametrize(
    ("crashed_engine", "name"),
    [
        *(("sqlite", name) for name in ANYWHERE),
        *(("postgresql", name) for name in ANYWHERE + SHARED),
    ],
    indirect=["crashed_engine"],
)
async def test_a_kill_at_each_failpoint(crashed_engine: Engine, name: str) -> None:
    # given a process that is killed there, some way into its story
    arrived = _killed(crashed_engine, name)

    # when another one takes over, long after every lease
    clock = ManualClock(datetime.now(UTC) + timedelta(hours=1))
    async with desk(crashed_engine, clock=clock, tuning=TUNING) as at:
        at.settle = count_settle  # type: ignore[method-assign]  # counts
        at.receiver.scripts["b1"] = [REFUSE]
        await at.put("e/e1", "e/e2")
        await ends_well(at)
        for row in at.receiver.rows:
            arrived[row.lane].append(row.id)

    # then nothing was lost, nothing settled twice, and lanes kept their order
    arrived_in_order(arrived)


def _killed(engine: Engine, name: str) -> dict[str, list[str]]:
    """What had arrived when the child ended, by lane."""
    command = [sys.executable, "-m", "tests.contract.chassis_store.outbox.dying", engine.url, name]
    done = subprocess.run(  # no loop runs meanwhile
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL
    arrived: defaultdict[str, list[str]] = defaultdict(list)
    for line in done.stdout.splitlines():
        lane, _, id_ = line.removeprefix("arrived ").partition("/")
        arrived[lane].append(id_)
    return arrived
