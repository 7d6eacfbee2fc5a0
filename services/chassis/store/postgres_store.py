"""The store on PostgreSQL: a thread for every connection, closures on each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg
from sqlalchemy import MetaData

from services.chassis.clock import SystemClock
from services.chassis.notifier import Notifier
from services.chassis.store.job import Job
from services.chassis.store.port import Row, Store, StoreInfo, Tx
from services.chassis.store.postgres_attempts import read_once, write_once
from services.chassis.store.postgres_errors import locked_too_long
from services.chassis.store.postgres_frozen import cut_when_frozen
from services.chassis.store.postgres_migrating import ServerFacts, migrate_postgres
from services.chassis.store.postgres_notify import NotifyBridge, notify_bridge
from services.chassis.store.postgres_session import (
    Outage,
    Session,
    SessionKind,
    reading,
    refused,
    writing,
)
from services.chassis.store.postgres_workers import Attempt, Patience, PostgresWorkers, Ring
from services.chassis.store.statement import Statement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PostgresTuning:
    """Numbers that the operator, tests and benchmarks vary.

    Attributes:
        connections: For closures, a quarter of them for reads; lists have one more, closures that
            wait for locks one, wake-ups two.
        read_limit_s: Longest a ``read`` closure may hold its snapshot.
        list_limit_s: Longest statement of a ``fetch``.
        lock_turn_s: Longest wait for a lock on a connection that serves everybody; then the closure
            runs again on the one that is there for those who wait.
        lock_limit_s: Longest wait for a lock there; whoever was accepted longer ago than this gives
            up before another wait.
        write_limit_s: Longest statement of a ``write`` closure.
        frozen_limit_s: Longest closure of any kind; then the server is taken for frozen.
    """

    connections: int = 8
    read_limit_s: float = 2.0
    list_limit_s: float = 30.0
    lock_turn_s: float = 0.25
    lock_limit_s: float = 5.0
    write_limit_s: float = 30.0
    frozen_limit_s: float = 120.0
    patience: Patience = field(default_factory=Patience)

    @property
    def readers(self) -> int:
        return max(1, self.connections // 4)

    @property
    def writers(self) -> int:
        return max(1, self.connections - self.readers)


class PostgresStore:
    """Implements ``port.Store``."""

    def __init__(
        self,
        facts: ServerFacts,
        *,
        writer: PostgresWorkers,
        waiter: PostgresWorkers,
        readers: PostgresWorkers,
        lists: PostgresWorkers,
    ) -> None:
        self._facts = facts
        self._writer = writer
        self._waiter = waiter
        self._readers = readers
        self._lists = lists

    def start(self) -> None:
        for workers in (self._writer, self._waiter, self._readers, self._lists):
            workers.start()

    async def drain(self) -> None:
        """Take nothing more, commit and answer what was accepted."""
        # The waiter last: the writers hand on to it to their end.
        for workers in (self._lists, self._readers, self._writer, self._waiter):
            await workers.drain()

    @property
    def info(self) -> StoreInfo:
        return StoreInfo("postgresql", self._facts.version, self._facts.durability)

    @property
    def sole_owner(self) -> bool:
        return False

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.submit(fn)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._readers.submit(fn)

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        return await self._lists.submit(lambda tx: tx.all(statement, **params))


@asynccontextmanager
async def open_postgres(
    url: str,
    *,
    metadata: MetaData,
    migrations: Path,
    notifier: Notifier,
    tuning: PostgresTuning,
) -> AsyncIterator[Store]:
    _, facts = await asyncio.to_thread(migrate_postgres, url, metadata, migrations)
    async with AsyncExitStack() as stack:
        # Its pauses spare a real server, whatever time it is for the closures.
        bridge = await stack.enter_async_context(notify_bridge(url, notifier, SystemClock()))
        yield await _running(url, facts, _ringing(notifier, bridge), tuning, stack)


def _ringing(notifier: Notifier, bridge: NotifyBridge) -> Ring:
    def ring(channels: set[str]) -> None:
        for channel in channels:
            notifier.ring(channel)
        bridge.announce(channels)

    return ring


async def _running(
    url: str, facts: ServerFacts, ring: Ring, tuning: PostgresTuning, stack: AsyncExitStack
) -> PostgresStore:
    """Connect and start the threads; the stack ends them, each closes its connection."""
    outage = Outage()
    workers = partial(
        PostgresWorkers,
        loop=asyncio.get_running_loop(),
        ring=ring,
        outage=outage,
        patience=tuning.patience,
    )

    def sessions(kind: SessionKind, count: int) -> list[Session]:
        return [Session(url, kind, outage) for _ in range(count)]

    turn_s = min(tuning.lock_turn_s, tuning.lock_limit_s)
    writes = sessions(writing(turn_s, tuning.write_limit_s), tuning.writers)
    waits = sessions(writing(tuning.lock_limit_s, tuning.write_limit_s), 1)
    reads = sessions(reading(tuning.read_limit_s), tuning.readers)
    lists = sessions(reading(tuning.list_limit_s), 1)
    every = [*writes, *waits, *reads, *lists]
    await asyncio.to_thread(_connect, url, every)
    waiter = workers("waiter", waits, _waiting(tuning.lock_limit_s))
    store = PostgresStore(
        facts,
        writer=workers("writer", writes, write_once, patient=waiter),
        waiter=waiter,
        readers=workers("reader", reads, _reading(tuning.read_limit_s)),
        lists=workers("lists", lists, _reading(tuning.list_limit_s)),
    )
    # Until the last thread has ended: a frozen server must not keep the process from stopping.
    await stack.enter_async_context(cut_when_frozen(every, tuning.frozen_limit_s))
    stack.push_async_callback(store.drain)
    store.start()
    return store


def _waiting(limit_s: float) -> Attempt:
    def attempt(session: Session, job: Job) -> set[str]:
        # Else those at the end of the queue would hear the later, the more there are.
        if time.monotonic() > job.queued_at_s + limit_s:
            raise locked_too_long()
        return write_once(session, job)

    return attempt


def _reading(limit_s: float) -> Attempt:
    def attempt(session: Session, job: Job) -> set[str]:
        read_once(session, job, limit_s)
        return set()  # a read rings nobody

    return attempt


def _connect(url: str, sessions: list[Session]) -> None:
    """Every connection at once: too many for the server is found at start, not under load."""
    try:
        for session in sessions:
            session.connect()
    except psycopg.Error as error:
        for session in sessions:
            session.drop()
        raise refused(url, error) from None
