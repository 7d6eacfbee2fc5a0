from __future__ import annotations

import asyncio
import json

from services.content.model import FinishReason
from services.router.core.decision import AttemptKind, AttemptOutcome, Sticky
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import (
    Finished,
    Opened,
    Started,
    TextDelta,
)
from services.router.core.model import (
    SwitchPolicy,
)
from services.router.core.session import Session
from tests.support.scripted_adapter import (
    Break,
    reply,
)
from tests.unit.router.build import member, target
from tests.unit.router.rig import (
    FINISHED,
    MEMBERS,
    limited,
    order_of,
    pool,
    refused,
    router,
)


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
