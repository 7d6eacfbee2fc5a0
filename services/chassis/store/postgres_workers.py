"""Threads that run closures on PostgreSQL, and run them again where that helps.

write() ──► queue ──► a thread with a connection: BEGIN · closure · COMMIT
                        deadlock, serialization failure ──► again, after a moment
                        connection lost before COMMIT   ──► connect, again
                        connection lost during COMMIT   ──► OutcomeUnknownError
                        a lock that is not to be had    ──► to the thread that waits for locks
                      ──► onto the loop: answer the caller, ring the channels
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
from queue import SimpleQueue
from typing import TypeVar

import psycopg

from services.chassis.errors import StoreUnavailableError
from services.chassis.failpoints import FailpointError
from services.chassis.store import places
from services.chassis.store.errors import RETRY_AFTER_S
from services.chassis.store.job import Job
from services.chassis.store.measured import QUEUED, RETRIES
from services.chassis.store.port import Tx
from services.chassis.store.postgres_errors import (
    Failure,
    failure,
    symbol,
    translated,
    unavailable,
)
from services.chassis.store.postgres_session import Outage, Session
from services.chassis.telemetry_names import ERROR_TYPE, STORE_WORK

T = TypeVar("T")

Attempt = Callable[[Session, Job], set[str]]
Ring = Callable[[set[str]], None]

# The work of a thread, by the name it has.
_WORK = {"writer": "write", "waiter": "write", "reader": "read", "lists": "list"}

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How much a closure is worth before its caller hears that the store is unavailable.

    Attributes:
        conflicts: Repeats after deadlocks and serialization failures.
        conflict_pause_s: Bound of the random pause before the first; doubles with each.
        losses: Repeats after a connection was lost in the middle of the closure.
        outage_s: Longest wait for a server that is away, since the closure was accepted.
    """

    conflicts: int = 5
    conflict_pause_s: float = 0.01
    losses: int = 3
    outage_s: float = 5.0


class PostgresWorkers:
    """One thread per session, one queue for all.

    Args:
        patient: Takes over the closures whose locks are not to be had soon: a lock that somebody
            keeps must not hold every thread, and with them the closures that need another.
    """

    def __init__(
        self,
        name: str,
        sessions: Sequence[Session],
        attempt: Attempt,
        *,
        loop: asyncio.AbstractEventLoop,
        ring: Ring,
        outage: Outage,
        patience: Patience,
        patient: PostgresWorkers | None = None,
    ) -> None:
        self._patient = patient
        self._work = {STORE_WORK: _WORK.get(name, name)}
        self._attempt = attempt
        self._loop = loop
        self._ring = ring
        self._outage = outage
        self._patience = patience
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._accepting = True
        self._sessions = sessions
        # Daemons, so that a process that never closes its store can still exit.
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name=f"store-{name}-{n}", daemon=True)
            for n, each in enumerate(sessions)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[[Tx], T]) -> asyncio.Future[T]:
        """Queue ``fn``; the future is answered after its commit. On the event loop only."""
        if not self._accepting:
            raise StoreUnavailableError("the store is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Job(fn, answer))
        return answer

    def take_over(self, job: Job) -> None:
        """Queue what other workers accepted; from any thread, which they end before we drain."""
        self._queue.put(job)

    async def drain(self) -> None:
        """Take nothing more, answer what was accepted, end the threads and their connections."""
        if self._accepting:
            self._accepting = False
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, session: Session) -> None:
        try:
            while (job := self._next(session)) is not None:
                rung = self._serve(session, job)
                if rung is None:
                    continue  # another thread answers
                try:
                    self._loop.call_soon_threadsafe(self._settle, job, rung)
                except RuntimeError:  # the loop is closed: nobody is left to answer
                    _LOG.warning("loop closed before its answer")
                    return
        finally:
            session.drop()

    def _next(self, session: Session) -> Job | None:
        """Wait for work; without a connection only while nobody has one, so that callers hear."""
        while not session.is_connected and self._accepting and self._others_serve(session):
            time.sleep(self._outage.wait_s())
            with suppress(psycopg.Error):  # the outage knows, and when to try again
                session.connect()
        return self._queue.get()

    def _others_serve(self, session: Session) -> bool:
        return any(each.is_connected for each in self._sessions if each is not session)

    def _serve(self, session: Session, job: Job) -> set[str] | None:
        """Run ``job`` until it has an answer; the channels to ring. None when it was handed on."""
        repeats = _Repeats(self._patience, self._outage, job)
        QUEUED.record_since(job.queued_at_s, self._work)
        while True:
            try:
                repeats.connect(session)
                session.busy_since_s = time.monotonic()
                return self._attempt(session, job)
            except psycopg.Error as error:
                if self._hands_on(job, error):
                    return None
                if not repeats.allows(error, session):
                    job.fail(repeats.final(error))
                    return set()
                RETRIES.add(1, {ERROR_TYPE: symbol(error)})
            except BaseException as error:  # whatever it is, it is the caller's
                job.fail(error)
                return set()
            finally:
                session.busy_since_s = None

    def _hands_on(self, job: Job, error: psycopg.Error) -> bool:
        if self._patient is None or failure(error) is not Failure.LOCKED:
            return False
        RETRIES.add(1, {ERROR_TYPE: symbol(error)})
        self._patient.take_over(job)
        return True

    def _settle(self, job: Job, rung: set[str]) -> None:
        job.settle()
        with suppress(FailpointError):
            places.ANSWERED.reach()
            if rung:
                self._ring(rung)


class _Repeats:
    """What is left of the patience for one closure."""

    def __init__(self, patience: Patience, outage: Outage, job: Job) -> None:
        self._patience = patience
        self._outage = outage
        self._until_s = job.queued_at_s + patience.outage_s
        self._conflicts = 0
        self._losses = 0

    def connect(self, session: Session) -> None:
        """Have a connection, and wait for a server that is away.

        Raises:
            StoreUnavailableError: It stays away for too long.
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
            with suppress(psycopg.Error):  # the outage knows, and when to try again
                session.connect()

    def allows(self, error: psycopg.Error, session: Session) -> bool:
        """Whether to try again after ``error``; waits if others need the time."""
        match failure(error):
            case Failure.CONFLICT:
                self._conflicts += 1
                if self._conflicts > self._patience.conflicts:
                    return False
                longest_s = self._patience.conflict_pause_s * 2 ** (self._conflicts - 1)
                time.sleep(random.uniform(0, longest_s))  # noqa: S311  # spreads, hides nothing
                return True
            case Failure.CONNECTION:
                session.drop()
                self._losses += 1
                return self._losses <= self._patience.losses
            case Failure.LOCKED | Failure.FINAL:
                return False

    @staticmethod
    def final(error: psycopg.Error) -> Exception:
        return translated(error) if failure(error) is Failure.FINAL else unavailable(error)
