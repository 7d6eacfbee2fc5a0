from __future__ import annotations

import asyncio
import json

from services.content.model import FinishReason
from services.router.core.decision import AttemptKind, AttemptOutcome, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Finished, Opened, Started, TextDelta
from services.router.core.model import SwitchPolicy
from services.router.core.session import Session
from tests.support.scripted_adapter import Break, reply
from tests.unit.router.in_memory_router import limited, order_of, pool, refused, router_of


async def test_a_call_reaches_the_home_only() -> None:
    # given
    async with router_of() as (running, (home, *_)):
        # when
        outcome = await running.ask()

        # then
        assert running.provider.calls == [home]
        assert running.provider.requests[0].member.model.upstream_model == f"up-{home}"
        assert outcome.items == [Started(outcome.decision, "r1"), TextDelta("ok"), outcome.finished]
        assert outcome.path == [(home, AttemptKind.INITIAL, AttemptOutcome.SUCCEEDED)]
        assert outcome.decision.sticky is Sticky.HOME
        assert (outcome.decision.home_member_id, outcome.decision.member_id) == (home, home)
        assert outcome.decision.registry_version == 7


async def test_a_call_fails_over_from_a_rate_limited_home_and_pins_the_session() -> None:
    # given a home that is limited once
    async with router_of() as (running, (home, second, _)):
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


async def test_a_quota_deadline_sets_the_member_aside_for_every_session() -> None:
    # given a home with a quota deadline in 30 s
    async with router_of() as (running, (home, *_)):
        names = (f"t{n}" for n in range(2, 199))
        same_home = (name for name in names if order_of(pool(), f"thread:{name}")[0] == home)
        running.provider.will(home, limited(30.0))
        await running.ask()
        running.provider.calls.clear()

        # when another session with the same home asks within it, and a third one after it
        during = await running.ask(Session(thread_id=next(same_home)))
        calls_during = list(running.provider.calls)
        running.clock.advance(30)
        after = await running.ask(Session(thread_id=next(same_home)))

        # then
        assert home not in calls_during
        assert during.decision.sticky is Sticky.MOVED
        (skip,) = during.decision.skipped
        assert (skip.member_id, skip.reason.value) == (home, "quota_deadline")
        assert after.decision.member_id == home


async def test_with_every_member_set_aside_no_provider_is_called() -> None:
    # given a pool of two that are both limited
    async with router_of("a", "b") as (running, (first, second)):
        running.provider.will(first, limited(20.0))
        running.provider.will(second, limited(50.0))
        exhausted = await running.ask()
        running.provider.calls.clear()
        running.clock.advance(5)

        # when
        outcome = await running.ask()

        # then
        assert exhausted.reason == "UPSTREAM_EXHAUSTED"
        assert exhausted.error.retry_after_s == 20.0
        causes = json.loads(exhausted.error.metadata["causes"])
        assert causes == {first: "rate_limit", second: "rate_limit"}
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert outcome.error.retry_after_s == 15.0
        assert running.provider.calls == []
        assert outcome.frames == []
        assert outcome.decision.member_id == ""


async def test_a_call_that_fails_on_every_member_makes_no_pin() -> None:
    # given
    async with router_of("a", "b") as (running, (home, second)):
        running.provider.will(home, limited(20.0))
        running.provider.will(second, limited(20.0))

        # when
        await running.ask()
        running.clock.advance(60)
        outcome = await running.ask()

        # then
        assert outcome.decision.sticky is Sticky.HOME
        assert outcome.decision.member_id == home


async def test_a_hint_below_the_threshold_is_waited_for_on_the_same_member() -> None:
    # given
    async with router_of(switch=SwitchPolicy(quota_threshold_s=5.0)) as (running, (home, *_)):
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


async def test_a_hint_below_the_threshold_beyond_the_longest_wait_is_an_error() -> None:
    # given
    async with router_of(switch=SwitchPolicy(quota_threshold_s=60.0)) as (running, (home, *_)):
        running.provider.will(home, limited(30.0))

        # when
        outcome = await running.ask()
        again = await running.ask()

        # then the deadline sets the member aside for no session
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert outcome.error.retry_after_s == 30.0
        assert again.decision.member_id == home
        assert running.provider.calls == [home, home]


async def test_a_model_called_directly_is_never_set_aside() -> None:
    # given a model called directly, limited without a hint
    async with router_of("solo") as (running, _):
        running.provider.will("solo", limited(None))

        # when
        outcome = await running.ask()
        again = await running.ask()

        # then the error has the time of the recovery, and the next call calls the model
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert outcome.error.retry_after_s == 1.0
        assert again.text == "ok"
        assert len(running.pins) == 0


async def test_a_transient_failure_is_retried_on_its_member_and_then_returned() -> None:
    # given
    async with router_of() as (running, (home, *_)):
        running.provider.will(home, refused(FailureClass.SERVER_ERROR, 500), reply("cured"))

        # when
        cured = await running.ask()
        running.provider.always(home, refused(FailureClass.SERVER_ERROR, 500))
        failed = await running.ask()

        # then no other member was called
        assert cured.text == "cured"
        assert [kind for _, kind, _ in cured.path] == [AttemptKind.INITIAL, AttemptKind.RETRY]
        assert failed.reason == "UPSTREAM_FAILED"
        assert running.provider.calls == [home] * 4


async def test_a_rejected_credential_fails_over() -> None:
    # given
    async with router_of("a", "b") as (running, (home, second)):
        running.provider.will(home, refused(FailureClass.AUTH, 401))

        # when
        outcome = await running.ask()

        # then
        assert outcome.decision.member_id == second
        assert outcome.decision.attempts[0].failure == Failure(FailureClass.AUTH, 401)


async def test_without_on_permanent_a_rejected_credential_is_returned() -> None:
    # given
    async with router_of("a", "b", switch=SwitchPolicy(on_permanent=False)) as (running, (home, _)):
        running.provider.always(home, refused(FailureClass.AUTH, 401))

        # when
        outcome = await running.ask()
        again = await running.ask()

        # then, and the next call calls the member again
        assert outcome.reason == again.reason == "UPSTREAM_REJECTED"
        assert running.provider.calls == [home, home]


async def test_an_invalid_request_is_returned_without_failover() -> None:
    # given
    async with router_of("a", "b") as (running, (home, _)):
        running.provider.will(home, refused(FailureClass.INVALID_REQUEST, 400))

        # when
        outcome = await running.ask()

        # then
        assert outcome.reason == "UPSTREAM_INVALID_REQUEST"
        assert running.provider.calls == [home]


async def test_refused_content_ends_with_finish_reason_content_filter() -> None:
    # given a provider that refuses on opening, and one that refuses inside its stream
    async with router_of("a", "b") as (running, (home, _)):
        running.provider.will(home, refused(FailureClass.CONTENT_POLICY, 400))
        midway = Break(Failure(FailureClass.CONTENT_POLICY))
        running.provider.will(home, [[Opened(), TextDelta("a")], midway])

        # when
        at_once = await running.ask()
        in_the_middle = await running.ask()

        # then
        assert at_once.items[1:] == [Finished(FinishReason.CONTENT_FILTER, at_once.decision)]
        assert at_once.decision.member_id == home
        filtered = Finished(FinishReason.CONTENT_FILTER, in_the_middle.decision)
        assert in_the_middle.items[1:] == [TextDelta("a"), filtered]


async def test_max_attempts_bounds_the_attempts() -> None:
    # given two members that are limited
    async with router_of() as (running, (home, second, _)):
        running.provider.always(home, limited(30.0))
        running.provider.always(second, limited(30.0))

        # when
        outcome = await running.ask(max_attempts=2)

        # then the error of the last provider is returned
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert running.provider.calls == [home, second]


async def test_each_member_is_called_at_most_once() -> None:
    # given all limited without a hint
    async with router_of() as (running, order):
        for name in order:
            running.provider.always(name, limited(None))

        # when
        outcome = await running.ask()

        # then
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert running.provider.calls == order
