"""The writer thread: each closure runs in a savepoint, and many closures share a commit.

    write() ──► queue ──► BEGIN IMMEDIATE
                            SAVEPOINT · closure 1 · RELEASE
                            SAVEPOINT · closure 2 · RELEASE     queued while the last
                            SAVEPOINT · closure 3 · ROLLBACK TO commit ran; no timer
                          COMMIT (one fsync for all)
                          ──► one call onto the loop: answer every caller, notify every channel

Answers and notifications are sent only after the commit.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from queue import Empty
from typing import TypeVar, cast

from services.chassis.errors import DomainError
from services.chassis.failpoints import FailpointError
from services.chassis.observe.metrics import Measuring
from services.chassis.store import store_failpoints
from services.chassis.store.availability import Availability
from services.chassis.store.errors import DatabaseLostError
from services.chassis.store.job import Job, JobQueue
from services.chassis.store.metrics import CLOSURES, QUEUED, WRITE
from services.chassis.store.port import Tx
from services.chassis.store.sqlite.database_files import DatabaseFiles
from services.chassis.store.sqlite.tx import SqliteTx, translated, unavailable

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch commits after this many closures or seconds: its first caller is waiting."""

    closures: int = 256
    work_s: float = 0.004


@dataclass(slots=True)
class _Batch:
    jobs: list[Job] = field(default_factory=list)
    notified: set[str] = field(default_factory=set)

    def fail(self, error: DomainError) -> None:
        """Give ``error`` to every caller; nothing of the batch was applied."""
        self.notified.clear()
        self.lose_answers(error)

    def lose_answers(self, error: DomainError) -> None:
        """Give ``error`` to every caller whose closure did not itself fail."""
        for job in self.jobs:
            if job.error is None:
                job.error = copy(error)  # each caller adds its own traceback


class SqliteWriter:
    """Uses ``connection`` in its own thread, from ``start`` to ``drain``."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        loop: asyncio.AbstractEventLoop,
        notify: Callable[[str], None],
        limits: BatchLimits,
        availability: Availability,
        files: DatabaseFiles,
    ) -> None:
        self._availability = availability
        self._files = files
        self._connection = connection
        self._cursor = connection.cursor()
        self._loop = loop
        self._notify = notify
        self._limits = limits
        self._queue = JobQueue(loop)
        self._draining = False
        self._truncating = self._truncated = False
        # A daemon thread does not keep a process alive that never closes its store.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, fn: Callable[[Tx], T], *, first: bool = False) -> asyncio.Future[T]:
        """Queue ``fn``; the future is set after the commit. Call it on the event loop only.

        Args:
            first: Ahead of the closures that wait.
        """
        return self._queue.submit(fn, first=first)

    async def truncate_log(self) -> bool:
        """Move the log into the database file and empty it; False if readers still need it."""
        self._truncating = True
        await self.submit(lambda _: None)
        return self._truncated

    async def drain(self) -> None:
        """Refuse new closures, commit and answer the accepted ones, and end the thread."""
        await self._queue.drain([self._thread])

    def _run(self) -> None:
        while not self._draining:
            first = self._queue.get()
            if first is None:
                break
            batch = _Batch()
            self._fill_and_commit(first, batch)
            if self._truncating:
                self._truncate_log()
            self._hand_over(batch)

    def _truncate_log(self) -> None:
        self._truncating = self._truncated = False
        try:
            (kept,) = self._cursor.execute("PRAGMA busy_timeout").fetchone()
            # Readers are not waited for: nobody could write meanwhile.
            self._cursor.execute("PRAGMA busy_timeout=0")
            (busy, *_) = self._cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._cursor.execute(f"PRAGMA busy_timeout={kept}")
            self._truncated = not busy
        except sqlite3.Error:
            _LOG.exception("log not truncated")

    def _fill_and_commit(self, first: Job, batch: _Batch) -> None:
        try:
            store_failpoints.BEGINNING.reach()
            self._availability.refuse_lost()
            self._cursor.execute("BEGIN IMMEDIATE")
            self._fill(first, batch)
            store_failpoints.COMMITTING.reach()
            self._cursor.execute("COMMIT")
            # After the COMMIT, so that what is acknowledged was in the file of that name.
            self._files.refuse_displaced()
            if Measuring.provider is not None:
                CLOSURES.record(len(batch.jobs))
        except (sqlite3.Error, FailpointError, DatabaseLostError) as error:
            if not batch.jobs:
                batch.jobs.append(first)
            self._fail(batch, error)
            self._roll_back()
            return
        try:
            store_failpoints.COMMITTED.reach()
        except FailpointError as error:
            batch.lose_answers(error)

    def _fail(self, batch: _Batch, error: sqlite3.Error | DomainError) -> None:
        refusal = translated(error) if isinstance(error, sqlite3.Error) else error
        if not self._availability.cause:  # else it was logged, and is tried again and again
            _LOG.exception("commit failed", extra={"closures": len(batch.jobs)})
        self._availability.note_write(refusal)
        if isinstance(error, sqlite3.Error) and not isinstance(refusal, DomainError):
            refusal = unavailable(error)  # as when only the COMMIT can refuse a reference
        batch.fail(cast("DomainError", refusal))

    def _fill(self, first: Job, batch: _Batch) -> None:
        stop_s = time.monotonic() + self._limits.work_s
        job: Job | None = first
        while job is not None:
            batch.jobs.append(job)
            if Measuring.provider is not None:
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
        """Run one closure in a savepoint; its failure undoes only its own changes.

        Raises:
            sqlite3.Error: SQLite has rolled back the whole transaction, as it does on a full disk.
            DatabaseLostError: The database is damaged.
        """
        execute = self._cursor.execute
        tx = SqliteTx(self._cursor)
        execute("SAVEPOINT closure")
        try:
            job.value = job.fn(tx)
            store_failpoints.CLOSING.reach()
            if tx.doomed is None:
                execute("RELEASE closure")
                batch.notified |= tx.notified
                return
            job.fail(translated(tx.doomed))
        except sqlite3.Error as error:
            job.fail(translated(tx.doomed or error))
        except BaseException as error:  # every error goes to the caller
            job.fail(error)
        finally:
            tx.end()
        if tx.doomed is not None:
            self._availability.note_write(translated(tx.doomed))
            self._availability.refuse_lost()
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
        except RuntimeError:  # the loop is closed, so no caller awaits the answer
            _LOG.warning("loop closed before its writes", extra={"closures": len(batch.jobs)})

    def _settle(self, batch: _Batch) -> None:
        for job in batch.jobs:
            job.settle()
        with suppress(FailpointError):
            store_failpoints.ANSWERED.reach()
            for channel in batch.notified:
                self._notify(channel)
