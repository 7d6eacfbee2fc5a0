"""Answers that break off after another call has moved their session: whom that is charged to, and
where the session is afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from services.router.core.decision import AttemptOutcome, SkipReason
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Opened, StreamReset, TextDelta
from services.router.core.model import BreakerPolicy, MidStream
from services.router.core.session import Session
from tests.support.scripted_adapter import Action, Break, Wait
from tests.unit.router.in_memory_router import Outcome, Router, limited, router_of

OTHER = Session(thread_id="t9")
INTERRUPTED = AttemptOutcome.INTERRUPTED
CUT = Failure(FailureClass.STREAM_TRUNCATED)
CHARGES = {
    "circuit": (CUT, SkipReason.CIRCUIT_OPEN),
    "quota": (Failure(FailureClass.RATE_LIMIT, 429, 90.0), SkipReason.QUOTA_DEADLINE),
    "quarantine": (Failure(FailureClass.PERMISSION, 403), SkipReason.QUARANTINED),
}


@asynccontextmanager
async def a_live_answer(
    failure: Failure, **settings: object
) -> AsyncIterator[tuple[Router, Sequence[str], asyncio.Task[Outcome], asyncio.Event]]:
    """A call that its home has begun to answer, while another call of its session has gone by a
    second member, whose limit has passed since, to a third one. The answer fails when the event is
    set.
    """
    policy = BreakerPolicy(failure_threshold=1, cooldown_s=600.0)
    async with router_of("a", "b", "c", breaker=policy, **settings) as (running, members):
        breaks = asyncio.Event()
        begun: list[Action] = [[Opened(), TextDelta("old")], Wait(breaks), Break(failure)]
        running.provider.will(members[0], begun, limited(1.0))
        running.provider.will(members[1], limited(1.0))
        old = asyncio.create_task(running.ask_alongside())
        await running.settle()
        moved = await running.ask_alongside()
        assert moved.decision.member_id == members[2]
        await running.pass_time(2.0)
        yield running, members, old, breaks


async def set_aside(running: Router) -> dict[str, SkipReason]:
    """The members that another session would not be sent to, and why."""
    outcome = await running.ask(OTHER)
    return {skip.member_id: skip.reason for skip in outcome.decision.skipped}


@pytest.mark.parametrize(("failure", "reason"), CHARGES.values(), ids=CHARGES)
async def test_an_old_answer_that_breaks_off_charges_its_own_member(
    failure: Failure, reason: SkipReason
) -> None:
    async with a_live_answer(failure) as (running, members, old, breaks):
        (before,) = running.pins.all()

        # when
        breaks.set()
        outcome = await old

        # then
        assert outcome.reason == "STREAM_INTERRUPTED"
        assert [(a.member_id, a.outcome) for a in outcome.decision.attempts] == [
            (members[0], INTERRUPTED)
        ]
        skipped = await set_aside(running)
        assert skipped.get(members[0]) is reason
        assert members[2] not in skipped
        # and the session stays where it has moved
        (after,) = [pin for pin in running.pins.all() if pin.session == before.session]
        assert (after.member_id, after.moved_at) == (members[2], before.moved_at)
        assert (await running.ask()).decision.member_id == members[2]


@pytest.mark.parametrize(("failure", "reason"), CHARGES.values(), ids=CHARGES)
async def test_an_old_answer_that_starts_over_does_so_where_its_session_has_moved(
    failure: Failure, reason: SkipReason
) -> None:
    restart = {"mid_stream": MidStream.RESTART}
    async with a_live_answer(failure, **restart) as (running, members, old, breaks):
        (before,) = running.pins.all()

        # when
        breaks.set()
        outcome = await old

        # then the member between them is not asked, and the session stays
        assert outcome.raised is None
        (reset,) = [item for item in outcome.items if isinstance(item, StreamReset)]
        assert reset.decision.member_id == members[2]
        assert (await set_aside(running)).get(members[0]) is reason
        (after,) = [pin for pin in running.pins.all() if pin.session == before.session]
        assert (after.member_id, after.moved_at) == (members[2], before.moved_at)


async def test_an_answer_that_breaks_off_twice_charges_each_member_once() -> None:
    # given an old answer that breaks off where its session has moved to as well
    restart = {"mid_stream": MidStream.RESTART}
    async with a_live_answer(CUT, **restart) as (running, members, old, breaks):
        running.provider.will(members[2], [[Opened(), TextDelta("again")], Break(CUT)])

        # when
        breaks.set()
        outcome = await old

        # then both circuits are open, and the session goes on to where the answer did
        assert [a.member_id for a in outcome.decision.attempts] == [
            members[0],
            members[2],
            members[1],
        ]
        skipped = await set_aside(running)
        assert skipped == dict.fromkeys((members[0], members[2]), SkipReason.CIRCUIT_OPEN)
        assert (await running.ask()).decision.member_id == members[1]


async def test_an_old_answer_that_is_cancelled_charges_nobody() -> None:
    async with a_live_answer(CUT) as (running, members, old, _):
        # when the caller leaves
        old.cancel()
        await asyncio.wait({old})

        # then nobody is charged
        assert await set_aside(running) == {}
        assert (await running.ask()).decision.member_id == members[2]
