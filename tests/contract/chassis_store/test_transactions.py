"""What every engine promises about closures, commits and their callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from services.chassis.errors import StoreUnavailableError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.slices import AbandonedError, Slices
from services.chassis.store.errors import ConstraintError
from services.chassis.store.opening import Tuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres.store import PostgresTuning
from services.chassis.store.sqlite.store import SqliteTuning
from services.chassis.store.statement import statement
from tests.contract.chassis_store import schema
from tests.contract.chassis_store.engines import (
    Engine,
    Gate,
    add,
    add_and_notify,
    add_whole,
    balance,
    balance_in,
    ids,
    one_batch,
)


async def test_a_write_answers_its_closure_and_is_read_by_everyone(store: Store) -> None:
    # when
    answer = await store.write(add("a"))

    # then
    assert answer == "a"
    assert await ids(store) == ["a"]
    assert [row.id for row in await store.fetch(schema.IDS)] == ["a"]


async def test_every_column_type_comes_back_as_it_went_in(store: Store) -> None:
    # given
    seen_at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    values = {"balance": 2**62, "open": True, "seen_at": seen_at, "photo": b"\x00\xff"}

    # when
    await store.write(add_whole("é'/%😀", **values))
    (row,) = await store.read(lambda tx: tx.all(schema.GET, id="é'/%😀"))
    (listed,) = await store.fetch(schema.GET, id="é'/%😀")

    # then
    assert tuple(row) == ("é'/%😀", 2**62, True, seen_at, b"\x00\xff")
    assert row == listed
    assert row.open is True


async def test_null_stays_none_in_every_type(store: Store) -> None:
    await store.write(add_whole("a"))
    (row,) = await store.read(lambda tx: tx.all(schema.GET, id="a"))
    assert tuple(row) == ("a", 0, None, None, None)


async def test_a_naive_instant_is_refused(store: Store) -> None:
    """Nobody can know which hour it means."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # the point of the test
    with pytest.raises(TypeError):
        await store.write(add_whole("a", seen_at=naive))
    assert await ids(store) == []


async def test_one_is_none_and_all_is_empty_without_rows(store: Store) -> None:
    assert await store.read(lambda tx: tx.one(schema.GET, id="nobody")) is None
    assert await store.read(lambda tx: tx.all(schema.GET, id="nobody")) == []


@pytest.mark.parametrize(
    ("closure", "answer", "added"),
    [
        (lambda tx: tx.one(schema.ADD, id="a", balance=1), None, ["a"]),
        (lambda tx: tx.all(schema.ADD, id="a", balance=1), [], ["a"]),
        (lambda tx: tx.run(schema.ADD, id="a", balance=1), None, ["a"]),
        (lambda tx: tx.run_many(schema.ADD, []), None, []),
    ],
    ids=["one", "all", "run", "no rows to write"],
)
async def test_a_change_that_returns_nothing_has_no_rows(
    store: Store, closure: Callable[[Tx], object], answer: object, added: list[str]
) -> None:
    assert await store.write(closure) == answer
    assert await ids(store) == added


async def test_changed_counts_the_rows_it_touched(store: Store) -> None:
    # given
    await store.write(lambda tx: tx.run_many(schema.ADD, [{"id": n, "balance": 1} for n in "ab"]))

    # when
    touched = await store.write(lambda tx: tx.changed(schema.DEPOSIT, id="a", amount=5))
    missed = await store.write(lambda tx: tx.changed(schema.DEPOSIT, id="z", amount=5))

    # then
    assert (touched, missed) == (1, 0)
    assert await balance(store, "a") == 6
    assert await balance(store, "b") == 1


async def test_a_closure_reads_its_own_writes(store: Store) -> None:
    def closure(tx: Tx) -> int:
        tx.run(schema.ADD, id="a", balance=3)
        tx.run(schema.DEPOSIT, id="a", amount=4)
        return balance_in(tx, "a")

    assert await store.write(closure) == 7


async def test_no_update_is_lost_among_concurrent_closures(store: Store) -> None:
    """What a command decides on is read inside its closure."""
    # given
    await store.write(add("a"))

    # when
    answers = await asyncio.gather(
        *(store.write(lambda tx: tx.changed(schema.DEPOSIT, id="a", amount=1)) for _ in range(300))
    )

    # then
    assert answers == [1] * 300
    assert await balance(store, "a") == 300


async def test_a_closure_that_raises_undoes_only_itself(store: Store) -> None:
    # given
    def half_done(tx: Tx) -> None:
        tx.run(schema.ADD, id="half", balance=0)
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
        await store.write(lambda tx: tx.run(schema.ADD, id="a", balance="much"))
    assert await ids(store) == []


async def test_text_that_only_one_engine_could_hold_is_refused_by_both(store: Store) -> None:
    """Bytes take everything; a NUL in a text would be found when the engine is changed."""
    with pytest.raises(ConstraintError):
        await store.write(add("a\0b"))
    with pytest.raises(ConstraintError):
        await store.read(lambda tx: tx.one(schema.GET, id="\0"))
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
    assert [row.id for row in await store.fetch(schema.BEYOND, after="Z")] == by_code_point[3:]


async def test_sums_and_counts_are_integers(store: Store) -> None:
    """PostgreSQL has a type of its own for the sum of wide integers."""
    rows = [{"id": name, "balance": 2**40} for name in "ab"]
    await store.write(lambda tx: tx.run_many(schema.ADD, rows))

    (row,) = await store.fetch(schema.TOTAL)

    assert tuple(row) == (2**41, 2)
    assert [type(each) for each in row] == [int, int]


async def test_many_rows_are_written_all_or_none(store: Store) -> None:
    rows = [{"id": name, "balance": 1} for name in ("a", "b", "a")]
    with pytest.raises(ConstraintError):
        await store.write(lambda tx: tx.run_many(schema.ADD, rows))
    assert await ids(store) == []
    assert rows[0] == {"id": "a", "balance": 1}


async def test_many_rows_are_written_no_further_once_their_call_has_ended(store: Store) -> None:
    # given 2,000 rows, and a call that ends after 1,200 of them
    slices, taken = Slices(), 0

    def rows() -> Iterator[dict[str, object]]:
        nonlocal taken
        for taken in range(1, 2_001):
            if taken == 1_200:
                slices.abandon()
            yield {"id": f"{taken}", "balance": 1}

    # when they are written
    with pytest.raises(AbandonedError):
        await store.write(slices.within(lambda tx: tx.run_many(schema.ADD, rows())))

    # then the rest is not, and nothing is stored
    assert taken == 1_200
    assert await ids(store) == []


async def test_a_database_error_ends_the_closure_even_when_caught(store: Store) -> None:
    """On PostgreSQL the transaction has failed; code must not come to rely on another engine."""

    def swallows(tx: Tx) -> str:
        tx.run(schema.ADD, id="b", balance=0)
        try:
            tx.run(schema.ADD, id="a", balance=0)
        except Exception:
            tx.run(schema.ADD, id="c", balance=0)
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
        tx.run(schema.ADD, id="half", balance=0)
        tx.run(schema.ADD_CARD, id="c", account_id="nobody")
        return "done"

    # when
    with pytest.raises((ConstraintError, StoreUnavailableError)):
        await store.write(leaves_it)

    # then nothing of it is there, and the store goes on
    await store.write(add("after"))
    assert await ids(store) == ["after"]


async def test_a_cancelled_caller_does_not_disturb_its_batch(
    store: Store, notifier: LocalNotifier
) -> None:
    with notifier.signal("log") as committed:
        # given three accepted writes, which SQLite commits together
        gate = Gate()
        held = await gate.held_by(store)
        first, cancelled, last = (
            asyncio.ensure_future(store.write(each))
            for each in (add("first"), add_and_notify("cancelled"), add("last"))
        )
        await asyncio.sleep(0)

        # when the one in the middle is cancelled
        cancelled.cancel()
        gate.opened.set()

        # then the others are answered
        assert [await held, await first, await last] == ["gate", "first", "last"]
        assert cancelled.cancelled()

        # and its effect stands, which PostgreSQL may commit after theirs: its caller asks
        # again by its key
        assert await committed.wait(30)
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
            kept.one(schema.GET, id="a")


async def test_signals_are_notified_after_the_commit_and_never_before(
    engine: Engine, store: Store, notifier: LocalNotifier
) -> None:
    # given
    gate = Gate()

    def adds_and_notifies(tx: Tx) -> None:
        tx.run(schema.ADD, id="a", balance=0)
        tx.notify("accounts")
        if engine.name != "sqlite":  # there its batch keeps it open
            gate(tx)

    with notifier.signal("accounts") as signal, notifier.signal("others") as silent:
        # when a closure has notified, but its transaction is still open
        wrote = asyncio.ensure_future(store.write(adds_and_notifies))
        held = await gate.held_by(store)
        early = await signal.wait(0)

        # and when it is committed
        gate.opened.set()
        late = await signal.wait(30)

        # then
        assert (early, late) == (False, True)
        assert await ids(store) == ["a"]
        assert not await silent.wait(0)
        await asyncio.gather(wrote, held)


async def test_what_was_not_committed_notifies_nobody(
    store: Store, notifier: LocalNotifier
) -> None:
    # given

    def notifies_and_raises(tx: Tx) -> None:
        tx.notify("accounts")
        raise LookupError

    def notifies_and_cannot_commit(tx: Tx) -> None:
        tx.notify("accounts")
        tx.run(schema.ADD_CARD, id="c", account_id="nobody")

    with notifier.signal("accounts") as signal:
        # when
        await one_batch(store, notifies_and_raises, add("a"))
        after_error = await signal.wait(0)
        await one_batch(store, notifies_and_cannot_commit, add("b"))
        after_failed_commit = await signal.wait(0)

        # then
        assert (after_error, after_failed_commit) == (False, False)


async def test_a_read_sees_one_snapshot_from_its_first_row_to_its_last(store: Store) -> None:
    # given a read that pauses in the middle
    gate = Gate()

    def reads_twice(tx: Tx) -> tuple[list[str], list[str]]:
        before = [row.id for row in tx.all(schema.IDS)]
        gate(tx)
        return before, [row.id for row in tx.all(schema.IDS)]

    await store.write(add("a"))
    read = asyncio.ensure_future(store.read(reads_twice))
    await asyncio.to_thread(gate.entered.wait)

    # when something is committed meanwhile
    await store.write(add("b"))
    seen_by_another = await ids(store)
    gate.opened.set()

    # then
    assert await read == (["a"], ["a"])
    assert seen_by_another == ["a", "b"]


async def test_a_read_cannot_write_notify_or_lock(store: Store) -> None:
    for attempt in (
        lambda tx: tx.run(schema.ADD, id="a", balance=0),
        lambda tx: tx.changed(schema.ADD, id="a", balance=0),
        lambda tx: tx.run_many(schema.ADD, [{"id": "a", "balance": 0}]),
        lambda tx: tx.notify("accounts"),
        lambda tx: tx.lock("accounts"),
        lambda tx: tx.one(schema.LOCK, id="a"),
        lambda tx: tx.all(schema.LOCK, id="a"),
    ):
        with pytest.raises(TypeError):
            await store.read(attempt)
    with pytest.raises(StoreUnavailableError):
        await store.read(lambda tx: tx.one(schema.ADD, id="a", balance=0))
    with pytest.raises(StoreUnavailableError):
        await store.fetch(schema.ADD, id="a", balance=0)
    assert await ids(store) == []


def reads_without_end(tx: Tx) -> None:
    while True:
        tx.one(schema.GET, id="a")


@pytest.mark.parametrize(
    "closure",
    [lambda tx: tx.one(schema.ENDLESS), reads_without_end],
    ids=["one endless", "endlessly many"],
)
async def test_a_read_that_takes_too_long_is_stopped(
    engine: Engine, closure: Callable[[Tx], object]
) -> None:
    """It would pin the write-ahead log of SQLite, and keep dead rows of PostgreSQL from going."""
    limits = Tuning(
        sqlite=SqliteTuning(readers=1, read_limit_s=0.05),
        postgres=PostgresTuning(connections=2, read_limit_s=0.05),
    )
    async with engine.open(tuning=limits) as store:
        with pytest.raises(StoreUnavailableError) as stopped:
            await store.read(closure)
        assert stopped.value.metadata == {"cause": "READ_TOO_LONG"}
        assert stopped.value.retry_after_s == 1.0
        # and the thread takes the next one
        assert await ids(store) == []


async def test_an_error_of_a_read_is_its_own(store: Store) -> None:
    def fails(tx: Tx) -> None:
        tx.all(schema.IDS)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.read(fails)
    assert await ids(store) == []


async def test_a_mistake_in_a_statement_is_not_taken_for_an_outage(store: Store) -> None:
    """A caller that repeats an SQL mistake would never be told."""
    broken = statement(text("SELECT x FROM nowhere"))
    for attempt in (store.write, store.read):
        with pytest.raises(Exception, match="nowhere") as raised:
            await attempt(lambda tx: tx.all(broken))
        assert not isinstance(raised.value, StoreUnavailableError)


async def test_closing_commits_and_answers_what_was_accepted(engine: Engine) -> None:
    # given
    async with engine.open() as store:
        writes = [asyncio.ensure_future(store.write(add(f"{n:03}"))) for n in range(100)]
        reads = [asyncio.ensure_future(ids(store)) for _ in range(10)]
        await asyncio.sleep(0)
        # when the store closes at once

    # then
    assert [write.result() for write in writes] == [f"{n:03}" for n in range(100)]
    assert all(0 <= len(read.result()) <= 100 for read in reads)
    async with engine.open() as again:
        assert len(await ids(again)) == 100


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
