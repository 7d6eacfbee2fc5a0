"""What a delivery costs in statements: more only where lanes have to be claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from services.chassis.outbox.rows import statements_of
from services.chassis.outbox.sender import SenderTuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.statement import Statement
from tests.contract.chassis_store.engines import Engine
from tests.contract.chassis_store.outbox.senders import open_sender
from tests.contract.chassis_store.schema import ADD, outbox

_SQL = statements_of(outbox)
_NAMES = {id(getattr(_SQL, name)): name for name in _SQL.__slots__} | {id(ADD): "settle"}


class _CountingTx:
    """Counts what a closure executes; a lock is a statement where there is more than one writer."""

    def __init__(self, tx: Tx, counts: Counter[str], *, locks: bool) -> None:
        self._tx = tx
        self._counts = counts
        self._locks = locks

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._tx, name)

        def counted(statement: Statement, **params: object) -> Any:
            self._counts[_NAMES.get(id(statement), "other")] += 1
            return method(statement, **params)

        return counted if name in {"one", "all", "run", "changed"} else method

    def lock(self, name: str) -> None:
        if self._locks:
            self._counts["lock"] += 1
        self._tx.lock(name)


def _count(store: Store, counts: Counter[str]) -> None:
    """Count the statements of ``store`` from now on."""
    for verb in ("write", "read"):
        real: Callable[..., Any] = getattr(store, verb)

        async def counted(
            fn: Callable[[Tx], Any], real: Callable[..., Any] = real, verb: str = verb
        ) -> Any:
            counts[verb] += 1
            locks = not store.sole_owner
            return await real(lambda tx: fn(_CountingTx(tx, counts, locks=locks)))

        setattr(store, verb, counted)


async def _cost(engine: Engine) -> Counter[str]:
    """Of ten rows in one lane, from the put on."""
    counts: Counter[str] = Counter()
    async with open_sender(engine, tuning=SenderTuning(rows_per_turn=100)) as sender:
        _count(sender.view, counts)
        await sender.send(*(f"lane/{number}" for number in range(10)))
    return counts


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_ten_deliveries_of_a_sender_that_is_alone(engine: Engine) -> None:
    counts = await _cost(engine)

    # two looks, of which the second finds nothing; one prune of delivered rows, one of dead ones
    assert counts == {
        "put": 10, "due": 2, "next_due": 2, "settle": 10, "close": 10, "promote": 10, "prune": 2,
        "read": 2, "write": 12,
    }  # fmt: skip


async def test_ten_deliveries_of_one_sender_among_several(shared_engine: Engine) -> None:
    counts = await _cost(shared_engine)

    # a look claims; each put and each end locks the lane; nothing is renewed, the stop releases
    assert counts == {
        "put": 10, "claim": 2, "next_claim": 2, "settle": 10, "close": 10, "promote": 10,
        "lock": 20, "prune": 2, "release_all": 1, "write": 15,
    }  # fmt: skip
