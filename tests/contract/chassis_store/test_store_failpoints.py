"""Kills and errors, at every place where a store may fail: what was acknowledged is there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from services.chassis import failpoints
from services.chassis.caller import Replay
from services.chassis.failpoints import FailpointError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.port import Store
from tests.contract.chassis_store.children import child, line, lines_until_killed
from tests.contract.chassis_store.engines import (
    Engine,
    Gate,
    add,
    add_and_notify,
    add_in_steps,
    balance,
    balance_in,
    ids,
)
from tests.contract.chassis_store.test_idempotency import KEYED, create


@dataclass(frozen=True, slots=True)
class Outcome:
    fails: bool
    applied: bool
    notified: bool


NOTHING = Outcome(fails=True, applied=False, notified=False)
OUTCOMES = {
    "store.beginning": NOTHING,
    "store.statement": NOTHING,
    "store.closing": NOTHING,
    "store.committing": NOTHING,
    "store.committed": Outcome(fails=True, applied=True, notified=True),
    "store.answered": Outcome(fails=False, applied=True, notified=False),
}
PLACES = failpoints.names("store.")
# Behind the first closure of each of eight writers, which takes five statements.
FULL_FLIGHT = dict.fromkeys(PLACES, 20) | {"store.statement": 60}


def test_every_place_has_an_outcome_and_every_outcome_a_place() -> None:
    assert sorted(OUTCOMES) == PLACES


async def assert_kept_whole(engine: Engine, told: list[str]) -> None:
    """Every acknowledged row is there, none by half, and the store goes on."""
    async with engine.open() as store:
        kept = set(await ids(store))
        assert set(told) <= kept
        assert await store.read(lambda tx: {balance_in(tx, each) for each in kept}) <= {1}
        await store.write(add("after"))


@pytest.mark.parametrize(
    "acknowledged",
    [pytest.param(1, marks=pytest.mark.chaos), 40, pytest.param(500, marks=pytest.mark.chaos)],
)
async def test_a_kill_under_load_loses_no_acknowledged_write(
    engine: Engine, acknowledged: int
) -> None:
    # given a process that writes as fast as it can and says what was acknowledged
    with child("writing_process", engine.url, "16") as writer:
        assert line(writer) == "ready"
        told = [line(writer) for _ in range(acknowledged)]

        # when it is killed in the middle, and what it still said is read
        writer.kill()
        told += lines_until_killed(writer)

    # then
    assert len(told) >= acknowledged
    await assert_kept_whole(engine, told)


@pytest.mark.parametrize("place", PLACES)
async def test_a_kill_at_any_place_loses_nothing_acknowledged_and_leaves_nothing_by_half(
    engine: Engine, place: str
) -> None:
    # when a process that writes is killed there in full flight
    with child("writing_process", engine.url, "8", f"{place}=kill@{FULL_FLIGHT[place]}") as process:
        ready, *told = lines_until_killed(process)
    assert ready == "ready"
    assert told

    # then
    await assert_kept_whole(engine, told)


@pytest.mark.parametrize(
    "nth",
    [
        pytest.param(21, marks=pytest.mark.chaos),
        pytest.param(22, marks=pytest.mark.chaos),
        pytest.param(23, marks=pytest.mark.chaos),
        pytest.param(24, marks=pytest.mark.chaos),
        25,
    ],
)
async def test_a_kill_at_each_statement_of_a_closure_leaves_nothing_by_half(
    engine: Engine, nth: int
) -> None:
    # when one writer is killed in its fifth closure of five statements
    with child("writing_process", engine.url, "1", f"store.statement=kill@{nth}") as process:
        ready, *told = lines_until_killed(process)

    # then
    assert [ready, *told] == ["ready", "0-0", "0-1", "0-2", "0-3"]
    async with engine.open() as store:
        assert await ids(store) == told
        assert {await balance(store, each) for each in told} == {1}


async def test_an_error_at_each_statement_of_a_closure_leaves_nothing_by_half(
    store: Store, notifier: LocalNotifier
) -> None:
    with notifier.signal("log") as signal:
        for nth in range(1, 6):
            # when
            with failpoints.armed(f"store.statement=error@{nth}"), pytest.raises(FailpointError):
                await store.write(add_in_steps("a"))

            # then
            assert await ids(store) == []
            assert not await signal.wait(0)

        # and there is no sixth
        with failpoints.armed("store.statement=error@6"):
            await store.write(add_in_steps("a"))
        assert await balance(store, "a") == 1
        assert await signal.wait(10)


async def test_an_error_at_a_statement_undoes_its_closure_alone(store: Store) -> None:
    # given
    gate = Gate()
    held = await gate.held_by(store)

    # when three closures of two statements follow, on SQLite in one commit
    with failpoints.armed("store.statement=error@4"):
        writes = [asyncio.ensure_future(store.write(add_and_notify(id_))) for id_ in "abc"]
        await asyncio.sleep(0)
        gate.opened.set()
        outcomes = await asyncio.gather(held, *writes, return_exceptions=True)

    # then one of them failed, and nothing of it is left
    failed = [id_ for id_, each in zip("abc", outcomes[1:], strict=True) if each != id_]
    assert len(failed) == 1
    assert await ids(store) == [id_ for id_ in "abc" if id_ not in failed]


@pytest.mark.parametrize("place", PLACES)
async def test_an_error_at_any_place_has_one_outcome_and_the_store_goes_on(
    store: Store, notifier: LocalNotifier, place: str
) -> None:
    """The table of ``store_failpoints``, line by line."""
    with notifier.signal("log") as signal:
        # when
        with failpoints.armed(f"{place}=error@1"):
            try:
                await store.write(add_and_notify("a"))
                fails = False
            except FailpointError:
                fails = True

        # then
        found = Outcome(fails, await ids(store) == ["a"], await signal.wait(0))
        assert found == OUTCOMES[place]

        # and the next one is as ever
        assert await store.write(add_and_notify("b")) == "b"
        assert await signal.wait(10)


async def test_an_answer_that_got_lost_is_found_by_the_repeat(store: Store) -> None:
    # given
    with failpoints.armed("store.committed=error@1"), pytest.raises(FailpointError):
        await create(store, "a", KEYED)

    # when
    again = await create(store, "b", KEYED)

    # then
    assert again == Replay(b"a")
    assert await ids(store) == ["a"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
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
    store: Store, spec: str, failed: list[str]
) -> None:
    # given four writes that share a commit
    gate = Gate()
    writes = {"gate": await gate.held_by(store)}
    for id_ in "abc":
        writes[id_] = asyncio.ensure_future(store.write(add_and_notify(id_)))
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
