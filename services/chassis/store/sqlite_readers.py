"""Threads that read: each closure on its own snapshot, and never for long."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import read_too_long
from services.chassis.store.job import Job
from services.chassis.store.measured import QUEUED, READ
from services.chassis.store.port import Tx
from services.chassis.store.sqlite_tx import SqliteReadTx, translated

T = TypeVar("T")

# Virtual machine instructions between two looks at the clock: about a tenth of a millisecond.
_STEPS_PER_LOOK = 5_000


class SqliteReaders:
    """One thread per connection, one queue for all.

    Args:
        limit_s: Longest life of a snapshot; a longer one would keep the WAL from being reset.
    """

    def __init__(
        self,
        connections: Sequence[sqlite3.Connection],
        *,
        loop: asyncio.AbstractEventLoop,
        limit_s: float,
    ) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._accepting = True
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"store-reader-{n}", daemon=True)
            for n, each in enumerate(connections)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[[Tx], T]) -> asyncio.Future[T]:
        if not self._accepting:
            raise StoreUnavailableError("the store is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Job(fn, answer))
        return answer

    async def drain(self) -> None:
        if self._accepting:
            self._accepting = False
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, connection: sqlite3.Connection) -> None:
        deadline = _Deadline()
        connection.set_progress_handler(deadline.passed, _STEPS_PER_LOOK)
        cursor = connection.cursor()
        while (job := self._queue.get()) is not None:
            QUEUED.record_since(job.queued_at_s, READ)
            deadline.at_s = time.monotonic() + self._limit_s
            self._attempt(job, cursor, deadline)
            try:
                self._loop.call_soon_threadsafe(job.settle)
            except RuntimeError:  # the loop is closed: nobody is left to answer
                return

    def _attempt(self, job: Job, cursor: sqlite3.Cursor, deadline: _Deadline) -> None:
        tx = SqliteReadTx(cursor, deadline.at_s)
        try:
            cursor.execute("BEGIN")
            job.value = job.fn(tx)
        except sqlite3.Error as error:
            tx.doomed = tx.doomed or error
        except BaseException as error:  # whatever it is, it is the caller's
            job.fail(error)
        finally:
            tx.end()
            if tx.doomed is not None:
                job.fail(read_too_long() if deadline.passed() else translated(tx.doomed))
            deadline.at_s = float("inf")
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")


class _Deadline:
    """What SQLite asks in the middle of a long statement."""

    at_s = float("inf")

    def passed(self) -> bool:
        return time.monotonic() > self.at_s
