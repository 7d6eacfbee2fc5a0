"""The engines that every test of the store runs on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.migrating import SchemaState
from services.chassis.store.opening import Tuning, migrate, open_store, verify
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres.store import PostgresTuning
from services.chassis.store.sqlite.store import SqliteTuning
from services.chassis.store.sqlite.writer import BatchLimits
from tests.contract.chassis_store import schema

# A batch that takes everything that is queued, however slow the machine.
ONE_BATCH = Tuning(sqlite=SqliteTuning(batch=BatchLimits(work_s=60.0)))


def postgres_tuning(**numbers: Any) -> Tuning:
    return Tuning(postgres=PostgresTuning(**numbers))


@dataclass(frozen=True, slots=True)
class Engine:
    """An empty database of one engine."""

    url: str

    @property
    def name(self) -> str:
        return self.url.partition(":")[0]

    def open(self, **options: Any) -> AbstractAsyncContextManager[Store]:
        """With the options of ``open_store``; by default, on the tables of these tests."""
        defaults = {"notifier": LocalNotifier(), **schema.OPENING}
        return open_store(self.url, **{**defaults, **options})

    def migrate(self) -> SchemaState:
        return migrate(self.url, metadata=schema.METADATA, migrations=schema.MIGRATIONS)

    def verify(self) -> SchemaState:
        return verify(self.url, metadata=schema.METADATA, migrations=schema.MIGRATIONS)


class Gate:
    """A closure that holds its transaction open, so that others join its batch."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _tx: Tx) -> str:
        self.entered.set()
        assert self.opened.wait(timeout=30)
        return "gate"

    async def held_by(
        self, store: Store, closure: Callable[[Tx], Any] | None = None
    ) -> asyncio.Future[Any]:
        """A write of ``closure``, which calls this, or of this alone; it has arrived here."""
        held = asyncio.ensure_future(store.write(closure or self))
        await asyncio.to_thread(self.entered.wait)
        return held


async def ids(store: Store) -> list[str]:
    return [row.id for row in await store.read(lambda tx: tx.all(schema.IDS))]


def balance_in(tx: Tx, id_: str) -> int:
    (row,) = tx.all(schema.BALANCE, id=id_)
    return int(row.balance)


async def balance(store: Store, id_: str) -> int:
    return await store.read(lambda tx: balance_in(tx, id_))


def add(id_: str) -> Callable[[Tx], str]:
    """A closure that adds an account and answers its id."""

    def closure(tx: Tx) -> str:
        tx.run(schema.ADD, id=id_, balance=0)
        return id_

    return closure


def add_whole(id_: str, **values: object) -> Callable[[Tx], None]:
    """A closure that adds an account with ``values``, and NULL where it has none."""
    row = {"balance": 0, "open": None, "seen_at": None, "photo": None, **values}
    return lambda tx: tx.run(schema.ADD_WHOLE, id=id_, **row)


def add_and_notify(id_: str) -> Callable[[Tx], str]:
    """A closure of two statements and a notification of ``log``, that answers its id."""

    def closure(tx: Tx) -> str:
        tx.run(schema.ADD, id=id_, balance=0)
        tx.run(schema.DEPOSIT, id=id_, amount=1)
        tx.notify("log")
        return id_

    return closure


def add_in_steps(id_: str) -> Callable[[Tx], str]:
    """The same in five statements; the balance is 1 after the last and after no other."""

    def closure(tx: Tx) -> str:
        tx.run(schema.ADD, id=id_, balance=0)
        tx.run_many(schema.DEPOSIT, [{"id": id_, "amount": 2}, {"id": id_, "amount": 2}])
        assert balance_in(tx, id_) == 4
        tx.run(schema.DEPOSIT, id=id_, amount=-3)
        tx.notify("log")
        return id_

    return closure


async def one_batch(store: Store, *closures: Callable[[Tx], object]) -> list[object]:
    """What each closure answered or raised; on SQLite, all of them ran in one commit."""
    _, *outcomes = await batch_of_gate(store, *closures)
    return outcomes


async def batch_of_gate(store: Store, *closures: Callable[[Tx], object]) -> list[object]:
    """The same, and before it what became of the gate that held up their batch."""
    gate = Gate()
    held = await gate.held_by(store)
    others = [asyncio.ensure_future(store.write(each)) for each in closures]
    await asyncio.sleep(0)
    gate.opened.set()
    outcomes: list[object] = await asyncio.gather(held, *others, return_exceptions=True)
    return outcomes
