"""The store on PostgreSQL: each connection has a thread that runs closures."""

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
from sqlalchemy import MetaData, text

from services.chassis.clock import SystemClock
from services.chassis.follow.notifier import Notifier
from services.chassis.store.availability import Availability, watching
from services.chassis.store.job import Job
from services.chassis.store.port import Row, Store, StoreInfo, Tx
from services.chassis.store.postgres.attempts import read_once, write_once
from services.chassis.store.postgres.errors import ends_writing, locked_too_long, translated
from services.chassis.store.postgres.frozen import shut_down_frozen
from services.chassis.store.postgres.migrating import PostgresFacts, migrate_postgres
from services.chassis.store.postgres.notify import NotifyBridge, notify_bridge
from services.chassis.store.postgres.session import (
    Outage,
    Session,
    SessionKind,
    reading,
    refused,
    writing,
)
from services.chassis.store.postgres.workers import Attempt, Notify, PostgresWorkers, RepeatLimits
from services.chassis.store.statement import Statement, statement

T = TypeVar("T")

_MAKE_TABLE = statement(text("CREATE TABLE runyard_attempt AS SELECT 1 AS one"))
_DROP_TABLE = statement(text("DROP TABLE runyard_attempt"))


@dataclass(frozen=True, slots=True)
class PostgresTuning:
    """Limits that operators, tests and benchmarks vary.

    Attributes:
        connections: Connections for closures, a quarter of them for reads. Four more serve lists
            (1), closures that wait for locks (1) and notifications (2).
        read_limit_s: Longest time for which a ``read`` closure may hold its snapshot.
        list_limit_s: Longest statement of a ``fetch``.
        lock_turn_s: Longest wait for a lock on a shared connection; then the closure runs again
            on the connection for closures that wait for locks.
        lock_limit_s: Longest wait for a lock on that connection; a closure accepted longer ago
            than this fails before it waits again.
        write_limit_s: Longest statement of a ``write`` closure.
        frozen_limit_s: Longest closure of any kind; then its connection is shut down.
    """

    connections: int = 8
    read_limit_s: float = 2.0
    list_limit_s: float = 30.0
    lock_turn_s: float = 0.25
    lock_limit_s: float = 5.0
    write_limit_s: float = 30.0
    frozen_limit_s: float = 120.0
    repeat_limits: RepeatLimits = field(default_factory=RepeatLimits)

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
        facts: PostgresFacts,
        instance: str,
        *,
        writer: PostgresWorkers,
        waiter: PostgresWorkers,
        readers: PostgresWorkers,
        lists: PostgresWorkers,
        availability: Availability,
    ) -> None:
        self._availability = availability
        self._facts = facts
        self._instance = instance
        self._writer = writer
        self._waiter = waiter
        self._readers = readers
        self._lists = lists

    def start(self) -> None:
        for workers in (self._writer, self._waiter, self._readers, self._lists):
            workers.start()

    async def drain(self) -> None:
        """Refuse new closures, commit and answer the accepted ones."""
        # The waiter last: writers may pass closures to it until they end.
        for workers in (self._lists, self._readers, self._writer, self._waiter):
            await workers.drain()

    @property
    def info(self) -> StoreInfo:
        return StoreInfo("postgresql", self._facts.version, self._facts.durability)

    @property
    def sole_owner(self) -> bool:
        return False

    @property
    def unavailable_cause(self) -> str:
        return self._availability.cause

    @property
    def instance(self) -> str:
        return self._instance

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.submit(fn)

    async def write_first(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.submit(fn, first=True)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._readers.submit(fn)

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        return await self._lists.submit(lambda tx: tx.all(statement, **params))

    async def scrub(self) -> bool:
        return True  # its files are the server's, which vacuums them


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
        # The real clock: the pauses protect a real server, also when a test sets the time.
        bridge = await stack.enter_async_context(notify_bridge(url, notifier, SystemClock()))
        notify = _notifying(notifier, bridge)
        yield await _running(url, facts, bridge, notify, tuning, stack)


def _notifying(notifier: Notifier, bridge: NotifyBridge) -> Notify:
    def notify(channels: set[str]) -> None:
        for channel in channels:
            notifier.notify(channel)
        bridge.announce(channels)

    return notify


async def _running(
    url: str,
    facts: PostgresFacts,
    bridge: NotifyBridge,
    notify: Notify,
    tuning: PostgresTuning,
    stack: AsyncExitStack,
) -> PostgresStore:
    """Connect and start the threads; ``stack`` ends them, and each closes its connection."""
    outage, availability = Outage(), Availability()
    workers = partial(
        PostgresWorkers,
        loop=asyncio.get_running_loop(),
        notify=notify,
        outage=outage,
        repeat_limits=tuning.repeat_limits,
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
    write = _writing(availability)
    waiter = workers("waiter", waits, _waiting(write, tuning.lock_limit_s))
    store = PostgresStore(
        facts,
        bridge.instance,
        writer=workers("writer", writes, write, lock_waiter=waiter),
        waiter=waiter,
        readers=workers("reader", reads, _reading(availability, tuning.read_limit_s)),
        lists=workers("lists", lists, _reading(availability, tuning.list_limit_s)),
        availability=availability,
    )
    # Active until the last thread has ended: a frozen server must not block the stop.
    await stack.enter_async_context(shut_down_frozen(every, tuning.frozen_limit_s))
    stack.push_async_callback(store.drain)
    store.start()
    attempt = partial(store.write, _make_and_drop_table)
    await stack.enter_async_context(watching(availability, bridge.is_interrupted, attempt))
    return store


def _make_and_drop_table(tx: Tx) -> None:
    """Write to the disk without a change: a read-only or full server refuses it."""
    tx.run(_MAKE_TABLE)
    tx.run(_DROP_TABLE)


def _writing(availability: Availability) -> Attempt:
    def attempt(session: Session, job: Job) -> set[str]:
        availability.refuse_lost()
        try:
            return write_once(session, job)
        except psycopg.Error as error:
            if ends_writing(error):
                availability.note_write(translated(error))
            raise

    return attempt


def _waiting(write: Attempt, limit_s: float) -> Attempt:
    def attempt(session: Session, job: Job) -> set[str]:
        # Fail late closures at once, so that a long queue does not delay each caller's error more.
        if time.monotonic() > job.queued_at_s + limit_s:
            raise locked_too_long()
        return write(session, job)

    return attempt


def _reading(availability: Availability, limit_s: float) -> Attempt:
    def attempt(session: Session, job: Job) -> set[str]:
        try:
            read_once(session, job, limit_s)
        except psycopg.Error as error:
            availability.note_read(translated(error))
            raise
        return set()  # a read sends no notifications

    return attempt


def _connect(url: str, sessions: list[Session]) -> None:
    """Open all connections now, so that a server that allows fewer is detected at start."""
    try:
        for session in sessions:
            session.connect()
    except psycopg.Error as error:
        for session in sessions:
            session.drop()
        raise refused(url, error) from None
