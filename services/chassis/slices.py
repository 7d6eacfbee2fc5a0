"""Long work of a call, in slices: other calls go on meanwhile, and the work ends with its call.

It runs in a thread, to which the interpreter gives way within ``SWITCH_S``. Of all threads that
compute for calls only one runs at a time, and they take turns after each slice.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# For ``sys.setswitchinterval``: a call changes threads a dozen times, and waits for each.
SWITCH_S = 0.001
SLICE_S = 0.005
# More wait in a queue.
MAX_THREADS = 16


class AbandonedError(Exception):
    """The call for which the work is done has ended; nobody waits for a result."""


class Slices:
    """The slices of one piece of work, in whichever thread it runs."""

    def __init__(self) -> None:
        self._ends_s = 0.0
        self._abandoned = False
        self._in_turns = False

    def abandon(self) -> None:
        """End the work at its next ``give_way``; from any thread."""
        self._abandoned = True

    def within(self, fn: Callable[P, T]) -> Callable[P, T]:
        """``fn`` as a thread of a store runs it.

        It takes no turns: between two statements it waits, and another may compute.
        """

        def sliced(*args: P.args, **named: P.kwargs) -> T:
            return self._run(lambda: fn(*args, **named))

        return sliced

    def in_turns(self, fn: Callable[[], T]) -> T:
        """Run ``fn`` in turns with other threads that compute."""
        _TURNS.take()
        self._in_turns = True
        try:
            return self._run(fn)
        finally:
            _TURNS.leave()

    def _run(self, fn: Callable[[], T]) -> T:
        self._ends_s = time.monotonic() + SLICE_S
        _THREAD.slices = self
        try:
            self.give_way()
            return fn()
        finally:
            _THREAD.slices = None

    def give_way(self) -> None:
        if self._abandoned:
            raise AbandonedError
        if self._in_turns and time.monotonic() >= self._ends_s:
            _TURNS.pass_on()
            self._ends_s = time.monotonic() + SLICE_S


class _Turns:
    """One thread has the turn; the others wait in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def take(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            called = threading.Event()
            self._waiting.append(called)
        called.wait()

    def leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()  # the turn stays taken: it is handed over
            else:
                self._taken = False

    def pass_on(self) -> None:
        if self._waiting:
            self.leave()
            self.take()


class _Work:
    """How many pieces of long work there are; of the event loop's thread alone."""

    pieces = 0


class _Thread(threading.local):
    slices: Slices | None = None


_THREAD = _Thread()
_TURNS = _Turns()
_THREADS = ThreadPoolExecutor(MAX_THREADS, "slices")


def give_way() -> None:
    """Let others go on if the slice is over; for loops that may be long. Free elsewhere.

    Raises:
        AbandonedError: The call has ended.
    """
    slices = _THREAD.slices
    if slices is not None:
        slices.give_way()


def in_a_slice() -> bool:
    """Whether this thread works in slices."""
    return _THREAD.slices is not None


@contextmanager
def long_work() -> Iterator[None]:
    """The block is long work, also while it waits between two slices."""
    _Work.pieces += 1
    try:
        yield
    finally:
        _Work.pieces -= 1


def busy() -> bool:
    """Whether there is long work."""
    return _Work.pieces > 0


async def in_slices(fn: Callable[[], T]) -> T:
    """The result of ``fn``, computed in a thread that gives way to everything else."""
    async with slicing() as slices:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, slices.in_turns, fn)


@asynccontextmanager
async def slicing() -> AsyncIterator[Slices]:
    """Slices that are abandoned when the block is left, as it is when its call is cancelled."""
    slices = Slices()
    with long_work():
        try:
            yield slices
        finally:
            slices.abandon()
