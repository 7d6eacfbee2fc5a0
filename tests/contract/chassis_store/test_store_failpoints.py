"""At every place where a store may fail: what was acknowledged is there, and whole."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.chassis import failpoints
from services.chassis.caller import Replay, RequestKey, once
from services.chassis.failpoints import FailpointError
from services.chassis.idempotency import TxRequestLog
from services.chassis.notifier import LocalNotifier
from services.chassis.store.port import Store, Tx
from tests.contract.chassis_store.engines import (
    ONE_BATCH,
    Engine,
    Gate,
    balance_in,
    ids,
    sqlite_engine,
)
from tests.contract.chassis_store.schema import ADD, DEPOSIT, requests


@dataclass(frozen=True, slots=True)
class Outcome:
    fails: bool
    applied: bool
    rung: bool


NOTHING = Outcome(fails=True, applied=False, rung=False)
OUTCOMES = {
    "store.beginning": NOTHING,
    "store.closing": NOTHING,
    "store.committing": NOTHING,
    "store.committed": Outcome(fails=True, applied=True, rung=True),
    "store.answered": Outcome(fails=False, applied=True, rung=False),
}
PLACES = failpoints.names("store.")
_ROOT = Path(__file__).parents[3]
_PATIENCE_S = 60.0
_KEY = RequestKey(tenant="default", method="/a.B/C", key="k1", digest=b"\x01one")


def test_every_place_has_an_outcome_and_every_outcome_a_place() -> None:
    assert sorted(OUTCOMES) == PLACES


async def killed_storm(engine: Engine, spec: str) -> list[str]:
    """What a process acknowledged before it was killed where ``spec`` says."""
    storm = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.chassis_store.failpoint_storm",
        engine.name,
        engine.url,
        spec,
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            said, _ = await storm.communicate()
    finally:
        if storm.returncode is None:
            storm.kill()
            await storm.wait()
    assert storm.returncode == -signal.SIGKILL, f"never reached: {spec}"
    # Each line is one write to the pipe, so only the last can be cut.
    return said[: said.rfind(b"\n") + 1].decode().splitlines()


@pytest.mark.parametrize("place", PLACES)
async def test_a_kill_at_any_place_loses_nothing_acknowledged_and_leaves_nothing_by_half(
    engine: Engine, place: str
) -> None:
    # when a process that writes is killed there in full flight
    told = await killed_storm(engine, f"{place}=kill@20")
    assert told

    # then the database opens again, with every acknowledged row, and none by half
    async with engine.open() as store:
        kept = set(await ids(store))
        assert set(told) <= kept
        assert {await store.read(lambda tx, i=i: balance_in(tx, i)) for i in kept} <= {1}  # type: ignore[misc]  # binds i now
        # and goes on
        await store.write(lambda tx: tx.run(ADD, id="after", balance=0))


@pytest.mark.parametrize("place", PLACES)
async def test_an_error_at_any_place_has_one_outcome_and_the_store_goes_on(
    engine: Engine, place: str
) -> None:
    """The table of ``places``, line by line."""
    notifier = LocalNotifier()
    async with engine.open(notifier=notifier) as store:
        with notifier.bell("log") as bell:
            # when
            with failpoints.armed(f"{place}=error@1"):
                try:
                    await store.write(ringing("a"))
                    fails = False
                except FailpointError:
                    fails = True

            # then
            found = Outcome(fails, await ids(store) == ["a"], await bell.wait(0))
            assert found == OUTCOMES[place]

            # and the next one is as ever
            assert await store.write(ringing("b")) == "b"
            assert await bell.wait(10)


async def test_an_answer_that_got_lost_is_found_by_the_repeat(engine: Engine) -> None:
    async with engine.open() as store:
        # given
        with failpoints.armed("store.committed=error@1"), pytest.raises(FailpointError):
            await create(store, "a")

        # when
        again = await create(store, "b")

        # then
        assert again == Replay(b"a")
        assert await ids(store) == ["a"]


@pytest.mark.parametrize(
    ("spec", "failed"),
    [
        # the gate's own closure is the first
        ("store.closing=error@3", ["b"]),
        ("store.committing=error@1", ["gate", "a", "b", "c"]),
        ("store.committed=error@1", ["gate", "a", "b", "c"]),
    ],
)
async def test_an_error_reaches_exactly_the_callers_of_its_commit(
    tmp_path: Path, spec: str, failed: list[str]
) -> None:
    async with sqlite_engine(tmp_path).open(tuning=ONE_BATCH) as store:
        # given four writes that share a commit
        gate = Gate()
        writes = {"gate": asyncio.ensure_future(store.write(gate))}
        await asyncio.to_thread(gate.entered.wait)
        for id_ in "abc":
            writes[id_] = asyncio.ensure_future(store.write(ringing(id_)))
        await asyncio.sleep(0)

        # when
        with failpoints.armed(spec):
            gate.opened.set()
            outcomes = await asyncio.gather(*writes.values(), return_exceptions=True)

        # then
        told = dict(zip(writes, outcomes, strict=True))
        assert [id_ for id_, each in told.items() if isinstance(each, FailpointError)] == failed
        assert [each for id_, each in told.items() if id_ not in failed] == [
            id_ for id_ in writes if id_ not in failed
        ]


def ringing(id_: str) -> Callable[[Tx], str]:
    """A closure of two statements and a ring, that answers its id."""

    def closure(tx: Tx) -> str:
        tx.run(ADD, id=id_, balance=0)
        tx.run(DEPOSIT, id=id_, amount=1)
        tx.ring("log")
        return id_

    return closure


async def create(store: Store, id_: str) -> str | Replay:
    def effect(tx: Tx) -> str | Replay:
        log = TxRequestLog(tx, requests, datetime(2026, 1, 1, tzinfo=UTC))
        return once(log, _KEY, lambda: ringing(id_)(tx), str.encode)

    return await store.write(effect)
