"""The stream engine with a provider in memory and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.errors import DomainError
from services.content.model import FinishReason
from services.router.core.decision import AttemptKind, AttemptOutcome, RouteDecision
from services.router.core.failures import Failure, FailureClass
from services.router.core.home import preference
from services.router.core.items import (
    Finished,
    Item,
    TextDelta,
)
from services.router.core.model import (
    Adapter,
    Builtin,
    Snapshot,
    Target,
)
from services.router.core.pins import Pins
from services.router.core.ports import ProviderAdapter
from services.router.core.request import InferCommand, Prompt
from services.router.core.session import Session
from services.router.engine.inference import StreamedAnswer, StreamInference
from services.router.engine.routing import Routing
from services.router.engine.visits import Machinery
from services.router.engine.watchdog import Watchdog
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.scripted_adapter import (
    Move,
    Refuse,
    ScriptedAdapter,
)
from tests.unit.router.build import member, target, user

THREAD = Session(thread_id="t1", run_id="run-1")


FINISHED = Finished(FinishReason.STOP)


MEMBERS = ("a", "b", "c")


def limited(hint_s: float | None = 30.0) -> list[Move]:
    return [Refuse(Failure(FailureClass.RATE_LIMIT, 429, hint_s))]


def refused(kind: FailureClass, status: int = 0) -> list[Move]:
    return [Refuse(Failure(kind, status))]


@dataclass
class Snapshots:
    """Implements the port of that name."""

    current: Snapshot | None

    async def at_least(self, version: int) -> Snapshot:
        assert self.current is not None
        return replace(self.current, version=version)


@dataclass
class Router:
    """The engine with a provider in memory and a clock that stands still."""

    snapshots: Snapshots
    pins: Pins = field(default_factory=Pins)
    clock: ManualClock = field(default_factory=ManualClock)
    provider: ScriptedAdapter = field(default_factory=ScriptedAdapter)
    inference: StreamInference = field(init=False)
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self.clock)
        adapters: Mapping[type[Adapter], ProviderAdapter] = {Builtin: self.provider}
        machinery = Machinery(
            adapters, Routing(self.pins), self.watchdog, self.clock, SequentialIds("id")
        )
        self.inference = StreamInference(self.snapshots, machinery)

    def begin(
        self, session: Session = THREAD, deadline_s: float | None = None, **command: Any
    ) -> StreamedAnswer:
        given = {"target_id": "pool", "prompt": Prompt((user("hi"),)), **command}
        asked = InferCommand(session=session, **given)
        return self.inference.answer(LOCAL_PRINCIPAL, asked, lambda: deadline_s)

    async def ask(self, session: Session = THREAD, **command: Any) -> Outcome:
        """The whole call, as its caller sees it."""
        answer = self.begin(session, **command)
        frames: list[Sequence[Item]] = []
        error: DomainError | None = None
        try:
            async with aclosing(answer.frames()) as incoming:
                async for frame in incoming:
                    frames.append(frame)  # noqa: PERF401  # what came before an error counts
        except DomainError as raised:
            error = raised
        assert self.provider.open_now == 0
        assert answer.decision is not None
        return Outcome(frames, error, answer.decision)

    async def settle(self) -> None:
        """Let everything run that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """In steps no longer than the watchdog's, as real time does."""
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)
            await self.settle()


@dataclass(frozen=True)
class Outcome:
    frames: list[Sequence[Item]]
    error: DomainError | None
    decision: RouteDecision

    @property
    def items(self) -> list[Item]:
        return [item for frame in self.frames for item in frame]

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, TextDelta))

    @property
    def reason(self) -> str:
        return self.error.reason if self.error else "OK"

    @property
    def path(self) -> list[tuple[str, AttemptKind, AttemptOutcome]]:
        return [(a.member_id, a.kind, a.outcome) for a in self.decision.attempts]


def pool(*names: str, **settings: Any) -> Target:
    return target(*(member(name) for name in names or MEMBERS), **settings)


@asynccontextmanager
async def router(*targets: Target) -> AsyncIterator[Router]:
    named = {found.pool.id: found for found in targets}
    running = Router(Snapshots(Snapshot(7, "incarnation", named)))
    watching = asyncio.create_task(running.watchdog.run())
    try:
        yield running
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def order_of(found: Target, session: str = "thread:t1") -> list[str]:
    return [found.members[index].id for index in preference(found, f"default\0{session}")]


async def drained(answer: StreamedAnswer) -> None:
    async with aclosing(answer.frames()) as frames:
        async for _ in frames:
            pass
