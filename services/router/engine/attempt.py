"""One request to one member: opened under its clocks, held up to its commit point, then relayed."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

from opentelemetry.trace import Span

from services.chassis.clock import Clock
from services.content.model import FinishReason, Usage
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
from services.router.core.model import Clocks, Member
from services.router.core.ports import ProviderAdapter, UpstreamCall, UpstreamStream
from services.router.engine.tracing import end_attempt, note_commit
from services.router.engine.watchdog import Watchdog

MAX_HELD_ITEMS = 64
MAX_HELD_BYTES = 256 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an attempt may take, in seconds; ``total_due_s`` by the monotonic clock."""

    first_chunk_s: float
    idle_s: float
    total_due_s: float


def limits_of(clocks: Clocks, member: Member, total_due_s: float) -> Limits:
    """The pool's clocks, bounded by the provider's time-out; reasoning models may pause longer."""
    cap_s = member.provider.timeout_s
    idle_s = clocks.idle_s * (2 if member.model.reasoning else 1)
    return Limits(min(clocks.first_chunk_s, cap_s), min(idle_s, cap_s), total_due_s)


class AttemptInProgress:
    """Open it, read it until ``finish`` is set, and close it whatever happened.

    Attributes:
        held: Items that arrived up to the commit point.
        usage: The newest count of tokens.
        finish: Set once the answer is complete.
        text_bytes: UTF-8 length of the text that was read.
    """

    def __init__(
        self, record: Attempt, span: Span, limits: Limits, watchdog: Watchdog, clock: Clock
    ) -> None:
        self.record = record
        self.span = span
        self.held: list[UpstreamItem] = []
        self.response_id = ""
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.text_bytes = 0
        self._limits = limits
        self._watchdog = watchdog
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._exit = AsyncExitStack()
        self._stream: UpstreamStream | None = None

    @property
    def done(self) -> bool:
        """The answer was read to its end."""
        return self.finish is not None

    async def open(self, adapter: ProviderAdapter, call: UpstreamCall) -> None:
        """Send the request and return at the commit point.

        Raises:
            UpstreamError: It failed before; nothing of it reached the caller.
        """
        due_s = self._began_s + self._limits.first_chunk_s
        entering = self._exit.enter_async_context(adapter.open(call))
        self._stream = await self._within(due_s, entering, FailureClass.TIMEOUT_FIRST_CHUNK)
        held_bytes = 0
        committed = False
        while not committed:
            reading = self._stream.read()
            items = await self._within(due_s, reading, FailureClass.TIMEOUT_FIRST_CHUNK)
            self._note(items)
            self.held.extend(items)
            held_bytes += sum(map(size_bytes, items))
            full = len(self.held) >= MAX_HELD_ITEMS or held_bytes >= MAX_HELD_BYTES
            committed = full or any(map(commits, items))
        elapsed_s = self._clock.monotonic_s() - self._began_s
        self.record = replace(self.record, outcome=AttemptOutcome.STREAMING, elapsed_s=elapsed_s)
        note_commit(self.span, self.response_id, elapsed_s)

    async def read(self) -> Sequence[UpstreamItem]:
        """What arrived since the last read.

        Raises:
            UpstreamError: The answer broke off.
        """
        assert self._stream is not None, "open comes first"  # noqa: S101  # the caller's order, not input
        due_s = self._clock.monotonic_s() + self._limits.idle_s
        items = await self._within(due_s, self._stream.read(), FailureClass.TIMEOUT_IDLE)
        self._note(items)
        return items

    async def close(self, outcome: AttemptOutcome, failure: Failure | None = None) -> None:
        """Give the connection up or back, and record how the attempt came out."""
        elapsed_s = self._clock.monotonic_s() - self._began_s
        self.record = replace(self.record, outcome=outcome, failure=failure, elapsed_s=elapsed_s)
        try:
            await self._exit.aclose()
        finally:
            end_attempt(self.span, self.record, self.usage, self.finish)

    async def _within(self, due_s: float, work: Awaitable[T], slow: FailureClass) -> T:
        if self._limits.total_due_s < due_s:
            due_s, slow = self._limits.total_due_s, FailureClass.TIMEOUT_TOTAL
        try:
            return await self._watchdog.within(due_s, work)
        except TimeoutError:
            raise UpstreamError(Failure(slow)) from None

    def _note(self, items: Sequence[UpstreamItem]) -> None:
        for item in items:
            match item:
                case TextDelta(text):
                    self.text_bytes += len(text) if text.isascii() else len(text.encode())
                case UsageReport(usage):
                    self.usage = usage
                case Finished(reason):
                    self.finish = reason
                case Opened(response_id):
                    self.response_id = response_id
                case _:
                    pass
