"""The answers of mutating calls, in the transaction of their effects."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.caller import Caller, Principal, Replay, once
from services.chassis.errors import IdempotencyConflictError
from services.chassis.store.idempotency import TxRequestLog
from services.chassis.store.port import Store, Tx
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Gate, add, ids
from tests.contract.chassis_store.schema import requests
from tests.support.callers import keyed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALLER = Caller(Principal("default", frozenset(), "alice"), "/a.B/C", "run-1")
_KEYS = statement(requests.select().order_by(requests.c.key))


def keyed_as(caller: Caller, key: str = "k1", content: bytes = b"one") -> Caller:
    return keyed(caller, key, content, str.encode)


KEYED = keyed_as(CALLER)


def answered_once(
    caller: Caller, effect: Callable[[Tx], str], now: datetime = NOW
) -> Callable[[Tx], str | Replay]:
    return lambda tx: once(TxRequestLog(tx, requests, now), caller, lambda: effect(tx))


async def create(store: Store, id_: str, caller: Caller, now: datetime = NOW) -> str | Replay:
    return await store.write(answered_once(caller, add(id_), now))


async def test_a_repeat_gets_the_first_answer_and_no_second_effect(store: Store) -> None:
    first = await create(store, "a", KEYED)
    again = await create(store, "b", KEYED)

    assert first == "a"
    assert again == Replay(b"a")
    assert await ids(store) == ["a"]


async def test_a_repeat_that_overtakes_its_first_waits_for_its_answer(store: Store) -> None:
    """Both would else find no answer, and both would act."""
    # given a call that is not committed yet
    gate, repeating = Gate(), threading.Event()

    def first(tx: Tx) -> str:
        gate(tx)
        return add("a")(tx)

    def second(tx: Tx) -> str | Replay:
        repeating.set()
        return answered_once(KEYED, lambda _tx: "acted twice")(tx)

    held = await gate.held_by(store, answered_once(KEYED, first))

    # when it is repeated meanwhile; one writer does not even begin with that
    repeat = asyncio.ensure_future(store.write(second))
    if not store.sole_owner:
        await asyncio.to_thread(repeating.wait)
    gate.opened.set()

    # then
    assert await held == "a"
    assert await repeat == Replay(b"a")


async def test_the_same_key_with_other_content_is_a_conflict(store: Store) -> None:
    # given
    await create(store, "a", KEYED)
    other = keyed_as(CALLER, content=b"two")

    # when
    with pytest.raises(IdempotencyConflictError) as conflict:
        await create(store, "b", other)

    # then
    assert conflict.value.metadata == {"request_id": "k1", "method": "/a.B/C"}
    assert await ids(store) == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        keyed_as(replace(CALLER, principal=replace(CALLER.principal, tenant="another"))),
        keyed_as(replace(CALLER, principal=replace(CALLER.principal, name="bob"))),
        keyed_as(replace(CALLER, principal=replace(CALLER.principal, on_behalf_of="bob"))),
        keyed_as(replace(CALLER, acting_run="run-2")),
        keyed_as(replace(CALLER, acting_run="")),
        keyed_as(replace(CALLER, method="/a.B/D")),
        keyed_as(CALLER, "k2"),
        CALLER,
    ],
)
async def test_another_caller_method_or_key_never_gets_the_stored_answer(
    store: Store, other: Caller
) -> None:
    # given
    await create(store, "a", KEYED)

    # when the same content comes from another one, or without a key
    answer = await create(store, "b", other)

    # then
    assert answer == "b"


async def test_whom_a_service_acts_for_is_the_one_who_is_answered(store: Store) -> None:
    """A restarted service, or another one, repeats for the same person."""
    # given
    await create(store, "a", KEYED)
    service = replace(CALLER.principal, name="gateway", on_behalf_of="alice")

    # when
    repeat = keyed_as(replace(CALLER, principal=service))

    # then
    assert await create(store, "b", repeat) == Replay(b"a")


async def test_errors_are_not_remembered(store: Store) -> None:
    """A repeat after a refusal decides anew."""

    # given
    def fails(tx: Tx) -> str:
        add("half")(tx)
        raise LookupError

    with pytest.raises(LookupError):
        await store.write(answered_once(KEYED, fails))

    # when, then
    assert await create(store, "a", KEYED) == "a"
    assert await ids(store) == ["a"]


async def test_an_answer_is_kept_for_seven_days_and_not_longer(store: Store) -> None:
    # given
    await create(store, "a", KEYED)

    # when
    last_moment = await create(store, "b", KEYED, NOW + timedelta(days=7, microseconds=-1))
    too_late = await create(store, "c", KEYED, NOW + timedelta(days=7))

    # then the key is free again
    assert last_moment == Replay(b"a")
    assert too_late == "c"
    assert await create(store, "d", KEYED, NOW + timedelta(days=7)) == Replay(b"c")


async def test_answers_that_ran_out_are_cleared_by_later_ones(store: Store) -> None:
    # given six answers
    for number in range(6):
        await create(store, f"old{number}", keyed_as(CALLER, f"old{number}"))

    # when two more come after those have run out
    later = NOW + timedelta(days=8)
    for name in ("new1", "new2"):
        await create(store, name, keyed_as(CALLER, name), later)

    # then
    assert [row.key for row in await store.fetch(_KEYS)] == ["new1", "new2"]
