from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.errors import DomainError, UnimplementedError
from services.content.model import FinishReason, Usage
from services.router.core.decision import AttemptKind, AttemptOutcome, RouteDecision, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.home import preference
from services.router.core.items import (
    Finished,
    Interrupted,
    Item,
    Opened,
    Started,
    TextDelta,
    UsageReport,
)
from services.router.core.model import (
    Adapter,
    Builtin,
    Clocks,
    HomeStrategy,
    ReturnHome,
    Snapshot,
    StickyScope,
    SwitchPolicy,
    Target,
    Unsupported,
)
from services.router.core.pins import Pins
from services.router.core.ports import ProviderAdapter
from services.router.core.request import InferCommand, Prompt
from services.router.core.session import Session
from services.router.engine.inference import Answer, Inference, portions
from services.router.engine.routing import Routing
from services.router.engine.visits import Machinery
from services.router.engine.watchdog import Watchdog
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.scripted_adapter import (
    Break,
    Hang,
    Move,
    Raise,
    Refuse,
    ScriptedAdapter,
    reply,
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
    inference: Inference = field(init=False)
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self.clock)
        adapters: Mapping[type[Adapter], ProviderAdapter] = {Builtin: self.provider}
        machinery = Machinery(
            adapters, Routing(self.pins), self.watchdog, self.clock, SequentialIds("id")
        )
        self.inference = Inference(self.snapshots, machinery)

    def begin(
        self, session: Session = THREAD, deadline_s: float | None = None, **command: Any
    ) -> Answer:
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


async def drained(answer: Answer) -> None:
    async with aclosing(answer.frames()) as frames:
        async for _ in frames:
            pass


async def test_one_call_reaches_exactly_the_home() -> None:
    # given
    found = pool()
    home, *_ = order_of(found)
    async with router(found) as running:
        # when
        outcome = await running.ask()

        # then
        assert running.provider.calls == [home]
        assert running.provider.requests[0].member.model.upstream_model == f"up-{home}"
        assert outcome.items[1:] == [TextDelta("ok"), FINISHED]
        started = outcome.items[0]
        assert isinstance(started, Started)
        assert started.response_id == "r1"
        assert started.decision == outcome.decision
        assert outcome.path == [(home, AttemptKind.INITIAL, AttemptOutcome.SUCCEEDED)]
        assert outcome.decision.sticky is Sticky.HOME
        assert (outcome.decision.home_member_id, outcome.decision.member_id) == (home, home)
        assert outcome.decision.registry_version == 7


async def test_a_rate_limited_home_is_replaced_unseen_and_the_session_stays_where_it_went() -> None:
    # given a home that is limited once
    found = pool()
    home, second, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, limited(1.0))

        # when
        first = await running.ask()
        running.clock.advance(60)
        again = await running.ask()

        # then
        assert (first.text, first.reason) == ("ok", "OK")
        assert first.path == [
            (home, AttemptKind.INITIAL, AttemptOutcome.FAILED),
            (second, AttemptKind.FAILOVER, AttemptOutcome.SUCCEEDED),
        ]
        assert first.decision.sticky is Sticky.MOVED
        assert (first.decision.home_member_id, first.decision.member_id) == (home, second)
        assert again.decision.sticky is Sticky.PINNED
        assert running.provider.calls == [home, second, second]


async def test_a_quota_deadline_hides_the_member_from_every_session_without_a_call() -> None:
    # given a home that asked for 30 s of rest
    found = pool()
    home, *_ = order_of(found)
    other = next(f"t{n}" for n in range(2, 99) if order_of(found, f"thread:t{n}")[0] == home)
    async with router(found) as running:
        running.provider.will(home, limited(30.0))
        await running.ask()
        running.provider.calls.clear()

        # when another session with the same home asks within it, and a third one after it
        during = await running.ask(Session(thread_id=other))
        calls_during = list(running.provider.calls)
        running.clock.advance(30)
        after = await running.ask(
            Session(
                thread_id=next(
                    f"t{n}" for n in range(100, 199) if order_of(found, f"thread:t{n}")[0] == home
                )
            )
        )

        # then
        assert home not in calls_during
        assert during.decision.sticky is Sticky.MOVED
        (skip,) = during.decision.skipped
        assert (skip.member_id, skip.reason.value) == (home, "quota_deadline")
        assert after.decision.member_id == home


async def test_with_everybody_set_aside_no_provider_is_called() -> None:
    # given a pool of two that are both limited
    found = pool("a", "b")
    first, second = order_of(found)
    async with router(found) as running:
        running.provider.will(first, limited(20.0))
        running.provider.will(second, limited(50.0))
        exhausted = await running.ask()
        running.provider.calls.clear()
        running.clock.advance(5)

        # when
        outcome = await running.ask()

        # then
        assert exhausted.reason == "MEMBERS_EXHAUSTED"
        assert exhausted.error is not None
        assert exhausted.error.retry_after_s == 20.0
        assert json.loads(exhausted.error.metadata["causes"]) == {
            first: "rate_limit",
            second: "rate_limit",
        }
        assert outcome.reason == "ALL_MEMBERS_UNAVAILABLE"
        assert outcome.error is not None
        assert outcome.error.retry_after_s == 15.0
        assert running.provider.calls == []
        assert outcome.frames == []
        assert outcome.decision.member_id == ""


async def test_a_call_that_failed_everywhere_pins_nobody() -> None:
    # given
    found = pool("a", "b")
    home, second = order_of(found)
    async with router(found) as running:
        running.provider.will(home, limited(20.0))
        running.provider.will(second, limited(20.0))

        # when
        await running.ask()
        running.clock.advance(60)
        outcome = await running.ask()

        # then
        assert outcome.decision.sticky is Sticky.HOME
        assert outcome.decision.member_id == home


async def test_a_hint_below_the_threshold_is_sat_out_on_the_same_member() -> None:
    # given
    found = pool(switch=SwitchPolicy(quota_threshold_s=5.0))
    home, *_ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, limited(2.0))

        # when
        asking = asyncio.create_task(running.ask())
        await running.settle()
        assert running.provider.calls == [home]
        running.clock.advance(2.0)
        outcome = await asking

        # then
        assert outcome.path == [
            (home, AttemptKind.INITIAL, AttemptOutcome.FAILED),
            (home, AttemptKind.RETRY, AttemptOutcome.SUCCEEDED),
        ]


async def test_a_hint_below_the_threshold_that_is_too_long_to_sit_out_surfaces() -> None:
    # given
    found = pool(switch=SwitchPolicy(quota_threshold_s=60.0))
    home, *_ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, limited(30.0))

        # when
        outcome = await running.ask()
        again = await running.ask()

        # then the deadline hides the member from nobody
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert outcome.error is not None
        assert outcome.error.retry_after_s == 30.0
        assert again.decision.member_id == home
        assert running.provider.calls == [home, home]


async def test_a_lone_model_is_never_set_aside() -> None:
    # given a model called directly, limited without a hint
    alone = target(member("solo"), id="solo")
    async with router(alone) as running:
        running.provider.will("solo", limited(None))

        # when
        outcome = await running.ask(target_id="solo")
        again = await running.ask(target_id="solo")

        # then the error tells when it is worth a try, and the next call tries
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert outcome.error is not None
        assert outcome.error.retry_after_s == 1.0
        assert again.text == "ok"
        assert len(running.pins) == 0


async def test_a_members_own_fault_is_repeated_on_it_and_then_surfaces() -> None:
    # given
    found = pool()
    home, *_ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, refused(FailureClass.SERVER_ERROR, 500), reply("cured"))

        # when
        cured = await running.ask()
        running.provider.always(home, refused(FailureClass.SERVER_ERROR, 500))
        failed = await running.ask()

        # then nobody else was asked
        assert cured.text == "cured"
        assert [kind for _, kind, _ in cured.path] == [AttemptKind.INITIAL, AttemptKind.RETRY]
        assert failed.reason == "UPSTREAM_FAILED"
        assert running.provider.calls == [home] * 4


async def test_a_rejected_credential_moves_the_call() -> None:
    # given
    found = pool("a", "b")
    home, second = order_of(found)
    async with router(found) as running:
        running.provider.will(home, refused(FailureClass.AUTH, 401))

        # when
        outcome = await running.ask()

        # then
        assert outcome.decision.member_id == second
        assert outcome.decision.attempts[0].failure == Failure(FailureClass.AUTH, 401)


async def test_without_on_permanent_a_rejected_credential_surfaces() -> None:
    # given
    found = pool("a", "b", switch=SwitchPolicy(on_permanent=False))
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.always(home, refused(FailureClass.AUTH, 401))

        # when
        outcome = await running.ask()
        again = await running.ask()

        # then, and the member is asked again next time
        assert outcome.reason == again.reason == "UPSTREAM_REJECTED"
        assert running.provider.calls == [home, home]


async def test_an_invalid_request_is_nobodys_fault_but_the_callers() -> None:
    # given
    found = pool("a", "b")
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, refused(FailureClass.INVALID_REQUEST, 400))

        # when
        outcome = await running.ask()

        # then
        assert outcome.reason == "UPSTREAM_INVALID_REQUEST"
        assert running.provider.calls == [home]


async def test_refused_content_ends_as_an_answer() -> None:
    # given a provider that refuses at once, and one that does in the middle
    found = pool("a", "b")
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, refused(FailureClass.CONTENT_POLICY, 400))
        midway = Break(Failure(FailureClass.CONTENT_POLICY))
        running.provider.will(home, [[Opened(), TextDelta("a")], midway])

        # when
        at_once = await running.ask()
        in_the_middle = await running.ask()

        # then
        filtered = Finished(FinishReason.CONTENT_FILTER)
        assert at_once.items[1:] == [filtered]
        assert at_once.decision.member_id == home
        assert in_the_middle.items[1:] == [TextDelta("a"), filtered]


async def test_nothing_is_sent_before_the_commit_point() -> None:
    # given a member that opens, counts and then hangs before any content
    found = pool("a", "b")
    home, second = order_of(found)
    async with router(found) as running:
        silent: list[Move] = [
            [Opened("r0")],
            [UsageReport(Usage(1))],
            Break(Failure(FailureClass.OVERLOADED, 503)),
        ]
        running.provider.will(home, silent)

        # when
        outcome = await running.ask()

        # then its start-up frames are gone without a trace
        assert outcome.items[1:] == [TextDelta("ok"), FINISHED]
        assert outcome.path[0] == (home, AttemptKind.INITIAL, AttemptOutcome.FAILED)
        assert outcome.decision.member_id == second


async def test_start_up_frames_are_held_up_to_64() -> None:
    # given a member that sends nothing but counts, then breaks
    found = pool("a", "b")
    home, _ = order_of(found)
    chatter: list[Move] = [[UsageReport(Usage(n))] for n in range(63)]
    async with router(found) as running:
        running.provider.will(home, [[Opened()], *chatter, Break(Failure(FailureClass.RATE_LIMIT))])

        # when
        outcome = await running.ask()

        # then the 64th commits, and the break is the caller's to see
        assert outcome.reason == "STREAM_INTERRUPTED"
        assert len(running.provider.calls) == 1


async def test_after_the_commit_point_a_broken_stream_ends_with_what_was_sent() -> None:
    # given
    found = pool("a", "b")
    home, _ = order_of(found)
    broken: list[Move] = [
        [Opened(), TextDelta("gr")],
        [TextDelta("üß"), UsageReport(Usage(3, 2))],
        Break(Failure(FailureClass.STREAM_TRUNCATED)),
    ]
    async with router(found) as running:
        running.provider.will(home, broken)

        # when
        outcome = await running.ask()

        # then nobody else was asked
        assert outcome.items[-1] == Interrupted(
            FailureClass.STREAM_TRUNCATED, Usage(3, 2), 6, resumable=True
        )
        assert outcome.reason == "STREAM_INTERRUPTED"
        assert outcome.path == [(home, AttemptKind.INITIAL, AttemptOutcome.INTERRUPTED)]
        assert outcome.decision.member_id == home


async def test_a_rate_limit_in_the_middle_moves_the_next_call() -> None:
    # given
    found = pool("a", "b")
    home, second = order_of(found)
    async with router(found) as running:
        limit = Failure(FailureClass.RATE_LIMIT, 429, 30.0)
        running.provider.will(home, [[Opened(), TextDelta("a")], Break(limit)])

        # when
        first = await running.ask()
        next_call = await running.ask()

        # then
        assert first.reason == "STREAM_INTERRUPTED"
        assert next_call.decision.member_id == second
        assert running.provider.calls == [home, second]


async def test_what_cannot_go_better_is_not_resumable() -> None:
    # given
    found = pool("a", "b")
    home, _ = order_of(found)
    async with router(found) as running:
        wrong = Break(Failure(FailureClass.INVALID_REQUEST))
        running.provider.will(home, [[Opened(), TextDelta("a")], wrong])

        # when
        outcome = await running.ask()

        # then
        last = outcome.items[-1]
        assert isinstance(last, Interrupted)
        assert not last.resumable


CLOCKS = Clocks(first_chunk_s=2.0, idle_s=3.0, total_s=4.0)


@pytest.mark.parametrize(
    ("moves", "after_s", "kind"),
    [
        ([Hang()], 2.0, FailureClass.TIMEOUT_FIRST_CHUNK),
        ([[Opened()], Hang()], 2.0, FailureClass.TIMEOUT_FIRST_CHUNK),
    ],
    ids=["no headers", "no content"],
)
async def test_the_first_chunk_has_its_clock(
    moves: list[Move], after_s: float, kind: FailureClass
) -> None:
    # given a pool without repeats
    found = pool("a", "b", clocks=CLOCKS, in_place_retries=0)
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, moves)
        asking = asyncio.create_task(running.ask())
        await running.provider.until_hanging()

        # when
        await running.pass_time(after_s - 0.1)
        assert not asking.done()
        await running.pass_time(0.3)
        outcome = await asking

        # then
        assert outcome.reason == "UPSTREAM_FAILED"
        assert outcome.decision.attempts[0].failure == Failure(kind)


async def test_a_pause_in_the_answer_has_its_clock() -> None:
    # given
    found = pool("a", "b", clocks=replace(CLOCKS, total_s=None))
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, [[Opened(), TextDelta("a")], Hang()])
        asking = asyncio.create_task(running.ask())
        await running.provider.until_hanging()

        # when
        await running.pass_time(2.9)
        assert not asking.done()
        await running.pass_time(0.3)
        outcome = await asking

        # then
        last = outcome.items[-1]
        assert isinstance(last, Interrupted)
        assert last.reason is FailureClass.TIMEOUT_IDLE


async def test_a_reasoning_model_may_pause_twice_as_long_but_not_beyond_its_provider() -> None:
    # given idle clocks of 3 s, a model that thinks, and one whose provider allows 1 s
    thinking = member("thinker", reasoning=True)
    short = member("hasty")
    short = replace(short, provider=replace(short.provider, timeout_s=1.0))
    clocks = Clocks(first_chunk_s=2.0, idle_s=3.0)
    one = target(thinking, id="one", clocks=clocks)
    two = target(short, id="two", clocks=clocks)
    hangs: list[Move] = [[Opened(), TextDelta("a")], Hang()]
    async with router(one, two) as running:
        running.provider.always("thinker", hangs)
        running.provider.always("hasty", hangs)
        slow = asyncio.create_task(running.ask(target_id="one"))
        fast = asyncio.create_task(running.ask(target_id="two"))
        await running.settle()

        # when, then
        await running.pass_time(1.3)
        assert (slow.done(), fast.done()) == (False, True)
        await running.pass_time(4.5)
        assert not slow.done()
        await running.pass_time(0.5)
        assert slow.done()
        await asyncio.gather(slow, fast, return_exceptions=True)


async def test_the_whole_call_has_its_clock() -> None:
    # given a total of 4 s, less than a first chunk of 60 s
    found = pool("a", "b", clocks=replace(CLOCKS, first_chunk_s=60.0))
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, [Hang()])
        asking = asyncio.create_task(running.ask())
        await running.provider.until_hanging()

        # when
        await running.pass_time(4.3)
        outcome = await asking

        # then nobody else is tried: there is no time for it
        assert outcome.decision.attempts[0].failure == Failure(FailureClass.TIMEOUT_TOTAL)
        assert running.provider.calls == [home]


async def test_nobody_sleeps_beyond_the_callers_deadline() -> None:
    # given a hint of 2 s and a deadline in 1 s
    alone = target(member("solo"), id="solo")
    async with router(alone) as running:
        running.provider.will("solo", limited(2.0))

        # when
        outcome = await running.ask(target_id="solo", deadline_s=1.0)

        # then
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert len(running.provider.calls) == 1


HANGING: dict[str, list[Move]] = {
    "opening": [Hang()],
    "start-up": [[Opened()], Hang()],
    "streaming": [[Opened(), TextDelta("a")], Hang()],
}


@pytest.mark.parametrize("moment", HANGING)
async def test_a_cancel_closes_the_upstream_at_once_and_blames_nobody(moment: str) -> None:
    # given a call that waits for its provider
    found = pool("a", "b")
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, HANGING[moment])
        answer = running.begin()
        asking = asyncio.create_task(drained(answer))
        await running.provider.until_hanging()

        # when
        asking.cancel()
        await asyncio.wait({asking})

        # then
        assert running.provider.open_now == 0
        assert asking.cancelled()
        assert answer.decision is not None
        assert [a.outcome for a in answer.decision.attempts] == [AttemptOutcome.CANCELLED]
        again = await running.ask()
        assert again.decision.member_id == home


async def test_a_cancel_while_waiting_in_place_ends_the_call() -> None:
    # given
    alone = target(member("solo"), id="solo")
    async with router(alone) as running:
        running.provider.will("solo", limited(2.0))
        asking = asyncio.create_task(running.ask(target_id="solo"))
        await running.settle()

        # when
        asking.cancel()
        await asyncio.wait({asking})

        # then
        assert asking.cancelled()
        assert len(running.provider.calls) == 1


async def test_a_reader_that_leaves_between_frames_closes_the_upstream() -> None:
    # given
    found = pool("a", "b")
    home, _ = order_of(found)
    async with router(found) as running:
        running.provider.will(home, [[Opened(), TextDelta("a")], Hang()])
        answer = running.begin()

        # when
        async with aclosing(answer.frames()) as frames:
            first = await anext(frames)

        # then
        assert first[1:] == [TextDelta("a")]
        assert running.provider.open_now == 0
        assert answer.decision is not None
        assert answer.decision.attempts[0].outcome is AttemptOutcome.CANCELLED


@pytest.mark.parametrize("committed", [False, True])
async def test_a_defect_of_an_adapter_leaves_nothing_open(committed: bool) -> None:
    # given
    found = pool("a", "b")
    home, _ = order_of(found)
    before: list[Move] = [[Opened(), TextDelta("a")]] if committed else []
    async with router(found) as running:
        running.provider.will(home, [*before, Raise(RuntimeError("defect"))])
        answer = running.begin()

        # when
        with pytest.raises(RuntimeError, match="defect"):
            await drained(answer)

        # then
        assert running.provider.open_now == 0
        assert answer.decision is not None
        assert answer.decision.attempts[0].outcome is AttemptOutcome.FAILED


async def test_a_call_may_bound_its_attempts() -> None:
    # given two members that are limited
    found = pool()
    home, second, _ = order_of(found)
    async with router(found) as running:
        running.provider.always(home, limited(30.0))
        running.provider.always(second, limited(30.0))

        # when
        outcome = await running.ask(max_attempts=2)

        # then the last provider's own error surfaces
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert running.provider.calls == [home, second]


async def test_each_member_is_visited_at_most_once() -> None:
    # given all limited without a hint
    found = pool()
    async with router(found) as running:
        for name in MEMBERS:
            running.provider.always(name, limited(None))

        # when
        outcome = await running.ask()

        # then
        assert outcome.reason == "MEMBERS_EXHAUSTED"
        assert running.provider.calls == order_of(found)


async def test_sessions_in_turn_advance_and_stay() -> None:
    # given
    found = pool("a", "b", home=HomeStrategy.ROUND_ROBIN)
    async with router(found) as running:
        # when two threads ask twice each
        for thread in ("t1", "t2", "t1", "t2"):
            await running.ask(Session(thread_id=thread))

        # then
        first, second = (m.id for m in found.members)
        assert running.provider.calls == [first, second, first, second]
        assert running.pins.take_unsaved() == ([], [])


async def test_calls_without_a_session_go_round_too() -> None:
    # given
    found = pool("a", "b", home=HomeStrategy.ROUND_ROBIN)
    async with router(found) as running:
        # when
        outcomes = [await running.ask(Session()) for _ in range(4)]

        # then
        first, second = (m.id for m in found.members)
        assert running.provider.calls == [first, second, first, second]
        assert {outcome.decision.sticky for outcome in outcomes} == {Sticky.ANONYMOUS}
        assert len(running.pins) == 0
        assert running.provider.requests[0].cache_key == ""


async def test_a_home_in_turn_that_fails_is_left_and_not_returned_to() -> None:
    # given
    found = pool("a", "b", home=HomeStrategy.ROUND_ROBIN)
    first, second = (m.id for m in found.members)
    async with router(found) as running:
        running.provider.will(first, limited(1.0))

        # when
        moved = await running.ask()
        running.clock.advance(60)
        stays = await running.ask()

        # then
        assert (moved.decision.home_member_id, moved.decision.member_id) == (first, second)
        assert (stays.decision.home_member_id, stays.decision.member_id) == (first, second)


async def test_a_new_revision_starts_its_turns_over() -> None:
    # given one turn taken
    found = pool("a", "b", home=HomeStrategy.ROUND_ROBIN)
    async with router(found) as running:
        await running.ask(Session())

        # when the pool changes
        changed = replace(found, revision="r2")
        running.snapshots.current = Snapshot(8, "incarnation", {"pool": changed})
        await running.ask(Session())

        # then
        first = found.members[0].id
        assert running.provider.calls == [first, first]


async def test_runs_are_sessions_where_the_pool_says_so() -> None:
    # given a limited home for run-1
    found = pool("a", "b", sticky_scope=StickyScope.RUN)
    home = order_of(found, "run:run-1")[0]
    async with router(found) as running:
        running.provider.will(home, limited(1.0))
        await running.ask(Session(thread_id="t1", run_id="run-1"))

        # when the same thread asks in another run
        other = await running.ask(Session(thread_id="t1", run_id="run-2"))

        # then nothing of the first run is remembered
        assert other.decision.sticky is not Sticky.PINNED
        assert other.decision.home_member_id == order_of(found, "run:run-2")[0]


async def test_a_session_returns_home_with_its_next_run() -> None:
    # given a session that moved in run-1
    found = pool("a", "b", return_home=ReturnHome.NEXT_SESSION)
    home, second = order_of(found)
    async with router(found) as running:
        running.provider.will(home, limited(1.0))
        await running.ask(Session(thread_id="t1", run_id="run-1"))
        running.clock.advance(60)

        # when
        same = await running.ask(Session(thread_id="t1", run_id="run-1"))
        new = await running.ask(Session(thread_id="t1", run_id="run-2"))

        # then
        assert (same.decision.member_id, same.decision.sticky) == (second, Sticky.PINNED)
        assert (new.decision.member_id, new.decision.sticky) == (home, Sticky.RETURNED)
        assert len(running.pins) == 0


async def test_a_member_without_an_adapter_is_passed_over() -> None:
    # given a pool of which one provider is of a kind that is not served
    known, strange = member("known"), member("strange", 10**6, adapter=Unsupported("anthropic"))
    mixed = target(known, strange, id="mixed")
    alone = target(strange, id="strange")
    async with router(mixed, alone) as running:
        # when
        served = await running.ask(target_id="mixed")
        refused_call = await running.ask(target_id="strange")

        # then
        assert served.decision.member_id == "known"
        assert [skip.detail for skip in served.decision.skipped] == ["adapter anthropic"]
        assert isinstance(refused_call.error, UnimplementedError)
        assert refused_call.error.metadata == {"missing": "adapter anthropic"}


async def test_an_unknown_target_is_refused() -> None:
    # given
    async with router(pool()) as running:
        answer = running.begin(target_id="nobody")

        # when
        with pytest.raises(DomainError) as raised:
            await anext(answer.frames())

        # then
        assert raised.value.reason == "TARGET_NOT_FOUND"
        assert answer.decision is None


async def test_without_a_snapshot_nothing_is_routed() -> None:
    # given
    async with router() as running:
        running.snapshots.current = None

        # when
        with pytest.raises(DomainError) as raised:
            await anext(running.begin().frames())

        # then
        assert raised.value.reason == "SNAPSHOT_MISSING"
        assert raised.value.retry_after_s == 1.0


async def test_the_version_asked_for_is_waited_for() -> None:
    # given
    async with router(pool()) as running:
        # when
        outcome = await running.ask(min_registry_version=9)

        # then
        assert outcome.decision.registry_version == 9


def test_items_are_portioned_by_number_and_size() -> None:
    # given
    many: list[Item] = [TextDelta("x")] * 130
    large: list[Item] = [TextDelta("x" * 40_000), TextDelta("y" * 40_000), TextDelta("z" * 99_999)]

    # when, then
    assert [len(portion) for portion in portions(many)] == [64, 64, 2]
    assert [len(portion) for portion in portions(large)] == [1, 1, 1]
    assert list(portions([])) == []
