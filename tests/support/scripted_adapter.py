"""A provider adapter in memory: a test writes down what each member does, call by call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from services.content.model import FinishReason, Usage
from services.router.core.failures import Failure, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    TextDelta,
    UpstreamItem,
    UsageReport,
)
from services.router.core.ports import UpstreamCall


@dataclass(frozen=True, slots=True)
class Refuse:
    """Fails on opening."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Break:
    """Fails on reading."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Hang:
    """Never comes back: on opening as the first move, else on reading."""


@dataclass(frozen=True, slots=True)
class Raise:
    """A defect of the adapter."""

    error: Exception


# One read each; ``Refuse`` and a first ``Hang`` concern the opening.
Move: TypeAlias = Sequence[UpstreamItem] | Refuse | Break | Hang | Raise


def reply(text: str = "ok", usage: Usage | None = None) -> list[Move]:
    """A whole answer in one read."""
    counted = [UsageReport(usage)] if usage else []
    return [[Opened("r1"), TextDelta(text), *counted, Finished(FinishReason.STOP)]]


class ScriptedAdapter:
    """Implements ``ProviderAdapter``.

    Attributes:
        calls: Member ids in the order they were called.
        requests: What each call was given.
        open_now: Streams that were not left yet.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.requests: list[UpstreamCall] = []
        self.open_now = 0
        self._queued: dict[str, deque[list[Move]]] = {}
        self._always: dict[str, list[Move]] = {}
        self._hung = asyncio.Event()

    def will(self, member_id: str, *answers: list[Move]) -> None:
        """What the member does in its next calls."""
        self._queued.setdefault(member_id, deque()).extend(answers)

    def always(self, member_id: str, answer: list[Move]) -> None:
        """What the member does when nothing else is queued; without it, it replies "ok"."""
        self._always[member_id] = answer

    async def until_hanging(self) -> None:
        """Wait until a move hangs."""
        await self._hung.wait()

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[ScriptedStream]:
        member_id = call.member.id
        self.calls.append(member_id)
        self.requests.append(call)
        queued = self._queued.get(member_id)
        moves = queued.popleft() if queued else self._always.get(member_id, reply())
        self.open_now += 1
        try:
            if moves and isinstance(moves[0], Refuse):
                raise UpstreamError(moves[0].failure)
            if moves and isinstance(moves[0], Hang):
                await self.hang()
            yield ScriptedStream(self, deque(moves))
        finally:
            self.open_now -= 1

    async def hang(self) -> None:
        self._hung.set()
        await asyncio.Event().wait()


class ScriptedStream:
    """Implements ``UpstreamStream``."""

    def __init__(self, adapter: ScriptedAdapter, moves: deque[Move]) -> None:
        self._adapter = adapter
        self._moves = moves

    async def read(self) -> Sequence[UpstreamItem]:
        match self._moves.popleft():
            case Break(failure):
                raise UpstreamError(failure)
            case Raise(error):
                raise error
            case Hang():
                await self._adapter.hang()
                return []
            case Refuse():
                raise AssertionError("a refusal comes first")
            case items:
                return items
