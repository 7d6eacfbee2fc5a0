"""Reader threads: each closure runs on its own snapshot, for a limited time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.chassis.store.availability import Availability
from services.chassis.store.errors import read_too_long
from services.chassis.store.job import Job, JobQueue
from services.chassis.store.metrics import QUEUED, READ
from services.chassis.store.port import Tx
from services.chassis.store.sqlite.tx import SqliteReadTx, translated

T = TypeVar("T")

# Virtual machine instructions between two checks of the deadline: about 0.1 ms.
_STEPS_PER_CHECK = 5_000


class SqliteReaders:
    """One thread per connection; all threads share one queue.

    Args:
        limit_s: Longest lifetime of a snapshot, which keeps SQLite from resetting the WAL.
    """

    def __init__(
        self,
        connections: Sequence[sqlite3.Connection],
        *,
        loop: asyncio.AbstractEventLoop,
        limit_s: float,
        availability: Availability,
    ) -> None:
        self._availability = availability
        self._loop = loop
        self._limit_s = limit_s
        self._queue = JobQueue(loop)
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"store-reader-{n}", daemon=True)
            for n, each in enumerate(connections)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[[Tx], T]) -> asyncio.Future[T]:
        return self._queue.submit(fn)

    async def drain(self) -> None:
        await self._queue.drain(self._threads)

    def _run(self, connection: sqlite3.Connection) -> None:
        deadline = _Deadline()
        connection.set_progress_handler(deadline.passed, _STEPS_PER_CHECK)
        cursor = connection.cursor()
        while (job := self._queue.get()) is not None:
            QUEUED.record_since(job.queued_at_s, READ)
            deadline.at_s = time.monotonic() + self._limit_s
            self._attempt(job, cursor, deadline)
            try:
                self._loop.call_soon_threadsafe(job.settle)
            except RuntimeError:  # the loop is closed, so no caller awaits the answer
                return

    def _attempt(self, job: Job, cursor: sqlite3.Cursor, deadline: _Deadline) -> None:
        tx = SqliteReadTx(cursor, deadline.at_s)
        try:
            cursor.execute("BEGIN")
            job.value = job.fn(tx)
        except sqlite3.Error as error:
            tx.doomed = tx.doomed or error
        except BaseException as error:  # every error goes to the caller
            job.fail(error)
        finally:
            tx.end()
            if tx.doomed is not None:
                self._fail(job, tx.doomed, deadline)
            deadline.at_s = float("inf")
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")

    def _fail(self, job: Job, error: sqlite3.Error, deadline: _Deadline) -> None:
        refusal = read_too_long() if deadline.passed() else translated(error)
        self._availability.note_read(refusal)
        job.fail(refusal)


class _Deadline:
    """The end of the running closure's time; SQLite also checks it during long statements."""

    at_s = float("inf")

    def passed(self) -> bool:
        return time.monotonic() > self.at_s
