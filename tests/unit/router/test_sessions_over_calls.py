from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.errors import DomainError, UnimplementedError
from services.router.core.decision import Sticky
from services.router.core.failures import FailureClass
from services.router.core.items import (
    Item,
    TextDelta,
)
from services.router.core.model import (
    HomeStrategy,
    ReturnHome,
    Snapshot,
    StickyScope,
    Unsupported,
)
from services.router.core.session import Session
from services.router.engine.inference import portions
from tests.unit.router.build import member, target
from tests.unit.router.rig import (
    limited,
    order_of,
    pool,
    refused,
    router,
)


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

        # and changes back
        running.snapshots.current = Snapshot(9, "incarnation", {"pool": found})
        await running.ask(Session())

        # then each begins with the first, the old one's turns forgotten
        first = found.members[0].id
        assert running.provider.calls == [first, first, first]


async def test_an_answer_makes_the_next_wait_without_a_hint_short_again() -> None:
    # given a lone model that was overloaded twice, so that it is left alone for 2 s
    found = pool("a", in_place_retries=0)
    async with router(found) as running:
        overloaded = refused(FailureClass.OVERLOADED, 503)
        running.provider.will("a", overloaded)
        await running.ask()
        running.clock.advance(1.0)
        running.provider.will("a", overloaded)
        again = await running.ask()
        running.clock.advance(2.0)

        # when it answers once and is overloaded once more
        await running.ask()
        running.provider.will("a", overloaded)
        after = await running.ask()

        # then
        assert again.error is not None
        assert again.error.retry_after_s == 2.0
        assert after.error is not None
        assert after.error.retry_after_s == 1.0


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
