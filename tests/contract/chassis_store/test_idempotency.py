"""The answers of mutating calls, in the transaction of their effects."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.caller import Replay, RequestKey, once
from services.chassis.errors import IdempotencyConflictError
from services.chassis.idempotency import TxRequestLog
from services.chassis.store.port import Store, Tx
from services.chassis.store.statement import statement
from tests.contract.chassis_store.engines import Gate, ids
from tests.contract.chassis_store.schema import ADD, requests

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = RequestKey(tenant="default", method="/a.B/C", key="k1", digest=b"\x01one")
_KEYS = statement(requests.select().order_by(requests.c.key))


async def create(
    store: Store, id_: str, key: RequestKey | None, now: datetime = NOW
) -> str | Replay:
    def effect(tx: Tx) -> str:
        tx.run(ADD, id=id_, balance=0)
        return id_

    return await store.write(
        lambda tx: once(TxRequestLog(tx, requests, now), key, lambda: effect(tx), str.encode)
    )


async def test_a_repeat_gets_the_first_answer_and_no_second_effect(store: Store) -> None:
    first = await create(store, "a", KEY)
    again = await create(store, "b", KEY)

    assert first == "a"
    assert again == Replay(b"a")
    assert await ids(store) == ["a"]


async def test_a_repeat_that_overtakes_its_first_waits_for_its_answer(store: Store) -> None:
    """Both would else find no answer, and both would act."""
    # given a call that is not committed yet
    gate, repeating = Gate(), threading.Event()

    def first(tx: Tx) -> str:
        gate(tx)
        tx.run(ADD, id="a", balance=0)
        return "a"

    def second(tx: Tx) -> str | Replay:
        repeating.set()
        return once(TxRequestLog(tx, requests, NOW), KEY, lambda: "acted twice", str.encode)

    held = asyncio.ensure_future(
        store.write(
            lambda tx: once(TxRequestLog(tx, requests, NOW), KEY, lambda: first(tx), str.encode)
        )
    )
    await asyncio.to_thread(gate.entered.wait)

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
    await create(store, "a", KEY)
    other = RequestKey(KEY.tenant, KEY.method, KEY.key, digest=b"\x01two")

    # when
    with pytest.raises(IdempotencyConflictError) as conflict:
        await create(store, "b", other)

    # then
    assert conflict.value.metadata == {"request_id": "k1", "method": "/a.B/C"}
    assert await ids(store) == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        RequestKey("another", KEY.method, KEY.key, KEY.digest),
        RequestKey(KEY.tenant, "/a.B/D", KEY.key, KEY.digest),
        RequestKey(KEY.tenant, KEY.method, "k2", KEY.digest),
        None,
    ],
)
async def test_keys_are_scoped_to_tenant_and_method(store: Store, other: RequestKey | None) -> None:
    await create(store, "a", KEY)
    assert await create(store, "b", other) == "b"


async def test_errors_are_not_remembered(store: Store) -> None:
    """A repeat after a refusal decides anew."""

    # given
    def fails(tx: Tx) -> str:
        tx.run(ADD, id="half", balance=0)
        raise LookupError

    with pytest.raises(LookupError):
        await store.write(
            lambda tx: once(TxRequestLog(tx, requests, NOW), KEY, lambda: fails(tx), str.encode)
        )

    # when, then
    assert await create(store, "a", KEY) == "a"
    assert await ids(store) == ["a"]


async def test_an_answer_is_kept_for_seven_days_and_not_longer(store: Store) -> None:
    # given
    await create(store, "a", KEY)

    # when
    last_moment = await create(store, "b", KEY, NOW + timedelta(days=7, microseconds=-1))
    too_late = await create(store, "c", KEY, NOW + timedelta(days=7))

    # then the key is free again
    assert last_moment == Replay(b"a")
    assert too_late == "c"
    assert await create(store, "d", KEY, NOW + timedelta(days=7)) == Replay(b"c")


async def test_answers_that_ran_out_are_cleared_by_later_ones(store: Store) -> None:
    # given six answers
    for number in range(6):
        key = RequestKey("default", "/a.B/C", f"old{number}", b"d")
        await create(store, f"old{number}", key)

    # when two more come after those have run out
    later = NOW + timedelta(days=8)
    for name in ("new1", "new2"):
        await create(store, name, RequestKey("default", "/a.B/C", name, b"d"), later)

    # then
    assert [row.key for row in await store.fetch(_KEYS)] == ["new1", "new2"]
