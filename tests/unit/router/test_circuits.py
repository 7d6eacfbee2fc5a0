"""Circuit breakers over calls: when a member is passed over, refused and probed."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.chassis.errors import ErrorKind
from services.router.core.decision import AttemptKind, AttemptOutcome, Skipped, SkipReason, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Opened, TextDelta
from services.router.core.model import BreakerPolicy, Clocks, Snapshot, SwitchPolicy
from services.router.core.session import Session
from tests.support.scripted_adapter import Break, Hang, Raise, reply
from tests.unit.router.builders import at, member, target
from tests.unit.router.in_memory_router import (
    Router,
    limited,
    order_of,
    pool,
    refused,
    router,
    router_of,
)

FAULT = refused(FailureClass.SERVER_ERROR, 500)
# Opens at two failures for 10 s; calls are not repeated in place.
TWO = BreakerPolicy(failure_threshold=2, cooldown_s=10.0)
STAYING = SwitchPolicy(on_circuit_open=False)


async def open_circuit(running: Router, member_id: str, failures: int = 2) -> None:
    """Calls of sessions at home on the member that all fail."""
    running.provider.always(member_id, FAULT)
    for _ in range(failures):
        await running.ask_alongside(max_attempts=1)
    running.provider.always(member_id, reply())
    running.provider.calls.clear()


async def test_five_failed_calls_open_the_circuit_and_the_session_moves_before_the_next() -> None:
    # given a pool with the defaults, whose home fails
    async with router_of() as (running, (home, second, _)):
        running.provider.always(home, FAULT)

        # when
        failed = [await running.ask() for _ in range(5)]
        calls = list(running.provider.calls)
        moved = await running.ask()
        again = await running.ask()

        # then each call is one failure, its retry in place included
        assert {outcome.reason for outcome in failed} == {"UPSTREAM_FAILED"}
        assert failed[3].error.retry_after_s is None
        assert failed[4].error.retry_after_s == 30.0
        assert calls == [home] * 10
        assert moved.path == [(second, AttemptKind.INITIAL, AttemptOutcome.SUCCEEDED)]
        assert moved.decision.sticky is Sticky.MOVED
        assert moved.decision.skipped == (Skipped(home, SkipReason.CIRCUIT_OPEN, at(30)),)
        assert again.decision.sticky is Sticky.PINNED


async def test_a_retry_in_place_that_succeeds_is_no_failure() -> None:
    # given a circuit that one failure opens
    policy = BreakerPolicy(failure_threshold=1)
    async with router_of("a", "b", breaker=policy) as (running, (home, _)):
        running.provider.will(home, FAULT, reply())

        # when
        await running.ask()
        again = await running.ask()

        # then
        assert again.decision.member_id == home
        assert again.decision.skipped == ()


async def test_an_open_circuit_of_a_model_refuses_its_calls() -> None:
    # given a model called directly, with the defaults
    async with router_of("solo") as (running, _):
        await open_circuit(running, "solo", failures=5)
        running.clock.advance(12)

        # when
        outcome = await running.ask()

        # then
        assert outcome.error.kind is ErrorKind.UNAVAILABLE
        assert outcome.reason == "ALL_MEMBERS_UNAVAILABLE"
        assert "solo: circuit_open: the circuit breaker is open" in outcome.error.message
        assert outcome.error.retry_after_s == 18.0
        assert outcome.frames == []
        assert running.provider.calls == []


async def test_with_every_circuit_open_no_provider_is_called() -> None:
    # given two members whose circuits opened 4 s after one another
    async with router_of("a", "b", breaker=TWO, in_place_retries=0) as (running, (home, second)):
        await open_circuit(running, home)
        running.clock.advance(4)
        await open_circuit(running, second)

        # when
        outcome = await running.ask()

        # then
        assert outcome.reason == "ALL_MEMBERS_UNAVAILABLE"
        assert outcome.error.retry_after_s == 6.0
        open_text = "circuit_open: the circuit breaker is open"
        assert json.loads(outcome.error.metadata["causes"]) == {home: open_text, second: open_text}
        assert running.provider.calls == []


async def test_without_on_circuit_open_the_session_stays_and_is_refused() -> None:
    # given
    settings = {"breaker": TWO, "in_place_retries": 0, "switch": STAYING}
    async with router_of("a", "b", **settings) as (running, (home, _)):
        await open_circuit(running, home)

        # when
        refused_call = await running.ask()
        running.clock.advance(10)
        probe = await running.ask()

        # then
        assert refused_call.reason == "UPSTREAM_FAILED"
        assert refused_call.error.message == (
            f"model {home!r} is not called: the circuit breaker is open"
        )
        assert refused_call.error.retry_after_s == 10.0
        assert refused_call.decision.sticky is Sticky.HOME
        assert refused_call.decision.attempts == ()
        assert (probe.text, probe.decision.member_id) == ("ok", home)
        assert [each.probe for each in probe.decision.attempts] == [True]
        assert running.provider.calls == [home]


async def test_without_on_circuit_open_a_quota_moves_past_an_open_circuit() -> None:
    # given a limited home, and a second member whose circuit is open
    found = pool(breaker=TWO, in_place_retries=0, switch=STAYING)
    home, second, third = order_of(found)
    names = (f"thread:t{n}" for n in range(2, 199))
    there = next(name for name in names if order_of(found, name)[0] == second)
    async with router(found) as running:
        running.provider.always(second, FAULT)
        for _ in range(2):
            await running.ask(Session(thread_id=there.removeprefix("thread:")))
        running.provider.calls.clear()
        running.provider.will(home, limited(30.0))

        # when
        outcome = await running.ask()

        # then
        assert running.provider.calls == [home, third]
        assert [skip.reason for skip in outcome.decision.skipped] == [SkipReason.CIRCUIT_OPEN]


async def test_one_probe_at_a_time_is_let_through() -> None:
    # given a circuit whose cool-down is over, and a probe that waits for its provider
    async with router_of("a", breaker=TWO, in_place_retries=0) as (running, _):
        await open_circuit(running, "a")
        running.clock.advance(10)
        running.provider.will("a", [Hang()])
        probing = await running.ask_until_it_hangs()

        # when
        during = await running.ask_alongside()
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)

        # then nobody knows when the probe ends
        assert during.reason == "ALL_MEMBERS_UNAVAILABLE"
        assert during.error.retry_after_s == 1.0
        assert during.decision.skipped == (Skipped("a", SkipReason.CIRCUIT_OPEN),)
        assert running.provider.calls == ["a"]


@pytest.mark.parametrize(
    ("answer", "allowed_after"),
    [
        (reply(), 0.0),
        (refused(FailureClass.INVALID_REQUEST, 400), 0.0),
        (refused(FailureClass.AUTH, 401), 0.0),
        (refused(FailureClass.CONTENT_POLICY, 400), 0.0),
        (FAULT, 10.0),
        (refused(FailureClass.OVERLOADED, 503), 10.0),
        ([[Opened(), TextDelta("a")], Break(Failure(FailureClass.STREAM_TRUNCATED))], 10.0),
        ([[Opened(), TextDelta("a")], Break(Failure(FailureClass.CONTENT_POLICY))], 0.0),
    ],
    ids=["ok", "400", "401", "refused", "500", "overload", "cut", "refused later"],
)
async def test_the_end_of_a_probe_decides(answer: list[object], allowed_after: float) -> None:
    # given a model whose circuit lets a probe through
    async with router_of("a", breaker=TWO, in_place_retries=0) as (running, _):
        await open_circuit(running, "a")
        running.clock.advance(10)
        running.provider.will("a", answer)  # type: ignore[arg-type]  # one of each kind

        # when
        await running.ask()
        after = await running.ask()

        # then a neutral end and a failure open the circuit again from now
        assert (after.raised is None) == (allowed_after == 0.0)
        assert allowed_after == (0.0 if after.raised is None else after.error.retry_after_s)


async def test_a_cancelled_probe_opens_the_circuit_again() -> None:
    # given a probe that has begun its answer
    async with router_of("a", breaker=TWO, in_place_retries=0) as (running, _):
        await open_circuit(running, "a")
        running.clock.advance(10)
        running.provider.will("a", [[Opened(), TextDelta("a")], Hang()])
        async with aclosing(running.begin().frames()) as frames:
            await anext(frames)
            running.clock.advance(3)

            # when its caller goes away

        # then
        after = await running.ask()
        assert after.error.retry_after_s == 10.0


async def test_a_probe_that_is_cancelled_between_two_attempts_opens_the_circuit_again() -> None:
    # given a probe that pauses before its second repeat
    async with router_of("a", breaker=TWO, in_place_retries=2) as (running, _):
        await open_circuit(running, "a")
        running.clock.advance(10)
        running.provider.will("a", FAULT, FAULT)
        probing = asyncio.create_task(running.ask())
        await running.settle()
        assert running.provider.calls == ["a", "a"]

        # when
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)

        # then
        after = await running.ask()
        assert after.error.retry_after_s == 10.0


async def test_a_probe_is_leased_until_5_s_after_its_call() -> None:
    # given a probe with a deadline in 20 s that ends without a word
    async with router_of("a", breaker=TWO, in_place_retries=0) as (running, _):
        await open_circuit(running, "a")
        running.clock.advance(10)
        running.provider.will("a", [Hang()])
        answer = running.begin(deadline_s=20.0)
        abandoned = asyncio.ensure_future(anext(answer.frames()))
        await running.provider.until_hanging()

        # when the lease has expired after 25 s, and the cool-down after 10 s more
        running.clock.advance(34)
        before = await running.ask_alongside()
        running.clock.advance(1)
        after = await running.ask_alongside()
        abandoned.cancel()
        await asyncio.gather(abandoned, return_exceptions=True)

        # then
        assert before.error.retry_after_s == 1.0
        assert after.text == "ok"


@pytest.mark.parametrize("kind", [FailureClass.RATE_LIMIT, FailureClass.INVALID_REQUEST])
async def test_limits_and_invalid_requests_open_no_circuit(kind: FailureClass) -> None:
    # given a circuit that one failure opens
    policy = BreakerPolicy(failure_threshold=1)
    async with router_of("a", breaker=policy, in_place_retries=0) as (running, _):
        running.provider.always("a", refused(kind))

        # when
        for _ in range(3):
            await running.ask()

        # then
        assert running.provider.calls == ["a"] * 3


async def test_cancelled_calls_open_no_circuit() -> None:
    # given
    async with router_of("a", breaker=BreakerPolicy(failure_threshold=1)) as (running, _):
        running.provider.will("a", [Hang()])
        asking = await running.ask_until_it_hangs()

        # when
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        # then
        assert (await running.ask()).text == "ok"


async def test_a_time_out_and_a_defect_open_the_circuit() -> None:
    # given a circuit that one failure opens for 10 s, and a total clock of 2 s
    policy = BreakerPolicy(failure_threshold=1, cooldown_s=10.0)
    settings = {"breaker": policy, "in_place_retries": 0, "clocks": Clocks(total_s=2.0)}
    async with router_of("a", **settings) as (running, _):
        running.provider.will("a", [Hang()], [Raise(ValueError("defect"))])

        # when
        asking = await running.ask_until_it_hangs()
        await running.pass_time(2.2)
        timed_out, then = await asking, await running.ask()
        running.clock.advance(10)
        with pytest.raises(ValueError, match="defect"):
            await running.ask()
        at_last = await running.ask()

        # then
        assert timed_out.reason == "UPSTREAM_FAILED"
        assert then.reason == at_last.reason == "ALL_MEMBERS_UNAVAILABLE"


async def test_a_broken_stream_is_one_failure_and_a_drained_one_a_success() -> None:
    # given two failures that open the circuit, with a complete answer in between
    cut = [[Opened(), TextDelta("a")], Break(Failure(FailureClass.STREAM_TRUNCATED))]
    async with router_of("a", breaker=TWO) as (running, _):
        running.provider.will("a", cut, reply(), cut, cut)  # type: ignore[arg-type]  # mixed

        # when
        reasons = [(await running.ask()).reason for _ in range(5)]

        # then
        assert reasons == [
            "STREAM_INTERRUPTED",
            "OK",
            "STREAM_INTERRUPTED",
            "STREAM_INTERRUPTED",
            "ALL_MEMBERS_UNAVAILABLE",
        ]


async def test_a_result_that_comes_late_does_not_close_the_circuit() -> None:
    # given a call that has begun before the circuit opened
    async with router_of("a", breaker=TWO, in_place_retries=0) as (running, _):
        running.provider.will("a", [[Opened(), TextDelta("a")], *reply("b")])
        async with aclosing(running.begin().frames()) as late:
            await anext(late)
            await open_circuit(running, "a")

            # when it ends well
            async for _ in late:
                pass

        # then
        assert (await running.ask()).reason == "ALL_MEMBERS_UNAVAILABLE"


async def test_a_circuit_that_opens_during_the_pause_ends_the_retries() -> None:
    # given a call that pauses 0.25 s before its second retry
    async with router_of("a", "b", breaker=TWO, in_place_retries=2) as (running, (home, second)):
        running.provider.always(home, FAULT)
        asking = asyncio.create_task(running.ask())
        await running.settle()
        assert running.provider.calls == [home, home]

        # when two others that ask without retries open the circuit, and the pause ends
        for _ in range(2):
            await running.ask_alongside(max_attempts=1)
        running.provider.calls.clear()
        running.clock.advance(0.25)
        outcome = await asking

        # then
        assert running.provider.calls == [second]
        assert outcome.decision.sticky is Sticky.MOVED


async def test_a_call_that_fails_over_is_one_failure_of_each_member() -> None:
    # given a pool that fails over after its retries, and circuits that one failure opens
    settings = {
        "breaker": BreakerPolicy(failure_threshold=1),
        "switch": SwitchPolicy(on_retry_exhausted=True),
    }
    async with router_of("a", "b", **settings) as (running, (home, second)):
        running.provider.always(home, FAULT)
        running.provider.always(second, FAULT)

        # when
        exhausted = await running.ask()
        again = await running.ask()

        # then
        assert exhausted.reason == "MEMBERS_EXHAUSTED"
        assert exhausted.error.retry_after_s == 30.0
        assert running.provider.calls == [home, home, second, second]
        assert again.reason == "ALL_MEMBERS_UNAVAILABLE"


async def test_circuits_belong_to_a_pool_and_a_model() -> None:
    # given one model in two pools, and called directly
    shared = member("a")
    one, other = target(shared, breaker=TWO, id="one"), target(shared, breaker=TWO, id="other")
    alone = replace(target(shared, breaker=TWO, id="a"), is_pool=False)
    async with router(one, other, alone) as running:
        running.provider.always("a", FAULT)

        # when the circuit of one pool opens
        for _ in range(2):
            await running.ask(target_id="one")
        running.provider.always("a", reply())

        # then
        assert (await running.ask(target_id="one")).reason == "ALL_MEMBERS_UNAVAILABLE"
        assert (await running.ask(target_id="other")).text == "ok"
        assert (await running.ask(target_id="a")).text == "ok"


async def test_a_corrected_provider_starts_with_a_closed_circuit() -> None:
    # given
    found = pool("a", breaker=TWO, in_place_retries=0)
    async with router(found) as running:
        await open_circuit(running, "a")

        # when the pool changes, and then the provider
        (before,) = found.members
        renewed = replace(before, provider=replace(before.provider, revision="p2"))
        running.snapshots.current = Snapshot(8, "inc", {"pool": replace(found, revision="r2")})
        pool_changed = await running.ask()
        running.snapshots.current = Snapshot(9, "inc", {"pool": replace(found, members=(renewed,))})
        provider_changed = await running.ask()

        # then
        assert pool_changed.reason == "ALL_MEMBERS_UNAVAILABLE"
        assert provider_changed.text == "ok"
