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
from services.router.core.items import Finished, Opened, TextDelta, UpstreamItem
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
    """Never comes back: on opening as the first action, else on reading."""


@dataclass(frozen=True, slots=True)
class Raise:
    """A defect of the adapter."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Wait:
    """Reads nothing until the test sets the event."""

    until: asyncio.Event


# One read each; ``Refuse`` and a first ``Hang`` concern the opening.
Action: TypeAlias = Sequence[UpstreamItem] | Refuse | Break | Hang | Raise | Wait


def reply(text: str = "ok") -> list[Action]:
    """A whole answer in one read."""
    return [[Opened("r1"), TextDelta(text), Finished(FinishReason.STOP)]]


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
        self._queued: dict[str, deque[list[Action]]] = {}
        self._always: dict[str, list[Action]] = {}
        self._hung = asyncio.Event()

    def will(self, member_id: str, *answers: list[Action]) -> None:
        """What the member does in its next calls."""
        self._queued.setdefault(member_id, deque()).extend(answers)

    def always(self, member_id: str, answer: list[Action]) -> None:
        """What the member does when nothing else is queued; without it, it replies "ok"."""
        self._always[member_id] = answer

    async def until_hanging(self) -> None:
        """Wait until an action hangs."""
        await self._hung.wait()

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[ScriptedStream]:
        member_id = call.member.id
        self.calls.append(member_id)
        self.requests.append(call)
        queued = self._queued.get(member_id)
        actions = queued.popleft() if queued else self._always.get(member_id, reply())
        self.open_now += 1
        try:
            if actions and isinstance(actions[0], Refuse):
                raise UpstreamError(actions[0].failure)
            if actions and isinstance(actions[0], Hang):
                await self.hang()
            yield ScriptedStream(self, deque(actions))
        finally:
            self.open_now -= 1

    async def hang(self) -> None:
        self._hung.set()
        await asyncio.Event().wait()


class ScriptedStream:
    """Implements ``UpstreamStream``."""

    # Everything that is counted is an item.
    counted: Usage | None = None

    def __init__(self, adapter: ScriptedAdapter, actions: deque[Action]) -> None:
        self._adapter = adapter
        self._actions = actions

    async def read(self) -> Sequence[UpstreamItem]:
        match self._actions.popleft():
            case Break(failure):
                raise UpstreamError(failure)
            case Raise(error):
                raise error
            case Hang():
                await self._adapter.hang()
                return []
            case Wait(until):
                await until.wait()
                return []
            case Refuse():
                raise AssertionError("a refusal comes first")
            case items:
                return items
