"""``Explain`` tells what the call that follows does, and changes nothing that a call would see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.errors import DomainError
from services.content.model import Image, Message, Role, ToolDefinition
from services.router.core.breaker import BreakerState
from services.router.core.decision import RouteDecision, Skipped, SkipReason, Sticky
from services.router.core.explanation import Explanation
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import (
    BreakerPolicy,
    Feature,
    HomeStrategy,
    ReturnHome,
    Snapshot,
    SwitchPolicy,
    Target,
)
from services.router.core.needs import needs_of
from services.router.core.request import InferCommand, Prompt
from services.router.core.session import Session, session_key
from services.router.engine.inference import StreamInference
from services.router.engine.routed_call import RoutedCall
from tests.support.profiles import amount
from tests.support.scripted_adapter import Action, Hang, Refuse, reply
from tests.support.waiting import within_limit
from tests.unit.router.builders import NOW, at, member, target, user
from tests.unit.router.in_memory_router import (
    THREAD,
    Outcome,
    Router,
    Snapshots,
    limited,
    refused,
    router,
    router_of,
)

T = TypeVar("T")

PICTURE = Message(Role.USER, (Image(url="http://image.example"),))
PROMPTS: Mapping[str, Prompt] = {
    "text": Prompt((user("hi"),)),
    "long": Prompt((user("x" * 800),)),
    "picture": Prompt((PICTURE,)),
    "tools": Prompt((PICTURE,), (ToolDefinition("look", "", "{}"),)),
}
# Hints beyond 10 s: a shorter one is waited for in the call.
FAULTS: Mapping[str, list[Action]] = {
    "is limited": limited(15.0),
    "is limited for long": limited(30.0),
    "is limited without a hint": limited(None),
    "fails": refused(FailureClass.SERVER_ERROR),
    "refuses its credential": refused(FailureClass.AUTH),
    "finds it invalid": [Refuse(Failure(FailureClass.INVALID_REQUEST, 400))],
}


async def explained(running: Router, session: Session = THREAD, **command: Any) -> Explanation:
    given = {"target_id": "pool", "prompt": PROMPTS["text"], **command}
    asked = InferCommand(session=session, needs=needs_of(given["prompt"]), **given)
    return await running.inference.explain(LOCAL_PRINCIPAL, asked)


async def test_the_members_are_told_in_the_order_in_which_they_would_be_called() -> None:
    async with router_of("a", "b", "c") as (running, (first, second, third)):
        # given a session that has moved to its last member, and its second one limited for 30 s
        for each, hint_s in ((first, 15.0), (second, 60.0)):
            running.provider.will(each, limited(hint_s))
        await running.ask()
        running.clock.advance(20.0)

        # when
        found = await explained(running)

        # then
        told = [(each.member.id, each.rank, each.skip) for each in found.candidates]
        skip = Skipped(second, SkipReason.QUOTA_DEADLINE, at(60))
        assert told == [(third, 3, None), (first, 1, None), (second, 2, skip)]
        assert [each.state.quota_until for each in found.candidates] == [None, None, at(60)]
        assert found.decision.skipped == (skip,)
        assert (found.decision.member_id, found.decision.sticky) == (third, Sticky.PINNED)
        assert (found.decision.provider_id, found.decision.upstream_model) == (
            f"provider-{third}",
            f"up-{third}",
        )
        assert (found.decision.moved_at, found.decision.attempts) == (NOW, ())
        assert found.pin is not None
        assert (found.pin.member_id, found.error, found.switches_left) == (third, None, None)


async def test_what_keeps_every_member_is_told_with_the_error() -> None:
    async with router_of("a", "b") as (running, members):
        # given
        for each in members:
            running.provider.will(each, limited(30.0))
        await running.ask()

        # when
        found = await explained(running, prompt=PROMPTS["long"])

        # then
        assert found.error is not None
        assert (found.error.reason, found.error.retry_after_s) == ("UPSTREAM_EXHAUSTED", 30.0)
        assert found.decision.member_id == ""
        assert [each.skip is None for each in found.candidates] == [False, False]
        assert found.needs.input_tokens == 100


async def test_moves_are_told_up_to_the_last_one() -> None:
    # given a pool that allows one move, and a session that has moved once and failed
    async with router_of("a", "b", "c", switch=SwitchPolicy(max_switches=1)) as (running, order):
        before = await explained(running)
        for each in order[:2]:
            running.provider.will(each, limited(30.0))
        await running.ask()

        # when
        after = await explained(running)

        # then it is at home, which is set aside, and may not move to the member that is left
        assert [before.switches_left, after.switches_left] == [1, 0]
        assert after.error is not None
        assert after.error.reason == "UPSTREAM_EXHAUSTED"
        skips = [each.skip.reason for each in after.candidates if each.skip]
        assert skips.count(SkipReason.LIMIT_REACHED) == 1


async def test_to_explain_takes_no_probe() -> None:
    # given a circuit that has opened, and the end of its cool-down
    settings = {"breaker": BreakerPolicy(failure_threshold=1), "in_place_retries": 0}
    async with router_of("a", **settings) as (running, _):
        running.provider.will("a", refused(FailureClass.SERVER_ERROR))
        await running.ask()
        running.clock.advance(30.0)

        # when
        found = [await explained(running) for _ in range(2)]

        # then
        assert [each.error for each in found] == [None, None]
        (only,) = found[1].candidates
        assert (only.state.breaker, only.state.probes_in_flight) == (BreakerState.OPEN, 0)
        assert (await running.ask()).reason == "OK"


async def test_what_cannot_be_routed_is_no_explanation() -> None:
    async with router() as running:
        with pytest.raises(DomainError) as raised:
            await explained(running, target_id="nobody")
        assert raised.value.reason == "TARGET_NOT_FOUND"


class Recording(StreamInference):
    """Notes the decision of every call before its first attempt."""

    planned: RouteDecision

    async def route(self, *args: Any) -> RoutedCall:
        call = await super().route(*args)
        self.planned = call.decision
        return call


def recording(pool: Target) -> Router:
    running = Router(Snapshots(Snapshot(7, "incarnation", {"pool": pool})))
    dependencies = running.inference._dependencies
    running.inference = Recording(running.snapshots, dependencies)
    return running


@st.composite
def pools(draw: st.DrawFn) -> Target:
    """Two to four members, not all alike, and any policy without pauses in a call."""
    names = "abcd"[: draw(st.integers(2, 4))]
    lacks = [frozenset(), frozenset(), frozenset({Feature.IMAGES}), frozenset({Feature.TOOLS})]
    home = draw(st.integers(0, len(names) - 1))
    members = [
        member(
            name,
            draw(st.integers(1, 3)),
            failover_only=index != home and draw(st.booleans()),
            lacks=draw(st.sampled_from(lacks)),
            context_window=draw(st.sampled_from([None, None, 50])),
        )
        for index, name in enumerate(names)
    ]
    return target(
        *members,
        home=draw(st.sampled_from(HomeStrategy)),
        return_home=draw(st.sampled_from(ReturnHome)),
        pin_ttl_s=60.0,
        in_place_retries=0,
        breaker=BreakerPolicy(failure_threshold=1, cooldown_s=20.0),
        switch=SwitchPolicy(
            on_circuit_open=draw(st.booleans()),
            on_quota=draw(st.booleans()),
            on_retry_exhausted=draw(st.booleans()),
            quota_threshold_s=draw(st.sampled_from([None, 20.0])),
            max_switches=draw(st.sampled_from([None, 0, 1, 2])),
        ),
    )


# Most calls are plain, so that there are pins and circuits to explain.
ASKS = st.tuples(
    st.builds(
        Session, thread_id=st.sampled_from(["t1", "t2"]), run_id=st.sampled_from(["r1", "r2"])
    ),
    st.sampled_from([PROMPTS["text"], PROMPTS["text"], *PROMPTS.values()]),
)


class ExplainMachine(RuleBasedStateMachine):
    """One router explains every call, its twin none: after any change of the world the next call
    does what was told of it, and the same in both.
    """

    @initialize(pool=pools())
    def start(self, pool: Target) -> None:
        self.loop = asyncio.new_event_loop()
        self.pool = pool
        self.explaining, self.twin = recording(pool), recording(pool)
        self.hanging: list[asyncio.Task[Outcome]] = []

    @property
    def both(self) -> tuple[Router, Router]:
        return self.explaining, self.twin

    @rule(seconds=st.sampled_from([1.0, 20.0, 30.0, 70.0, 900.0]), ask=ASKS)
    def wait(self, seconds: float, ask: tuple[Session, Prompt]) -> None:
        for running in self.both:
            running.clock.advance(seconds)
        self._call(*ask)

    @rule(which=st.integers(0, 3), fault=st.sampled_from(sorted(FAULTS)), ask=ASKS)
    def break_member(self, which: int, fault: str, ask: tuple[Session, Prompt]) -> None:
        self._will(which, FAULTS[fault])
        self._call(*ask)

    @rule(which=st.integers(0, 3), ask=ASKS)
    def mend_member(self, which: int, ask: tuple[Session, Prompt]) -> None:
        self._will(which, reply())
        self._call(*ask)

    @rule(ask=ASKS)
    def hang(self, ask: tuple[Session, Prompt]) -> None:
        """A call waits for its provider, and holds the probe of a circuit that was open."""
        session, prompt = ask
        for running in self.both:
            running.clock.advance(20.0)
        told = self._explained(session, prompt)
        for running in self.both:
            running.provider.will(told.decision.member_id, [Hang()])
            asking = running.ask_alongside(session, prompt=prompt)
            self.hanging.append(self.loop.create_task(asking))
        self._run(self.explaining.settle())
        self._call(*ask)

    @precondition(lambda self: self.hanging)
    @rule(ask=ASKS)
    def cancel(self, ask: tuple[Session, Prompt]) -> None:
        self._cancel()
        self._call(*ask)

    @rule(revision=st.sampled_from(["r1", "r2"]), ask=ASKS)
    def change_the_pool(self, revision: str, ask: tuple[Session, Prompt]) -> None:
        self.pool = replace(self.pool, revision=revision)
        for running in self.both:
            running.snapshots.current = Snapshot(8, "incarnation", {"pool": self.pool})
        self._call(*ask)

    @rule(ask=ASKS)
    def unpin(self, ask: tuple[Session, Prompt]) -> None:
        session, _ = ask
        for running in self.both:
            routing = running.inference._dependencies.routing
            key = session_key("default", session, self.pool.pool.sticky_scope, "")
            routing.unpin(key, self.pool, running.clock.now())
        self._call(*ask)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self._cancel()
            self.loop.close()

    def _call(self, session: Session, prompt: Prompt) -> None:
        told = self._explained(session, prompt)
        outcome, of_twin = (
            self._run(running.ask_alongside(session, prompt=prompt)) for running in self.both
        )
        assert_told(told, self.explaining, outcome)
        assert seen(outcome) == seen(of_twin)

    def _will(self, which: int, answer: list[Action]) -> None:
        members = self.pool.members
        for running in self.both:
            running.provider.always(members[which % len(members)].id, answer)

    def _cancel(self) -> None:
        for task in self.hanging:
            task.cancel()
        if self.hanging:
            self._run(asyncio.wait(self.hanging))
        self.hanging.clear()

    def _explained(self, session: Session, prompt: Prompt) -> Explanation:
        return self._run(explained(self.explaining, session, prompt=prompt))

    def _run(self, work: Awaitable[T]) -> T:
        async def within() -> T:
            async with within_limit():
                return await work

        return self.loop.run_until_complete(within())


def assert_told(told: Explanation, running: Router, outcome: Outcome) -> None:
    planned = running.inference.planned  # type: ignore[attr-defined]
    assert without_member(told.decision) == planned
    if told.error is None:
        first = outcome.decision.attempts[0].member_id
        assert told.candidates[0].member.id == told.decision.member_id == first
        assert told.candidates[0].skip is None
    else:
        assert outcome.decision.attempts == ()
        assert outcome.decision.skipped == told.decision.skipped
        assert error_facts(outcome.error) == error_facts(told.error)


def without_member(decision: RouteDecision) -> RouteDecision:
    return replace(decision, member_id="", provider_id="", upstream_model="")


def error_facts(error: DomainError | None) -> Any:
    return error and (error.reason, error.message, error.metadata, error.retry_after_s)


def seen(outcome: Outcome) -> Any:
    """What a caller sees, but for the ids of attempts."""
    bare = replace(outcome.decision, attempts=())
    return bare, outcome.path, outcome.text, error_facts(outcome.raised)


TestExplainMachine = ExplainMachine.TestCase
# In the gate 1,000 calls.
TestExplainMachine.settings = settings(
    max_examples=amount(gate=50, chaos=1000), stateful_step_count=22
)
