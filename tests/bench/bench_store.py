"""``make bench-store``: the store against the same statements awaited one by one.

The work is one cycle of ``store_cycle``, submit, claim and acknowledge: 28 statements in 3
transactions, whose docstring says what each of them is. Both arms execute the same SQL with the
same parameters on SQLite with WAL and ``synchronous=FULL``, on the same disk, in turns:

store                every transaction is a closure for the writer thread; group commit
await per statement  aiosqlite: one connection, a lock around BEGIN IMMEDIATE … COMMIT, and one
                     await per statement, as code looks that was made asynchronous call by call
PostgreSQL           the same closures on the server that the tests use, eight connections, with
                     whatever disk it has; absent where none answers
PostgreSQL, plain    the same with the cursor of psycopg, as it was before the store had pipelines:
                     a round trip for each statement, prepared, with binary parameters
PostgreSQL, single   the same with the connection of the store, a round trip for each statement

    python -m tests.bench.bench_store [--rounds 9] [--seconds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import aiosqlite
import pytest
from psycopg import RawCursor

from services.chassis.clock import SystemClock
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.ids import Uuid7Source
from services.chassis.store.opening import open_store
from services.chassis.store.port import Row, Store, Tx
from services.chassis.store.postgres import attempts
from services.chassis.store.postgres.tx import PostgresTx
from services.chassis.store.postgres.wire import Wire
from services.chassis.store.statement import Statement
from tests.bench.report import Report, median_ratio, scratch
from tests.bench.store_cycle import ADD_THREAD, METADATA, STATEMENTS_PER_CYCLE, Mailbox, Transaction
from tests.support.postgres import answers, fresh_schema, server_url

_RATIO = "cycles_vs_await_per_statement_{}"
_PG_RATIOS = {
    "pg_latency_vs_unpipelined_1": ("PostgreSQL, plain", 1),
    "pg_cycles_vs_unpipelined_32": ("PostgreSQL, plain", 32),
    "pg_latency_vs_single_1": ("PostgreSQL, single", 1),
    "pg_cycles_vs_single_32": ("PostgreSQL, single", 32),
}
_CONCURRENCIES = (1, 32)
_TARGETS = {
    _RATIO.format(32): 15.0,
    "pg_latency_vs_unpipelined_1": 1.5,
    "pg_cycles_vs_unpipelined_32": 1.1,
}


class Arm(Protocol):
    async def add(self, mailbox: Mailbox) -> None: ...

    async def execute(self, transaction: Callable[[], Transaction]) -> None: ...


OpenArm: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Arm]]


class StoreArm:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, mailbox: Mailbox) -> None:
        await self._store.write(lambda tx: tx.run(ADD_THREAD, **mailbox.new_thread()))

    async def execute(self, transaction: Callable[[], Transaction]) -> None:
        await self._store.write(lambda tx: _drive(tx, transaction()))


def _drive(tx: Tx, steps: Transaction) -> None:
    row = None
    try:
        while True:
            statement, params = steps.send(row)
            row = None
            if statement.is_change:
                tx.run(statement, **params)
            else:
                row = tx.one(statement, **params)
    except StopIteration:
        return


class AwaitArm:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    async def add(self, mailbox: Mailbox) -> None:
        statement = ADD_THREAD.sqlite
        await self._connection.execute(statement.text, statement.bind(mailbox.new_thread()))

    async def execute(self, transaction: Callable[[], Transaction]) -> None:
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            await self._steps(transaction())
            await self._connection.execute("COMMIT")

    async def _steps(self, steps: Transaction) -> None:
        row: Any = None
        try:
            while True:
                statement, params = steps.send(row)
                compiled = statement.sqlite
                bound = compiled.bind(params)
                if not compiled.text.startswith("SELECT"):
                    await self._connection.execute(compiled.text, bound)
                    row = None
                    continue
                async with self._connection.execute(compiled.text, bound) as cursor:
                    raw = await cursor.fetchone()
                row = None if raw is None else compiled.row(raw)
        except StopIteration:
            return


@dataclass(slots=True)
class Measured:
    """Every round of one arm at one concurrency."""

    rates: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.latencies_s, n=100)
        rate = statistics.median(self.rates)
        return {
            "cycles_per_s": rate,
            "statements_per_s": rate * STATEMENTS_PER_CYCLE,
            "slowest_round": min(self.rates),
            "fastest_round": max(self.rates),
            "cycle_p50_ms": cuts[49] * 1000,
            "cycle_p99_ms": cuts[98] * 1000,
        }


@asynccontextmanager
async def _store_arm(folder: Path) -> AsyncIterator[StoreArm]:
    async with _opened(f"sqlite:///{folder / 'store.db'}") as store:
        yield StoreArm(store)


@asynccontextmanager
async def _postgres_arm(_folder: Path) -> AsyncIterator[StoreArm]:
    with fresh_schema(server_url()) as url:
        async with _opened(url) as store:
            yield StoreArm(store)


class SingleTx(PostgresTx):
    """Sends every statement by itself."""

    def _add(self, text: str, params: tuple[Any, ...]) -> None:
        if self._waiting:
            self._flush()
        super()._add(text, params)

    def _wait(self, text: str, params: tuple[Any, ...]) -> None:
        self._execute(text, params)


class PlainTx(PostgresTx):
    """Sends every statement by itself, through a cursor of psycopg."""

    def __init__(self, wire: Wire, begin: str) -> None:
        super().__init__(wire, begin)
        wire.connection.prepare_threshold = 0
        self._cursor = RawCursor(wire.connection)
        self._waiting = []
        self._begun = True
        self._cursor.execute(begin)

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        compiled = statement.postgresql
        self._cursor.execute(compiled.text, compiled.bind(params), binary=True)
        raw = self._cursor.fetchone()
        return None if raw is None else compiled.row(raw)

    def run(self, statement: Statement, /, **params: object) -> None:
        compiled = statement.postgresql
        self._cursor.execute(compiled.text, compiled.bind(params), binary=True)

    def commit(self) -> None:
        self._cursor.execute("COMMIT")


def _postgres_arm_with(tx: type[PostgresTx]) -> OpenArm:
    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[StoreArm]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attempts, "PostgresTx", tx)
            async with _postgres_arm(folder) as arm:
                yield arm

    return opened


def _opened(url: str) -> AbstractAsyncContextManager[Store]:
    return open_store(
        url,
        metadata=METADATA,
        migrations=Path(__file__).parent / "store_migrations",
        notifier=LocalNotifier(SystemClock()),
    )


@asynccontextmanager
async def _await_arm(folder: Path) -> AsyncIterator[AwaitArm]:
    """The pragmas, the schema and the statement cache are those of the store."""
    async with aiosqlite.connect(
        folder / "await.db", isolation_level=None, cached_statements=1024
    ) as connection:
        wal = "journal_mode=WAL", "wal_autocheckpoint=4000"
        for pragma in (*wal, "synchronous=FULL", "foreign_keys=1"):
            await connection.execute(f"PRAGMA {pragma}")
        await connection.executescript(_schema())
        yield AwaitArm(connection)


def _schema() -> str:
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415  # beside its only use
    from sqlalchemy.schema import CreateIndex, CreateTable  # noqa: PLC0415

    dialect = sqlite.dialect()
    tables = METADATA.sorted_tables
    indexes = [index for table in tables for index in table.indexes]
    ddl = [CreateTable(table) for table in tables] + [CreateIndex(index) for index in indexes]
    return ";".join(str(each.compile(dialect=dialect)) for each in ddl)


_ARMS: Mapping[str, OpenArm] = {
    "store": _store_arm,
    "await per statement": _await_arm,
}
_POSTGRES_ARMS: Mapping[str, OpenArm] = {
    "PostgreSQL": _postgres_arm,
    "PostgreSQL, plain": _postgres_arm_with(PlainTx),
    "PostgreSQL, single": _postgres_arm_with(SingleTx),
}


async def _round(arm: Arm, mailboxes: list[Mailbox], seconds: float, into: Measured) -> None:
    stop_s = time.perf_counter() + seconds

    async def work(mailbox: Mailbox) -> int:
        done = 0
        while (began_s := time.perf_counter()) < stop_s:
            for transaction in mailbox.transactions():
                await arm.execute(transaction)
            done += 1
            into.latencies_s.append(time.perf_counter() - began_s)
        return done

    began_s = time.perf_counter()
    counts = await asyncio.gather(*map(work, mailboxes))
    into.rates.append(sum(counts) / (time.perf_counter() - began_s))


@contextmanager
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def measure(folder: Path, rounds: int, seconds: float) -> dict[tuple[str, int], Measured]:
    """The arms in turns, each time on a new database and with new threads.

    How the scheduler places two threads decides what a hand-over costs, and stays that way for as
    long as they live: one pair of threads would measure one throw of the dice.
    """
    results: dict[tuple[str, int], Measured] = {}
    arms = {**_ARMS, **_POSTGRES_ARMS} if answers(server_url()) else _ARMS
    for number in range(rounds):
        for concurrency in _CONCURRENCIES:
            for name, opened in arms.items():
                place = folder / f"{number}-{concurrency}-{name}"
                place.mkdir()
                into = results.setdefault((name, concurrency), Measured())
                async with opened(place) as arm:
                    mailboxes = await _mailboxes(arm, concurrency)
                    # Warm: statement caches, pages, files.
                    await _round(arm, mailboxes, seconds / 4, Measured())
                    with _without_collector():
                        await _round(arm, mailboxes, seconds, into)
    return results


async def _mailboxes(arm: Arm, count: int) -> list[Mailbox]:
    # The system's own entropy costs more than a statement, and is not what is measured.
    ids = Uuid7Source(SystemClock(), random.Random(count).randbytes)
    mailboxes = [Mailbox(f"thread-{count}-{number}", ids) for number in range(count)]
    for mailbox in mailboxes:
        await arm.add(mailbox)
    return mailboxes


def report(results: dict[tuple[str, int], Measured]) -> Report:
    pairs = {_RATIO.format(count): ("store", "await per statement", count) for count in (1, 32)}
    if ("PostgreSQL", 1) in results:
        pairs |= {name: ("PostgreSQL", *other) for name, other in _PG_RATIOS.items()}
    ratios = {
        name: median_ratio(results[ours, count].rates, results[theirs, count].rates)
        for name, (ours, theirs, count) in pairs.items()
    }
    arms = {f"{name}, {count}": measured.figures() for (name, count), measured in results.items()}
    return Report("store", arms, ratios, _TARGETS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with scratch() as folder:
        results = asyncio.run(measure(folder, options.rounds, options.seconds))
    report(results).publish()


if __name__ == "__main__":
    main()
