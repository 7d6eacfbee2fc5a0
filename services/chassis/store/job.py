"""Closures queued for the threads of a store, and their answers to the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.port import Tx

T = TypeVar("T")


@dataclass(slots=True)
class Job:
    """One closure and the future that its caller awaits.

    Attributes:
        queued_at_s: Time of submission, by ``time.monotonic``.
    """

    fn: Callable[[Tx], Any]
    answer: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None
    queued_at_s: float = field(default_factory=time.monotonic)

    def settle(self) -> None:
        if self.answer.done():  # the caller was cancelled; the write stays applied
            return
        if self.error is None:
            self.answer.set_result(self.value)
        else:
            self.answer.set_exception(self.error)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # a future does not accept it
            error = RuntimeError(f"closure raised {error!r}")
        self.error = error


class JobQueue:
    """One queue, shared by all threads of a kind.

    Attributes:
        accepting: True until ``drain`` is called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Each job has a permit, which a thread takes before it takes a job; False ends a thread.
        self._permits: SimpleQueue[bool] = SimpleQueue()
        self._first: deque[Job] = deque()
        self._jobs: deque[Job] = deque()
        self.accepting = True

    def submit(self, fn: Callable[[Tx], T], *, first: bool = False) -> asyncio.Future[T]:
        """Queue ``fn``; its result settles the future. Call it on the event loop only.

        Args:
            first: Ahead of the jobs that wait and were not queued so themselves.
        """
        if not self.accepting:
            raise StoreUnavailableError("the store is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        (self._first if first else self._jobs).append(Job(fn, answer))
        self._permits.put(True)
        return answer

    def take_over(self, job: Job) -> None:
        """Queue a job of another queue; from any thread that ends before this queue drains."""
        self._jobs.append(job)
        self._permits.put(True)

    def get(self) -> Job | None:
        """Wait for a job; None means that the calling thread must end."""
        return self._take() if self._permits.get() else None

    def get_nowait(self) -> Job | None:
        """Raises: queue.Empty: No job is queued."""
        return self._take() if self._permits.get_nowait() else None

    def _take(self) -> Job:
        try:
            return self._first.popleft()
        except IndexError:
            return self._jobs.popleft()

    async def drain(self, threads: Sequence[threading.Thread]) -> None:
        """Refuse new jobs, let ``threads`` finish the accepted ones, and wait for them to end."""
        if self.accepting:
            self.accepting = False
            for _ in threads:
                self._permits.put(False)
        for thread in threads:
            await asyncio.to_thread(thread.join)
