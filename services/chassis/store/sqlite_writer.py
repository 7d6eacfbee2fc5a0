"""The one thread that writes: closures in savepoints, many to a commit.

    write() ──► queue ──► BEGIN IMMEDIATE
                            SAVEPOINT · closure 1 · RELEASE
                            SAVEPOINT · closure 2 · RELEASE     what queued while the last
                            SAVEPOINT · closure 3 · ROLLBACK TO commit ran, and no timer
                          COMMIT (one fsync for all)
                          ──► one call onto the loop: answer every caller, ring every channel

Nobody is answered, and nobody is woken, before the commit.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TypeVar

from services.chassis.errors import StoreUnavailableError
from services.chassis.failpoints import FailpointError
from services.chassis.store import places
from services.chassis.store.job import Job
from services.chassis.store.measured import CLOSURES, QUEUED, WRITE
from services.chassis.store.port import Tx
from services.chassis.store.sqlite_tx import SqliteTx, translated, unavailable

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch stops taking closures: the first of them is waiting for its commit."""

    closures: int = 256
    work_s: float = 0.004


@dataclass(slots=True)
class _Batch:
    jobs: list[Job] = field(default_factory=list)
    rung: set[str] = field(default_factory=set)

    def fail(self, error: sqlite3.Error | FailpointError) -> None:
        """Nothing of the batch was applied."""
        self.rung.clear()
        self.lose_answers(error)

    def lose_answers(self, error: sqlite3.Error | FailpointError) -> None:
        """Who failed by itself keeps its own error."""
        for job in self.jobs:
            if job.error is None:
                job.error = error if isinstance(error, FailpointError) else unavailable(error)


class SqliteWriter:
    """Owns ``connection`` from ``start`` until the thread has ended."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        loop: asyncio.AbstractEventLoop,
        ring: Callable[[str], None],
        limits: BatchLimits,
    ) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._loop = loop
        self._ring = ring
        self._limits = limits
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._accepting = True
        self._draining = False
        # A daemon, so that a process that never closes its store can still exit.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, fn: Callable[[Tx], T]) -> asyncio.Future[T]:
        """Queue ``fn``; the future is answered after its commit. On the event loop only."""
        if not self._accepting:
            raise StoreUnavailableError("the store is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Job(fn, answer))
        return answer

    async def drain(self) -> None:
        """Take nothing more, commit and answer what was accepted, end the thread."""
        if self._accepting:
            self._accepting = False
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._draining:
            first = self._queue.get()
            if first is None:
                break
            batch = _Batch()
            self._fill_and_commit(first, batch)
            self._hand_over(batch)

    def _fill_and_commit(self, first: Job, batch: _Batch) -> None:
        try:
            places.BEGINNING.reach()
            self._cursor.execute("BEGIN IMMEDIATE")
            self._fill(first, batch)
            places.COMMITTING.reach()
            self._cursor.execute("COMMIT")
            CLOSURES.record(len(batch.jobs))
        except (sqlite3.Error, FailpointError) as error:
            if not batch.jobs:
                batch.jobs.append(first)
            _LOG.exception("commit failed", extra={"closures": len(batch.jobs)})
            batch.fail(error)
            self._roll_back()
            return
        try:
            places.COMMITTED.reach()
        except FailpointError as error:
            batch.lose_answers(error)

    def _fill(self, first: Job, batch: _Batch) -> None:
        stop_s = time.monotonic() + self._limits.work_s
        job: Job | None = first
        while job is not None:
            batch.jobs.append(job)
            QUEUED.record_since(job.queued_at_s, WRITE)
            self._attempt(job, batch)
            if len(batch.jobs) >= self._limits.closures or time.monotonic() >= stop_s:
                return
            job = self._next()

    def _next(self) -> Job | None:
        try:
            job = self._queue.get_nowait()
        except Empty:
            return None
        self._draining = job is None
        return job

    def _attempt(self, job: Job, batch: _Batch) -> None:
        """Run one closure so that its failure undoes itself alone.

        Raises:
            sqlite3.Error: The failure took the whole transaction with it (a full disk does).
        """
        execute = self._cursor.execute
        tx = SqliteTx(self._cursor)
        execute("SAVEPOINT closure")
        try:
            job.value = job.fn(tx)
            places.CLOSING.reach()
            if tx.doomed is None:
                execute("RELEASE closure")
                batch.rung |= tx.rung
                return
            job.fail(translated(tx.doomed))
        except sqlite3.Error as error:
            job.fail(translated(tx.doomed or error))
        except BaseException as error:  # whatever it is, it is the caller's
            job.fail(error)
        finally:
            tx.end()
        if not self._connection.in_transaction:
            raise tx.doomed or sqlite3.OperationalError("transaction lost")
        execute("ROLLBACK TO closure")
        execute("RELEASE closure")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._cursor.execute("ROLLBACK")
            except sqlite3.Error:
                _LOG.exception("rollback failed")

    def _hand_over(self, batch: _Batch) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, batch)
        except RuntimeError:  # the loop is closed: nobody is left to answer
            _LOG.warning("loop closed before its writes", extra={"closures": len(batch.jobs)})

    def _settle(self, batch: _Batch) -> None:
        for job in batch.jobs:
            job.settle()
        with suppress(FailpointError):
            places.ANSWERED.reach()
            for channel in batch.rung:
                self._ring(channel)
