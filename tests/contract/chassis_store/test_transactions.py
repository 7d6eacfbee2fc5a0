"""What every engine promises about closures, commits and their callers."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from services.chassis.errors import StoreUnavailableError
from services.chassis.notifier import LocalNotifier
from services.chassis.store.errors import ConstraintError
from services.chassis.store.port import Store, Tx
from tests.contract.chassis_store.engines import (
    ONE_BATCH,
    Engine,
    Gate,
    add,
    balance,
    balance_in,
    count,
    ids,
    one_batch,
)
from tests.contract.chassis_store.schema import (
    ADD,
    ADD_CARD,
    ADD_WHOLE,
    BEYOND,
    DEPOSIT,
    GET,
    IDS,
    LOCK,
    TOTAL,
)


async def test_a_write_answers_its_closure_and_is_read_by_everyone(store: Store) -> None:
    # when
    answer = await store.write(add("a"))

    # then
    assert answer == "a"
    assert await ids(store) == ["a"]
    assert [row.id for row in await store.fetch(IDS)] == ["a"]


async def test_every_column_type_comes_back_as_it_went_in(store: Store) -> None:
    # given
    seen_at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    # when
    await store.write(
        lambda tx: tx.run(
            ADD_WHOLE, id="é'/%😀", balance=2**62, open=True, seen_at=seen_at, photo=b"\x00\xff"
        )
    )
    (row,) = await store.read(lambda tx: tx.all(GET, id="é'/%😀"))
    (listed,) = await store.fetch(GET, id="é'/%😀")

    # then
    assert tuple(row) == ("é'/%😀", 2**62, True, seen_at, b"\x00\xff")
    assert row == listed
    assert row.open is True


async def test_null_stays_none_in_every_type(store: Store) -> None:
    await store.write(
        lambda tx: tx.run(ADD_WHOLE, id="a", balance=0, open=None, seen_at=None, photo=None)
    )
    (row,) = await store.read(lambda tx: tx.all(GET, id="a"))
    assert tuple(row) == ("a", 0, None, None, None)


async def test_a_naive_instant_is_refused(store: Store) -> None:
    """Nobody can know which hour it means."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # the point of the test
    with pytest.raises(TypeError):
        await store.write(
            lambda tx: tx.run(ADD_WHOLE, id="a", balance=0, open=None, seen_at=naive, photo=None)
        )
    assert await ids(store) == []


async def test_one_is_none_and_all_is_empty_without_rows(store: Store) -> None:
    assert await store.read(lambda tx: tx.one(GET, id="nobody")) is None
    assert await store.read(lambda tx: tx.all(GET, id="nobody")) == []


async def test_a_change_that_returns_nothing_has_no_rows(store: Store) -> None:
    assert await store.write(lambda tx: tx.one(ADD, id="a", balance=1)) is None
    assert await store.write(lambda tx: tx.all(ADD, id="b", balance=1)) == []
    assert await ids(store) == ["a", "b"]


async def test_run_counts_the_rows_it_touched(store: Store) -> None:
    # given
    await store.write(
        lambda tx: tx.run_many(ADD, [{"id": name, "balance": 1} for name in ("a", "b")])
    )

    # when
    touched = await store.write(lambda tx: tx.run(DEPOSIT, id="a", amount=5))
    missed = await store.write(lambda tx: tx.run(DEPOSIT, id="z", amount=5))

    # then
    assert (touched, missed) == (1, 0)
    assert await balance(store, "a") == 6
    assert await balance(store, "b") == 1


async def test_a_closure_reads_its_own_writes(store: Store) -> None:
    def closure(tx: Tx) -> int:
        tx.run(ADD, id="a", balance=3)
        tx.run(DEPOSIT, id="a", amount=4)
        return balance_in(tx, "a")

    assert await store.write(closure) == 7


async def test_no_update_is_lost_among_concurrent_closures(store: Store) -> None:
    """What a command decides on is read inside its closure."""
    # given
    await store.write(add("a"))

    # when
    answers = await asyncio.gather(
        *(store.write(lambda tx: tx.run(DEPOSIT, id="a", amount=1)) for _ in range(300))
    )

    # then
    assert answers == [1] * 300
    assert await balance(store, "a") == 300


async def test_a_closure_that_raises_undoes_only_itself(store: Store) -> None:
    # given
    def half_done(tx: Tx) -> None:
        tx.run(ADD, id="half", balance=0)
        raise LookupError("changed my mind")

    # when three closures share a commit and the one in the middle fails
    first, failed, last = await one_batch(store, add("first"), half_done, add("last"))

    # then
    assert (first, last) == ("first", "last")
    assert isinstance(failed, LookupError)
    assert await ids(store) == ["first", "last"]


async def test_an_acknowledged_write_survives_the_rollback_of_its_neighbour(store: Store) -> None:
    """On one shared connection a neighbour's rollback used to take acknowledged rows with it."""
    # given
    await store.write(add("kept"))

    # when its neighbours break a constraint, before it and after it in one commit
    outcomes = await one_batch(store, add("kept"), add("new"), add("kept"))

    # then
    assert [type(each) for each in outcomes] == [ConstraintError, str, ConstraintError]
    assert await ids(store) == ["kept", "new"]


async def test_a_value_of_the_wrong_type_is_refused(store: Store) -> None:
    """A column that takes anything would only fail when it is read."""
    with pytest.raises(ConstraintError):
        await store.write(lambda tx: tx.run(ADD, id="a", balance="much"))
    assert await ids(store) == []


async def test_text_that_only_one_engine_could_hold_is_refused_by_both(store: Store) -> None:
    """Bytes take everything; a NUL in a text would be found when the engine is changed."""
    with pytest.raises(ConstraintError):
        await store.write(lambda tx: tx.run(ADD, id="a\0b", balance=0))
    with pytest.raises(ConstraintError):
        await store.read(lambda tx: tx.one(GET, id="\0"))
    assert await ids(store) == []


async def test_text_sorts_by_code_point(store: Store) -> None:
    """Pages are keyed by what sorts them, and a language would sort otherwise."""
    # given
    names = ["é", "z", "B", "a", "Z", "-a", "_", "a b", "ab", "😀", "\uffff"]

    # when
    for name in names:
        await store.write(add(name))

    # then
    by_code_point = ["-a", "B", "Z", "_", "a", "a b", "ab", "z", "é", "\uffff", "😀"]
    assert await ids(store) == by_code_point == sorted(names)
    assert [row.id for row in await store.fetch(BEYOND, after="Z")] == by_code_point[3:]


async def test_sums_and_counts_are_integers(store: Store) -> None:
    """PostgreSQL has a type of its own for the sum of wide integers."""
    await store.write(lambda tx: tx.run_many(ADD, [{"id": n, "balance": 2**40} for n in "ab"]))

    (row,) = await store.fetch(TOTAL)

    assert tuple(row) == (2**41, 2)
    assert [type(each) for each in row] == [int, int]


async def test_no_rows_to_write_is_no_error(store: Store) -> None:
    await store.write(lambda tx: tx.run_many(ADD, []))
    assert await ids(store) == []


async def test_many_rows_are_written_all_or_none(store: Store) -> None:
    rows = [{"id": name, "balance": 1} for name in ("a", "b", "a")]
    with pytest.raises(ConstraintError):
        await store.write(lambda tx: tx.run_many(ADD, rows))
    assert await ids(store) == []
    assert rows[0] == {"id": "a", "balance": 1}


async def test_a_database_error_ends_the_closure_even_when_caught(store: Store) -> None:
    """On PostgreSQL the transaction has failed; code must not come to rely on another engine."""

    def swallows(tx: Tx) -> str:
        tx.run(ADD, id="b", balance=0)
        try:
            tx.run(ADD, id="a", balance=0)
        except Exception:
            tx.run(ADD, id="c", balance=0)
        return "fine"

    # given
    await store.write(add("a"))

    # when
    with pytest.raises(ConstraintError):
        await store.write(swallows)

    # then
    assert await ids(store) == ["a"]


async def test_what_only_the_commit_refuses_is_told_to_its_caller(store: Store) -> None:
    # given a closure that leaves a reference to nobody, which is looked at by the COMMIT
    def leaves_it(tx: Tx) -> str:
        tx.run(ADD, id="half", balance=0)
        tx.run(ADD_CARD, id="c", account_id="nobody")
        return "done"

    # when
    with pytest.raises((ConstraintError, StoreUnavailableError)):
        await store.write(leaves_it)

    # then nothing of it is there, and the store goes on
    await store.write(add("after"))
    assert await ids(store) == ["after"]


async def test_a_cancelled_caller_does_not_disturb_its_batch(store: Store) -> None:
    # given three writes that wait for one commit
    gate = Gate()
    held = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.entered.wait)
    first, cancelled, last = (
        asyncio.ensure_future(store.write(add(name))) for name in ("first", "cancelled", "last")
    )
    await asyncio.sleep(0)

    # when the one in the middle is cancelled
    cancelled.cancel()
    await asyncio.sleep(0)
    gate.opened.set()

    # then the others are answered, and its effect stands: its caller asks again by its key
    assert [await held, await first, await last] == ["gate", "first", "last"]
    assert cancelled.cancelled()
    assert await ids(store) == ["cancelled", "first", "last"]


async def test_an_exception_that_no_future_takes_still_reaches_the_caller(store: Store) -> None:
    """A StopIteration would otherwise kill the answers of the whole batch."""

    def stops(_tx: Tx) -> None:
        raise StopIteration

    stopped, fine = await one_batch(store, stops, add("a"))

    assert isinstance(stopped, RuntimeError)
    assert fine == "a"


async def test_a_transaction_is_over_when_its_closure_returns(store: Store) -> None:
    """Its cursor serves another closure by then."""
    for kept in (await store.write(lambda tx: tx), await store.read(lambda tx: tx)):
        with pytest.raises(RuntimeError):
            kept.one(GET, id="a")


async def test_bells_ring_after_the_commit_and_never_before(engine: Engine) -> None:
    # given
    notifier = LocalNotifier()
    gate = Gate()

    def adds_and_rings(tx: Tx) -> None:
        tx.run(ADD, id="a", balance=0)
        tx.ring("accounts")
        if engine.name != "sqlite":  # there its batch keeps it open
            gate(tx)

    async with engine.open(notifier=notifier, tuning=ONE_BATCH) as store:
        with notifier.bell("accounts") as bell, notifier.bell("others") as silent:
            # when a closure has rung, but its transaction is still open
            wrote = asyncio.ensure_future(store.write(adds_and_rings))
            held = asyncio.ensure_future(store.write(gate))
            await asyncio.to_thread(gate.entered.wait)
            early = await bell.wait(0)

            # and when it is committed
            gate.opened.set()
            late = await bell.wait(30)

            # then
            assert (early, late) == (False, True)
            assert await ids(store) == ["a"]
            assert not await silent.wait(0)
            await asyncio.gather(wrote, held)


async def test_bells_of_what_was_not_committed_never_ring(engine: Engine) -> None:
    # given
    notifier = LocalNotifier()

    def rings_and_raises(tx: Tx) -> None:
        tx.ring("accounts")
        raise LookupError

    def rings_and_cannot_commit(tx: Tx) -> None:
        tx.ring("accounts")
        tx.run(ADD_CARD, id="c", account_id="nobody")

    async with engine.open(notifier=notifier, tuning=ONE_BATCH) as store:
        with notifier.bell("accounts") as bell:
            # when
            await one_batch(store, rings_and_raises, add("a"))
            after_error = await bell.wait(0)
            await one_batch(store, rings_and_cannot_commit, add("b"))
            after_failed_commit = await bell.wait(0)

            # then
            assert (after_error, after_failed_commit) == (False, False)


async def test_a_read_sees_one_snapshot_from_its_first_row_to_its_last(store: Store) -> None:
    # given a read that pauses in the middle
    reading, go_on = threading.Event(), threading.Event()

    def reads_twice(tx: Tx) -> tuple[list[str], list[str]]:
        before = [row.id for row in tx.all(IDS)]
        reading.set()
        assert go_on.wait(timeout=30)
        return before, [row.id for row in tx.all(IDS)]

    await store.write(add("a"))
    read = asyncio.ensure_future(store.read(reads_twice))
    await asyncio.to_thread(reading.wait)

    # when something is committed meanwhile
    await store.write(add("b"))
    seen_by_another = await ids(store)
    go_on.set()

    # then
    assert await read == (["a"], ["a"])
    assert seen_by_another == ["a", "b"]


async def test_a_read_cannot_write_ring_or_lock(store: Store) -> None:
    for attempt in (
        lambda tx: tx.run(ADD, id="a", balance=0),
        lambda tx: tx.run_many(ADD, [{"id": "a", "balance": 0}]),
        lambda tx: tx.ring("accounts"),
        lambda tx: tx.lock("accounts"),
        lambda tx: tx.one(LOCK, id="a"),
        lambda tx: tx.all(LOCK, id="a"),
    ):
        with pytest.raises(TypeError):
            await store.read(attempt)
    with pytest.raises(StoreUnavailableError):
        await store.read(lambda tx: tx.one(ADD, id="a", balance=0))
    with pytest.raises(StoreUnavailableError):
        await store.fetch(ADD, id="a", balance=0)
    assert await ids(store) == []


async def test_an_error_of_a_read_is_its_own(store: Store) -> None:
    def fails(tx: Tx) -> None:
        tx.all(IDS)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.read(fails)
    assert await ids(store) == []


async def test_closing_commits_and_answers_what_was_accepted(engine: Engine) -> None:
    # given
    async with engine.open() as store:
        writes = [asyncio.ensure_future(store.write(add(f"{n:03}"))) for n in range(100)]
        reads = [asyncio.ensure_future(count(store)) for _ in range(10)]
        await asyncio.sleep(0)
        # when the store closes at once

    # then
    assert [write.result() for write in writes] == [f"{n:03}" for n in range(100)]
    assert all(0 <= read.result() <= 100 for read in reads)
    async with engine.open() as again:
        assert await count(again) == 100


async def test_a_closed_store_takes_nothing(engine: Engine) -> None:
    async with engine.open() as store:
        pass

    with pytest.raises(StoreUnavailableError):
        await store.write(add("late"))
    with pytest.raises(StoreUnavailableError):
        await ids(store)


async def test_a_store_tells_what_it_is(engine: Engine, store: Store) -> None:
    assert store.info.engine == engine.name
    assert store.info.durability == "full"
    assert store.info.version
