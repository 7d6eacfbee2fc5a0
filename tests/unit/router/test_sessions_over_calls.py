from __future__ import annotations

import json
from dataclasses import replace

import pytest

from services.chassis.errors import DomainError
from services.router.core.decision import Sticky
from services.router.core.failures import FailureClass
from services.router.core.items import Item, TextDelta
from services.router.core.model import HomeStrategy, ReturnHome, Snapshot, StickyScope, Unsupported
from services.router.core.session import Session
from services.router.engine.inference import split_into_frames
from tests.unit.router.builders import at, member, target
from tests.unit.router.in_memory_router import limited, order_of, pool, refused, router, router_of


async def test_round_robin_sessions_advance_and_keep_their_home() -> None:
    # given
    async with router_of("a", "b", home=HomeStrategy.ROUND_ROBIN) as (running, _):
        # when two threads ask twice each
        for thread in ("t1", "t2", "t1", "t2"):
            await running.ask(Session(thread_id=thread))

        # then
        assert running.provider.calls == ["a", "b", "a", "b"]
        assert running.changes.take_unsaved() == []


async def test_calls_without_a_session_advance_round_robin_too() -> None:
    # given
    async with router_of("a", "b", home=HomeStrategy.ROUND_ROBIN) as (running, _):
        # when
        outcomes = [await running.ask(Session()) for _ in range(4)]

        # then
        assert running.provider.calls == ["a", "b", "a", "b"]
        assert {outcome.decision.sticky for outcome in outcomes} == {Sticky.ANONYMOUS}
        assert len(running.pins) == 0
        assert running.provider.requests[0].cache_key == ""


async def test_a_session_does_not_return_to_a_round_robin_home_that_failed() -> None:
    # given
    async with router_of("a", "b", home=HomeStrategy.ROUND_ROBIN) as (running, _):
        running.provider.will("a", limited(1.0))

        # when
        moved = await running.ask()
        running.clock.advance(60)
        stays = await running.ask()

        # then
        assert (moved.decision.home_member_id, moved.decision.member_id) == ("a", "b")
        assert (stays.decision.home_member_id, stays.decision.member_id) == ("a", "b")


async def test_a_new_revision_restarts_round_robin() -> None:
    # given a pool of which one slot is taken
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

        # then each revision starts at the first slot
        assert running.provider.calls == ["a", "a", "a"]


async def test_an_answer_resets_the_pause_after_refusals_without_a_hint() -> None:
    # given a model called directly that was overloaded twice, so that its pause is 2 s
    async with router_of("a", in_place_retries=0) as (running, _):
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
        assert again.error.retry_after_s == 2.0
        assert after.error.retry_after_s == 1.0


async def test_with_scope_run_runs_are_sessions() -> None:
    # given a limited home for run-1
    found = pool("a", "b", sticky_scope=StickyScope.RUN)
    async with router(found) as running:
        running.provider.will(order_of(found, "run:run-1")[0], limited(1.0))
        await running.ask(Session(thread_id="t1", run_id="run-1"))

        # when the same thread asks in another run
        other = await running.ask(Session(thread_id="t1", run_id="run-2"))

        # then the pin of the first run does not apply
        assert other.decision.sticky is not Sticky.PINNED
        assert other.decision.home_member_id == order_of(found, "run:run-2")[0]


async def test_a_session_returns_home_with_its_next_run() -> None:
    # given a session that failed over in run-1
    async with router_of("a", "b", return_home=ReturnHome.NEXT_SESSION) as (
        running,
        (home, second),
    ):
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


async def test_a_decision_tells_its_session_and_since_when_and_why_it_is_elsewhere() -> None:
    async with router_of("a", "b", "c") as (running, (first, second, _)):
        # given a session that fails over, stays, and fails over again
        running.provider.will(first, limited(30.0))
        moved = await running.ask()
        running.clock.advance(60.0)
        stayed = await running.ask()
        running.provider.will(second, limited(30.0))
        again = await running.ask()

        # when
        anonymous = await running.ask(Session())

        # then only the call that follows the pin tells of it
        decisions = [each.decision for each in (moved, stayed, again, anonymous)]
        told = [(each.session, each.moved_at, each.move_reason) for each in decisions]
        assert told == [
            ("thread:t1", None, None),
            ("thread:t1", at(0), FailureClass.RATE_LIMIT),
            ("thread:t1", None, None),
            ("", None, None),
        ]


async def test_a_member_without_an_adapter_is_skipped() -> None:
    # given a pool of which one provider is of a kind that is not served
    known, unserved = member("known"), member("unserved", 10**6, adapter=Unsupported())
    mixed = target(known, unserved, id="mixed")
    alone = target(unserved, id="unserved")
    async with router(mixed, alone) as running:
        # when
        served = await running.ask(target_id="mixed")
        refused_call = await running.ask(target_id="unserved")

        # then
        assert served.decision.member_id == "known"
        assert [skip.detail for skip in served.decision.skipped] == ["adapter"]
        assert refused_call.reason == "NO_CAPABLE_MEMBER"
        assert json.loads(refused_call.error.metadata["missing"]) == {"unserved": ["adapter"]}


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


async def test_min_registry_version_is_waited_for() -> None:
    # given
    async with router(pool()) as running:
        # when
        outcome = await running.ask(min_registry_version=9)

        # then
        assert outcome.decision.registry_version == 9


def test_items_are_split_into_frames_by_count_and_size() -> None:
    # given
    many: list[Item] = [TextDelta("x")] * 130
    large: list[Item] = [TextDelta("x" * 40_000), TextDelta("y" * 40_000), TextDelta("z" * 99_999)]

    # when, then
    assert [len(portion) for portion in split_into_frames(many)] == [64, 64, 2]
    assert [len(portion) for portion in split_into_frames(large)] == [1, 1, 1]
    assert list(split_into_frames([])) == []
