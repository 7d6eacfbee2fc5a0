"""The engines that every test of the store runs on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData

from services.chassis.clock import Clock, SystemClock
from services.chassis.notifier import LocalNotifier, Notifier
from services.chassis.store.opening import SqliteTuning, Tuning, open_store
from services.chassis.store.port import Store, Tx
from services.chassis.store.sqlite_writer import BatchLimits
from tests.contract.chassis_store.schema import ADD, BALANCE, COUNT, IDS, METADATA, MIGRATIONS

# A batch that takes everything that is queued, however slow the machine.
ONE_BATCH = Tuning(sqlite=SqliteTuning(batch=BatchLimits(work_s=60.0)))


@dataclass(frozen=True, slots=True)
class Engine:
    """An empty database of one engine."""

    name: str
    url: str

    def open(
        self,
        *,
        notifier: Notifier | None = None,
        clock: Clock | None = None,
        tuning: Tuning | None = None,
        metadata: MetaData = METADATA,
        migrations: Path = MIGRATIONS,
    ) -> AbstractAsyncContextManager[Store]:
        return open_store(
            self.url,
            metadata=metadata,
            migrations=migrations,
            clock=clock or SystemClock(),
            notifier=notifier or LocalNotifier(),
            tuning=tuning,
        )


def sqlite_engine(folder: Path) -> Engine:
    return Engine("sqlite", f"sqlite:///{folder / 'data' / 'store.db'}")


def engine_of(url: str) -> Engine:
    return Engine(url.partition(":")[0], url)


class Gate:
    """A closure that holds its transaction open, so that others join its batch."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _tx: Tx) -> str:
        self.entered.set()
        assert self.opened.wait(timeout=30)
        return "gate"


async def ids(store: Store) -> list[str]:
    return [row.id for row in await store.read(lambda tx: tx.all(IDS))]


async def count(store: Store) -> int:
    (row,) = await store.read(lambda tx: tx.all(COUNT))
    return int(row.n)


def balance_in(tx: Tx, id_: str) -> int:
    (row,) = tx.all(BALANCE, id=id_)
    return int(row.balance)


async def balance(store: Store, id_: str) -> int:
    return await store.read(lambda tx: balance_in(tx, id_))


def add(id_: str) -> Callable[[Tx], str]:
    """A closure that adds an account and answers its id."""

    def closure(tx: Tx) -> str:
        tx.run(ADD, id=id_, balance=0)
        return id_

    return closure


async def one_batch(store: Store, *closures: Callable[[Tx], object]) -> list[object]:
    """What each closure answered or raised; on SQLite, all of them ran in one commit."""
    gate = Gate()
    held = asyncio.ensure_future(store.write(gate))
    await asyncio.to_thread(gate.entered.wait)
    others = [asyncio.ensure_future(store.write(each)) for each in closures]
    await asyncio.sleep(0)
    gate.opened.set()
    outcomes: list[object] = list(await asyncio.gather(*others, return_exceptions=True))
    await asyncio.gather(held, return_exceptions=True)
    return outcomes
