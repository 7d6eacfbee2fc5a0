"""One request to one member: opened, held up to its commit point, then read, within time-outs.

One loop enforces the time-outs of all calls: a read sets its due time, and makes no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from math import inf
from types import TracebackType
from typing import TypeVar

from opentelemetry.trace import Span

from services.chassis.clock import Clock
from services.content.model import FinishReason, Usage
from services.router.core.cost import priced
from services.router.core.decision import Attempt, AttemptOutcome
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    TextDelta,
    UpstreamItem,
    UsageReport,
    commits,
    size_bytes,
)
from services.router.core.limits import MAX_HELD_BYTES, MAX_HELD_ITEMS
from services.router.core.model import Clocks, Member
from services.router.core.ports import ProviderAdapter, UpstreamCall, UpstreamStream
from services.router.engine.tracing import (
    as_parent,
    end_attempt,
    measure_attempt,
    measure_first_chunk,
    record_commit_point,
)

T = TypeVar("T")
log = logging.getLogger(__name__)

# How late a time-out may be noticed.
TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time-outs of an attempt in seconds; ``total_due_s`` is an instant of the monotonic clock."""

    first_chunk_s: float
    idle_s: float
    total_due_s: float


def timeouts_of(
    clocks: Clocks, member: Member, total_due_s: float, collected_from_s: float | None
) -> Timeouts:
    """The pool's clocks, at most the provider's time-out; reasoning models may be silent for twice
    as long.

    Args:
        collected_from_s: When the attempt begins whose answer is collected: the provider's time-out
            bounds it as a whole. None for an answer that is streamed.
    """
    cap_s = member.provider.timeout_s
    patience = 2 if member.model.reasoning else 1
    if collected_from_s is not None:
        total_due_s = min(total_due_s, collected_from_s + cap_s)
    first_chunk_s, idle_s = clocks.first_chunk_s * patience, clocks.idle_s * patience
    return Timeouts(min(first_chunk_s, cap_s), min(idle_s, cap_s), total_due_s)


def outcome_of(error: BaseException) -> tuple[AttemptOutcome, Failure]:
    """Outcome and failure of an attempt that ended by cancellation or by a defect."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return AttemptOutcome.CANCELLED, Failure(FailureClass.CANCELLED)
    return AttemptOutcome.FAILED, Failure(FailureClass.SERVER_ERROR)


class AttemptInProgress:
    """Call ``open``, then ``read`` until ``done``, and ``close`` in every case.

    Attributes:
        member: Whom the attempt calls; its outcome is charged to that one.
        held: Items that arrived up to the commit point.
        opened: What the provider said of the answer at first.
        usage: The last token counts.
        finish: Why the answer ended; None until it is complete.
        text_bytes: UTF-8 length of the text that was read.
    """

    def __init__(
        self,
        member: Member,
        record: Attempt,
        span: Span,
        timeouts: Timeouts,
        watchdog: Watchdog,
        clock: Clock,
    ) -> None:
        self.member = member
        self.record = record
        self.span = span
        self.held: list[UpstreamItem] = []
        self.opened = Opened()
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.text_bytes = 0
        self._timeouts = timeouts
        self._watchdog = watchdog
        self._limit = WaitLimit()
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._exit = AsyncExitStack()
        self._stream: UpstreamStream | None = None

    @property
    def done(self) -> bool:
        """Whether the answer was read to its end."""
        return self.finish is not None

    async def open(self, adapter: ProviderAdapter, call: UpstreamCall) -> None:
        """Send the request and return at the commit point.

        Raises:
            UpstreamError: It failed before the commit point; nothing of it reached the caller.
        """
        self._watchdog.watch(self._limit)
        due_s = self._began_s + self._timeouts.first_chunk_s
        entering = self._exit.enter_async_context(adapter.open(call))
        with as_parent(self.span):
            self._stream = await self._within(due_s, entering, FailureClass.TIMEOUT_FIRST_CHUNK)
        held_bytes = 0
        committed = False
        while not committed:
            reading = self._stream.read()
            items = await self._within(due_s, reading, FailureClass.TIMEOUT_FIRST_CHUNK)
            items = self._record(items)
            self.held.extend(items)
            held_bytes += sum(map(size_bytes, items))
            full = len(self.held) >= MAX_HELD_ITEMS or held_bytes >= MAX_HELD_BYTES
            committed = full or any(map(commits, items))
        elapsed_s = self._clock.monotonic_s() - self._began_s
        self.record = replace(self.record, outcome=AttemptOutcome.STREAMING, elapsed_s=elapsed_s)
        record_commit_point(self.span, self.opened, elapsed_s)
        measure_first_chunk(self.member, self.record)

    async def read(self) -> Sequence[UpstreamItem]:
        """What arrived since the last read.

        Raises:
            UpstreamError: The answer broke off.
        """
        assert self._stream is not None, "open comes first"  # noqa: S101  # the caller's order, not input
        due_s = self._clock.monotonic_s() + self._timeouts.idle_s
        items = await self._within(due_s, self._stream.read(), FailureClass.TIMEOUT_IDLE)
        return self._record(items)

    async def close(self, outcome: AttemptOutcome, failure: Failure | None = None) -> None:
        """Release the connection and record the outcome, with what the provider has counted."""
        if self._stream is not None and not self.done and self._stream.counted is not None:
            self._record([UsageReport(self._stream.counted)])
        elapsed_s = self._clock.monotonic_s() - self._began_s
        self.record = replace(
            self.record, outcome=outcome, failure=failure, elapsed_s=elapsed_s, usage=self.usage
        )
        self._watchdog.forget(self._limit)
        try:
            await self._exit.aclose()
        finally:
            end_attempt(self.span, self.record, self.usage, self.finish)
            measure_attempt(self.member, self.record, self.usage)

    async def _within(self, due_s: float, work: Awaitable[T], timeout: FailureClass) -> T:
        if self._timeouts.total_due_s < due_s:
            due_s, timeout = self._timeouts.total_due_s, FailureClass.TIMEOUT_TOTAL
        try:
            with self._limit.until(due_s):
                return await work
        except TimeoutError:
            raise UpstreamError(Failure(timeout)) from None

    def _record(self, items: Sequence[UpstreamItem]) -> Sequence[UpstreamItem]:
        """Note what the items say; returns them, with the cost of the tokens."""
        prices, noted = self.member.model.prices, items
        for item in items:
            match item:
                case TextDelta(text):
                    self.text_bytes += len(text) if text.isascii() else len(text.encode())
                case UsageReport(usage):
                    self.usage = usage if prices is None else priced(usage, prices)
                    noted = [UsageReport(self.usage) if each is item else each for each in noted]
                case Finished(reason):
                    self.finish = reason
                case Opened():
                    self.opened = replace(item, windows=item.windows or self.opened.windows)
                case _:
                    pass
        return noted


def log_failure(record: Attempt, *, goes_on: bool) -> None:
    """Log how an attempt has failed; a cancelled one has not.

    Args:
        goes_on: The call repeats the request, or fails over.
    """
    failure = record.failure
    if failure is None or failure.kind is FailureClass.CANCELLED:
        return
    log.log(
        logging.INFO if goes_on else logging.WARNING,
        "attempt failed",
        extra={
            "attempt_id": record.id,
            "member_id": record.member_id,
            "provider_id": record.provider_id,
            "failure": failure.kind.value,
            "http_status": failure.http_status,
            "words": failure.words or failure.detail,
        },
    )


class WaitLimit:
    """The time-out of one wait after another, as ``asyncio.timeout`` without its timer.

    ``with limit.until(due_s)`` around a wait; a ``Watchdog`` enforces it.
    """

    __slots__ = ("_cancels", "_due_s", "_expired", "_task")

    def __init__(self) -> None:
        self._due_s = inf
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        # Cancels that the task was already asked for when the wait began.
        self._cancels = 0

    def until(self, due_s: float) -> WaitLimit:
        """Let the next wait last to this instant of the watchdog's clock."""
        self._due_s = due_s
        return self

    def check(self, now_s: float) -> None:
        """Cancel the wait if it is due; once."""
        if self._task is not None and self._due_s <= now_s:
            self._due_s, self._expired = inf, True
            self._task.cancel()

    def __enter__(self) -> None:
        self._task = task = asyncio.current_task()
        self._cancels = 0 if task is None else task.cancelling()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raises:
        TimeoutError: The wait was due and has ended by that; a cancel by anybody else stays one.
        """
        task, self._task = self._task, None
        if not self._expired:
            return
        self._expired = False
        assert task is not None, "only the wait of a task is checked"  # noqa: S101  # narrows the type
        others = task.uncancel() > self._cancels
        if kind is asyncio.CancelledError and not others:
            raise TimeoutError from error


class Watchdog:
    """Cancels waits that exceed their due time of the injected clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: set[WaitLimit] = set()
        self._not_empty = asyncio.Event()

    def watch(self, limit: WaitLimit) -> None:
        """Enforce a limit until it is forgotten."""
        self._limits.add(limit)
        self._not_empty.set()

    def forget(self, limit: WaitLimit) -> None:
        self._limits.discard(limit)

    async def run(self) -> None:
        """Check the limits every ``TICK_S``, for ever; sleeps while there are none."""
        while True:
            await self._not_empty.wait()
            await self._clock.sleep(TICK_S)
            now_s = self._clock.monotonic_s()
            for limit in self._limits:
                limit.check(now_s)
            if not self._limits:
                self._not_empty.clear()
