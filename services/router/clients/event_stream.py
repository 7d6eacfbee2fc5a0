"""Reads an answer of server-sent events from an HTTP response."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Protocol

import aiohttp

from services.chassis.clock import Clock
from services.content.model import Usage
from services.router.clients.sse import Event, EventTooLargeError, SseParser
from services.router.clients.stream_errors import parts_of
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import Opened, UpstreamItem, UsageReport
from services.router.core.quota_windows import QuotaWindow

# How long the end of a complete answer is waited for; some servers keep the connection open.
GRACE_S = 1.0


class Body(Protocol):
    """What ``EventStream`` needs of the content of a response."""

    async def readany(self) -> bytes:
        """The bytes that have arrived, at least one; empty at the end."""


class AnswerReader(Protocol):
    """Turns events into items, in one dialect."""

    @property
    def complete(self) -> bool:
        """Whether the provider has said why the answer ended."""

    def take(self, event: Event, items: list[UpstreamItem]) -> None:
        """Append the items of one event.

        Raises:
            UpstreamError: The event is an error or is malformed.
        """

    def finish(self, items: list[UpstreamItem]) -> None:
        """Append the last items when the connection has ended.

        Raises:
            UpstreamError: The answer was not complete.
        """

    @property
    def counted(self) -> Usage | None:
        """The provider's usage of the answer so far; None if it sent none.

        Nothing is estimated: tokens that were generated and did not arrive are unknown.
        """


class EventStream:
    """Implements ``UpstreamStream``.

    Args:
        head: What was read of the body before.
        windows: What the headers tell of the provider's limits.
    """

    def __init__(
        self,
        content: Body,
        head: bytes,
        reader: AnswerReader,
        clock: Clock,
        windows: tuple[QuotaWindow, ...] = (),
    ) -> None:
        self._content = content
        self._head = head
        self._parser = SseParser()
        self._reader = reader
        self._clock = clock
        self._windows = windows
        self._complete_due_s: float | None = None
        self._error: UpstreamError | None = None

    @property
    def counted(self) -> Usage | None:
        return self._reader.counted

    async def read(self) -> Sequence[UpstreamItem]:
        if self._windows:
            windows, self._windows = self._windows, ()
            return [Opened(windows=windows)]
        while True:
            if self._error is not None:
                raise self._error
            items: list[UpstreamItem] = []
            try:
                self._take(await self._next_chunk(), items)
            except UpstreamError as error:
                # Items before the error in the same read are delivered first.
                self._error = error
                if self.counted is not None:
                    items.append(UsageReport(self.counted))
            if items:
                return items

    async def _next_chunk(self) -> bytes:
        """The bytes that have arrived, at least one; empty at the end."""
        if self._head:
            head, self._head = self._head, b""
            return head
        try:
            if self._reader.complete:
                return await self._trailer()
            self._complete_due_s = None
            return await self._content.readany()
        except (aiohttp.ClientError, OSError):
            if self._reader.complete:
                return b""
            raise UpstreamError(Failure(FailureClass.STREAM_TRUNCATED)) from None

    async def _trailer(self) -> bytes:
        """What follows a complete answer within ``GRACE_S``; empty when that has passed."""
        now_s = self._clock.monotonic_s()
        if self._complete_due_s is None:
            self._complete_due_s = now_s + GRACE_S
        reading = asyncio.ensure_future(self._content.readany())
        waiting = asyncio.ensure_future(self._clock.sleep(self._complete_due_s - now_s))
        try:
            await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else b""
        finally:
            reading.cancel()
            waiting.cancel()

    def _take(self, chunk: bytes, items: list[UpstreamItem]) -> None:
        try:
            events: list[Event] = self._parser.feed(chunk) if chunk else self._parser.finish()
        except EventTooLargeError:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED)) from None
        for event in chain.from_iterable(map(parts_of, events)):
            self._reader.take(event, items)
        if not chunk:
            self._reader.finish(items)
