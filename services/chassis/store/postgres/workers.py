"""Threads that run closures on PostgreSQL, and retry them after errors that a retry can cure.

write() ──► queue ──► a thread with a connection: BEGIN · closure · COMMIT
                        deadlock, serialization failure ──► pause, run again
                        connection lost before COMMIT   ──► reconnect, run again
                        connection lost during COMMIT   ──► OutcomeUnknownError
                        lock not granted in time        ──► to the thread that waits for locks
                      ──► onto the loop: answer the caller, notify the channels
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from services.chassis.errors import StoreUnavailableError
from services.chassis.failpoints import FailpointError
from services.chassis.observe.names import ERROR_TYPE, STORE_WORK
from services.chassis.store import store_failpoints
from services.chassis.store.errors import RETRY_AFTER_S
from services.chassis.store.job import Job, JobQueue
from services.chassis.store.metrics import QUEUED, RETRIES
from services.chassis.store.port import Tx
from services.chassis.store.postgres.errors import (
    Failure,
    failure,
    symbol,
    translated,
    unavailable,
)
from services.chassis.store.postgres.session import Outage, Session

T = TypeVar("T")

Attempt = Callable[[Session, Job], set[str]]
Notify = Callable[[set[str]], None]

# The metric attribute for the threads of each name.
_WORK = {"writer": "write", "waiter": "write", "reader": "read", "lists": "list"}

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepeatLimits:
    """How often and how long a closure is retried before its caller gets StoreUnavailableError.

    Attributes:
        conflicts: Retries after deadlocks and serialization failures.
        conflict_pause_s: Longest random pause before the first retry; doubles with each.
        losses: Retries after a connection was lost while the closure ran.
        outage_s: Longest wait for an unreachable server, from when the closure was accepted.
    """

    conflicts: int = 5
    conflict_pause_s: float = 0.01
    losses: int = 3
    outage_s: float = 5.0


class PostgresWorkers:
    """One thread per session; all threads share one queue.

    Args:
        lock_waiter: Runs closures that waited too long for a lock, so that one long-held lock
            cannot occupy every thread.
    """

    def __init__(
        self,
        name: str,
        sessions: Sequence[Session],
        attempt: Attempt,
        *,
        loop: asyncio.AbstractEventLoop,
        notify: Notify,
        outage: Outage,
        repeat_limits: RepeatLimits,
        lock_waiter: PostgresWorkers | None = None,
    ) -> None:
        self._lock_waiter = lock_waiter
        self._work = {STORE_WORK: _WORK.get(name, name)}
        self._attempt = attempt
        self._loop = loop
        self._notify = notify
        self._outage = outage
        self._limits = repeat_limits
        self._queue = JobQueue(loop)
        self._sessions = sessions
        # Daemon threads do not keep a process alive that never closes its store.
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"store-{name}-{n}", daemon=True)
            for n, each in enumerate(sessions)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[[Tx], T], *, first: bool = False) -> asyncio.Future[T]:
        """Queue ``fn``; the future is set after the commit. Call it on the event loop only.

        Args:
            first: Ahead of the closures that wait.
        """
        return self._queue.submit(fn, first=first)

    def take_over(self, job: Job) -> None:
        """Queue a job of other workers; from any thread that ends before these workers drain."""
        self._queue.take_over(job)

    async def drain(self) -> None:
        """Refuse new closures, answer the accepted ones, end the threads and their connections."""
        await self._queue.drain(self._threads)

    def _run(self, session: Session) -> None:
        try:
            while (job := self._next(session)) is not None:
                notified = self._serve(session, job)
                if notified is None:
                    continue  # the lock waiter answers
                try:
                    self._loop.call_soon_threadsafe(self._settle, job, notified)
                except RuntimeError:  # the loop is closed, so no caller awaits the answer
                    _LOG.warning("loop closed before its answer")
                    return
        finally:
            session.drop()

    def _next(self, session: Session) -> Job | None:
        """Reconnect if other threads can serve, then wait for a job.

        With no connection left, take jobs all the same, so that callers get an error.
        """
        while not session.is_connected and self._queue.accepting and self._others_serve(session):
            time.sleep(self._outage.wait_s())
            with suppress(psycopg.Error):  # ``Session.connect`` has recorded it in the outage
                session.connect()
        return self._queue.get()

    def _others_serve(self, session: Session) -> bool:
        return any(each.is_connected for each in self._sessions if each is not session)

    def _serve(self, session: Session, job: Job) -> set[str] | None:
        """Run ``job`` until it has an answer; return the channels to notify, None if passed on."""
        repeats = _Repeats(self._limits, self._outage, job)
        QUEUED.record_since(job.queued_at_s, self._work)
        while True:
            try:
                repeats.connect(session)
                session.busy_since_s = time.monotonic()
                return self._attempt(session, job)
            except psycopg.Error as error:
                if self._passes_on(job, error):
                    return None
                if not repeats.allows(error, session):
                    job.fail(repeats.final(error))
                    return set()
                RETRIES.add(1, {ERROR_TYPE: symbol(error)})
            except BaseException as error:  # every error goes to the caller
                job.fail(error)
                return set()
            finally:
                session.busy_since_s = None

    def _passes_on(self, job: Job, error: psycopg.Error) -> bool:
        if self._lock_waiter is None or failure(error) is not Failure.LOCKED:
            return False
        RETRIES.add(1, {ERROR_TYPE: symbol(error)})
        self._lock_waiter.take_over(job)
        return True

    def _settle(self, job: Job, notified: set[str]) -> None:
        job.settle()
        with suppress(FailpointError):
            store_failpoints.ANSWERED.reach()
            if notified:
                self._notify(notified)


class _Repeats:
    """Counts the retries of one closure against ``RepeatLimits``."""

    def __init__(self, repeat_limits: RepeatLimits, outage: Outage, job: Job) -> None:
        self._limits = repeat_limits
        self._outage = outage
        self._until_s = job.queued_at_s + repeat_limits.outage_s
        self._conflicts = 0
        self._losses = 0

    def connect(self, session: Session) -> None:
        """Connect ``session`` if necessary, waiting for an unreachable server.

        Raises:
            StoreUnavailableError: The server was unreachable for longer than ``outage_s``.
        """
        while not session.is_connected:
            pause_s = self._outage.wait_s()
            if pause_s > 0 and time.monotonic() + pause_s > self._until_s:
                raise StoreUnavailableError(
                    "the database cannot be reached",
                    cause="CONNECTION_LOST",
                    retry_after_s=RETRY_AFTER_S,
                )
            time.sleep(pause_s)
            with suppress(psycopg.Error):  # ``Session.connect`` has recorded it in the outage
                session.connect()

    def allows(self, error: psycopg.Error, session: Session) -> bool:
        """Whether to retry after ``error``; pauses first after a conflict."""
        match failure(error):
            case Failure.CONFLICT:
                self._conflicts += 1
                if self._conflicts > self._limits.conflicts:
                    return False
                longest_s = self._limits.conflict_pause_s * 2 ** (self._conflicts - 1)
                time.sleep(random.uniform(0, longest_s))  # noqa: S311  # no secret
                return True
            case Failure.CONNECTION:
                session.drop()
                self._losses += 1
                return self._losses <= self._limits.losses
            case Failure.LOCKED | Failure.FINAL:
                return False

    @staticmethod
    def final(error: psycopg.Error) -> Exception:
        return translated(error) if failure(error) is Failure.FINAL else unavailable(error)
