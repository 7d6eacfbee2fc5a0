"""The router's engine with a scripted provider in memory and a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.errors import DomainError
from services.content.model import FinishReason
from services.router.clients.credentials import digest_of, look
from services.router.core.decision import AttemptKind, AttemptOutcome, RouteDecision
from services.router.core.failures import Failure, FailureClass
from services.router.core.home import ranking
from services.router.core.items import Finished, Item, TextDelta
from services.router.core.model import Adapter, Builtin, Snapshot, Target
from services.router.core.needs import needs_of
from services.router.core.pins import Pins
from services.router.core.ports import ProviderAdapter
from services.router.core.request import InferCommand, Prompt
from services.router.core.session import Session
from services.router.engine.attempt import Watchdog
from services.router.engine.changes import RoutingChanges
from services.router.engine.inference import StreamedAnswer, StreamInference
from services.router.engine.retries import Retries
from services.router.engine.routed_call import InferenceDependencies
from services.router.engine.routing_state import RoutingState
from tests.support import background
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.scripted_adapter import Action, Refuse, ScriptedAdapter
from tests.unit.router.builders import member, target, user

THREAD = Session(thread_id="t1", run_id="run-1")
FINISHED = Finished(FinishReason.STOP)


def limited(hint_s: float | None = 30.0) -> list[Action]:
    return [Refuse(Failure(FailureClass.RATE_LIMIT, 429, hint_s))]


def refused(kind: FailureClass, status: int = 0) -> list[Action]:
    return [Refuse(Failure(kind, status))]


@dataclass
class Snapshots:
    """Implements ``ports.Snapshots``."""

    current: Snapshot | None

    async def at_least(self, version: int, incarnation: str) -> Snapshot:
        assert self.current is not None
        return replace(self.current, version=version)


@dataclass
class Router:
    """The engine with its scripted provider and its clock.

    Attributes:
        draw: 0 to 1, what pauses are drawn with; 1 is the longest.
    """

    snapshots: Snapshots
    changes: RoutingChanges = field(default_factory=RoutingChanges)
    clock: ManualClock = field(default_factory=ManualClock)
    provider: ScriptedAdapter = field(default_factory=ScriptedAdapter)
    draw: float = 1.0
    pins: Pins = field(init=False)
    inference: StreamInference = field(init=False)
    watchdog: Watchdog = field(init=False)
    routing: RoutingState = field(init=False)
    retries: Retries = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self.clock)
        self.pins = Pins(changes=self.changes)
        self.routing = RoutingState(self.pins, digest_of, self.changes)
        self.retries = Retries(self.clock, lambda: self.draw)
        adapters: Mapping[type[Adapter], ProviderAdapter] = {Builtin: self.provider}
        dependencies = InferenceDependencies(
            adapters,
            self.routing,
            self.retries,
            self.watchdog,
            self.clock,
            SequentialIds("id"),
            look,
        )
        self.inference = StreamInference(self.snapshots, dependencies)

    def begin(
        self, session: Session = THREAD, deadline_s: float | None = None, **command: Any
    ) -> StreamedAnswer:
        given = {"target_id": "pool", "prompt": Prompt((user("hi"),)), **command}
        asked = InferCommand(session=session, needs=needs_of(given["prompt"]), **given)
        return self.inference.answer(LOCAL_PRINCIPAL, asked, lambda: deadline_s)

    async def ask(self, session: Session = THREAD, **command: Any) -> Outcome:
        """Make a call and read it to its end, after which no request to a provider is open."""
        outcome = await self.ask_alongside(session, **command)
        assert self.provider.open_now == 0
        return outcome

    async def ask_alongside(self, session: Session = THREAD, **command: Any) -> Outcome:
        """Make a call and read it to its end, while others are open."""
        answer = self.begin(session, **command)
        frames: list[Sequence[Item]] = []
        error: DomainError | None = None
        try:
            async with aclosing(answer.frames()) as incoming:
                async for frame in incoming:
                    frames.append(frame)  # noqa: PERF401  # what came before an error counts
        except DomainError as raised:
            error = raised
        assert answer.decision is not None
        return Outcome(frames, error, answer.decision)

    async def ask_until_it_hangs(self) -> asyncio.Task[Outcome]:
        """Make a call that then waits for its provider."""
        asking = asyncio.create_task(self.ask())
        await self.provider.until_hanging()
        return asking

    async def settle(self) -> None:
        """Run the event loop until no task is ready."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """Advance the clock in steps of the watchdog's 0.1 s."""
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)
            await self.settle()


@dataclass(frozen=True)
class Outcome:
    frames: list[Sequence[Item]]
    raised: DomainError | None
    decision: RouteDecision

    @property
    def items(self) -> list[Item]:
        return [item for frame in self.frames for item in frame]

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, TextDelta))

    @property
    def finished(self) -> Finished:
        """The last item of an answer that ended well."""
        return Finished(FinishReason.STOP, self.decision)

    @property
    def reason(self) -> str:
        return self.raised.reason if self.raised else "OK"

    @property
    def error(self) -> DomainError:
        """Of a call that must not end with OK."""
        assert self.raised is not None
        return self.raised

    @property
    def path(self) -> list[tuple[str, AttemptKind, AttemptOutcome]]:
        return [(a.member_id, a.kind, a.outcome) for a in self.decision.attempts]


def pool(*names: str, **settings: Any) -> Target:
    return target(*(member(name) for name in names or ("a", "b", "c")), **settings)


@asynccontextmanager
async def router(*targets: Target) -> AsyncIterator[Router]:
    named = {found.pool.id: found for found in targets}
    running = Router(Snapshots(Snapshot(7, "incarnation", named)))
    async with background.running(running.watchdog.run()):
        yield running


@asynccontextmanager
async def router_of(*names: str, **settings: Any) -> AsyncIterator[tuple[Router, Sequence[str]]]:
    """A router with one pool, and the members of the pool in the order of session ``t1``."""
    found = pool(*names, **settings)
    async with router(found) as running:
        yield running, order_of(found)


def order_of(found: Target, session: str = "thread:t1") -> list[str]:
    return [found.members[index].id for index in ranking(found, f"default\0{session}")]


async def drained(answer: StreamedAnswer) -> None:
    async with aclosing(answer.frames()) as frames:
        async for _ in frames:
            pass
