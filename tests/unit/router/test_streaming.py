from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.content.model import Usage
from services.router.core.decision import AttemptKind, AttemptOutcome
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Interrupted, Opened, TextDelta, UsageReport
from services.router.core.model import Clocks
from tests.support.scripted_adapter import Action, Break, Hang, Raise, Wait
from tests.unit.router.builders import member, target
from tests.unit.router.in_memory_router import FINISHED, drained, limited, router, router_of


async def test_nothing_is_sent_before_the_commit_point() -> None:
    # given a member that opens, counts and then hangs before any content
    async with router_of("a", "b") as (running, (home, second)):
        overloaded = Break(Failure(FailureClass.OVERLOADED, 503))
        running.provider.will(home, [[Opened("r0")], [UsageReport(Usage(1))], overloaded])

        # when
        outcome = await running.ask()

        # then its start-up frames were not sent
        assert outcome.items[1:] == [TextDelta("ok"), outcome.finished]
        assert outcome.path[0] == (home, AttemptKind.INITIAL, AttemptOutcome.FAILED)
        assert outcome.decision.member_id == second


async def test_start_up_frames_are_held_up_to_64() -> None:
    # given a member that sends nothing but counts, then breaks
    counts: list[Action] = [[UsageReport(Usage(n))] for n in range(63)]
    async with router_of("a", "b") as (running, (home, _)):
        running.provider.will(home, [[Opened()], *counts, Break(Failure(FailureClass.RATE_LIMIT))])

        # when
        outcome = await running.ask()

        # then the 64th commits, and the caller gets the failure
        assert outcome.reason == "STREAM_INTERRUPTED"
        assert len(running.provider.calls) == 1


async def test_an_answer_of_several_reads_is_closed_at_its_end() -> None:
    # given a member that sends word by word
    pieces: list[Action] = [[Opened("r1")], [TextDelta("o")], [TextDelta("k")], [FINISHED]]
    async with router_of("a") as (running, _):
        running.provider.will("a", pieces)

        # when
        outcome = await running.ask()

        # then the connection is released, and the decision has the outcome
        assert running.provider.open_now == 0
        assert outcome.text == "ok"
        assert outcome.path == [("a", AttemptKind.INITIAL, AttemptOutcome.SUCCEEDED)]


async def test_a_complete_answer_releases_its_connection_before_it_is_read() -> None:
    # given an answer whose end comes in a read of its own
    async with router_of("a") as (running, _):
        running.provider.will("a", [[Opened(), TextDelta("ok")], [FINISHED]])

        # when the reader has the last frame and does not read on
        async with aclosing(running.begin().frames()) as frames:
            await anext(frames)
            held = running.provider.open_now
            last = await anext(frames)

            # then
            assert [type(item) for item in last] == [type(FINISHED)]
            assert (held, running.provider.open_now) == (1, 0)


async def test_after_the_commit_point_a_broken_stream_ends_with_what_was_sent() -> None:
    # given
    broken: list[Action] = [
        [Opened(), TextDelta("gr")],
        [TextDelta("üß"), UsageReport(Usage(3, 2))],
        Break(Failure(FailureClass.STREAM_TRUNCATED)),
    ]
    async with router_of("a", "b") as (running, (home, _)):
        running.provider.will(home, broken)

        # when
        outcome = await running.ask()

        # then no other member was called
        kind = FailureClass.STREAM_TRUNCATED
        assert outcome.items[-1] == Interrupted(
            kind, Usage(3, 2), 6, resumable=True, decision=outcome.decision
        )
        assert outcome.reason == "STREAM_INTERRUPTED"
        assert outcome.path == [(home, AttemptKind.INITIAL, AttemptOutcome.INTERRUPTED)]
        assert outcome.decision.member_id == home


async def test_a_rate_limit_inside_a_stream_fails_over_the_next_call() -> None:
    # given
    async with router_of("a", "b") as (running, (home, second)):
        limit = Failure(FailureClass.RATE_LIMIT, 429, 30.0)
        running.provider.will(home, [[Opened(), TextDelta("a")], Break(limit)])

        # when
        first = await running.ask()
        next_call = await running.ask()

        # then
        assert first.reason == "STREAM_INTERRUPTED"
        assert next_call.decision.member_id == second
        assert running.provider.calls == [home, second]


async def test_a_final_failure_is_not_resumable() -> None:
    # given
    async with router_of("a", "b") as (running, (home, _)):
        wrong = Break(Failure(FailureClass.INVALID_REQUEST))
        running.provider.will(home, [[Opened(), TextDelta("a")], wrong])

        # when
        outcome = await running.ask()

        # then
        kind = FailureClass.INVALID_REQUEST
        assert outcome.items[-1] == Interrupted(
            kind, None, 1, resumable=False, decision=outcome.decision
        )


CLOCKS = Clocks(first_chunk_s=2.0, idle_s=3.0, total_s=4.0)


@pytest.mark.parametrize(
    "moves", [[Hang()], [[Opened()], Hang()]], ids=["no headers", "no content"]
)
async def test_a_late_first_chunk_times_out(moves: list[Action]) -> None:
    # given a pool without repeats
    async with router_of("a", "b", clocks=CLOCKS, in_place_retries=0) as (running, (home, _)):
        running.provider.will(home, moves)
        asking = await running.ask_until_it_hangs()

        # when
        await running.pass_time(1.9)
        assert not asking.done()
        await running.pass_time(0.3)
        outcome = await asking

        # then
        assert outcome.reason == "UPSTREAM_FAILED"
        assert outcome.decision.attempts[0].failure == Failure(FailureClass.TIMEOUT_FIRST_CHUNK)


async def test_a_pause_in_the_answer_times_out() -> None:
    # given
    async with router_of("a", "b", clocks=replace(CLOCKS, total_s=None)) as (running, (home, _)):
        running.provider.will(home, [[Opened(), TextDelta("a")], Hang()])
        asking = await running.ask_until_it_hangs()

        # when
        await running.pass_time(2.9)
        assert not asking.done()
        await running.pass_time(0.3)
        outcome = await asking

        # then
        kind = FailureClass.TIMEOUT_IDLE
        assert outcome.items[-1] == Interrupted(
            kind, None, 1, resumable=True, decision=outcome.decision
        )


async def test_a_reasoning_model_has_twice_the_idle_time_within_the_providers_timeout() -> None:
    # given idle clocks of 3 s, a reasoning model, and one whose provider allows 1 s
    thinking = member("reasoning", reasoning=True)
    short = member("short")
    short = replace(short, provider=replace(short.provider, timeout_s=1.0))
    clocks = Clocks(first_chunk_s=2.0, idle_s=3.0)
    one = target(thinking, id="one", clocks=clocks)
    two = target(short, id="two", clocks=clocks)
    hangs: list[Action] = [[Opened(), TextDelta("a")], Hang()]
    async with router(one, two) as running:
        running.provider.always("reasoning", hangs)
        running.provider.always("short", hangs)
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


async def test_a_reasoning_model_has_twice_the_time_to_its_first_chunk() -> None:
    # given a first-chunk clock of 2 s
    settings = {"clocks": Clocks(first_chunk_s=2.0), "in_place_retries": 0}
    async with router(target(member("m", reasoning=True), id="p", **settings)) as running:
        running.provider.always("m", [Hang()])
        asking = asyncio.create_task(running.ask(target_id="p"))
        await running.settle()

        # when, then
        await running.pass_time(3.9)
        assert not asking.done()
        await running.pass_time(0.3)
        failed = (await asking).decision.attempts[0].failure
        assert failed == Failure(FailureClass.TIMEOUT_FIRST_CHUNK)


@pytest.mark.parametrize("collected", [False, True], ids=["streamed", "collected"])
async def test_an_answer_that_is_collected_ends_with_the_providers_timeout(
    collected: bool,
) -> None:
    # given a provider that allows 5 s, and says something after 3 s
    one, later = member("m"), asyncio.Event()
    one = replace(one, provider=replace(one.provider, timeout_s=5.0))
    async with router(target(one, id="p")) as running:
        words: list[Action] = [[Opened(), TextDelta("a")], Wait(later), [TextDelta("b")], Hang()]
        running.provider.always("m", words)
        asking = asyncio.create_task(running.ask(target_id="p", collected=collected))
        await running.settle()
        await running.pass_time(3.0)
        later.set()

        # when the 5 s have passed, then only a streamed answer goes on
        await running.pass_time(1.9)
        assert not asking.done()
        await running.pass_time(0.3)
        assert asking.done() is collected
        await running.pass_time(3.0)
        kind = FailureClass.TIMEOUT_TOTAL if collected else FailureClass.TIMEOUT_IDLE
        assert (await asking).decision.attempts[0].failure == Failure(kind)


async def test_the_whole_call_times_out() -> None:
    # given a total of 4 s, less than a first chunk of 60 s
    clocks = replace(CLOCKS, first_chunk_s=60.0)
    async with router_of("a", "b", clocks=clocks) as (running, (home, _)):
        running.provider.will(home, [Hang()])
        asking = await running.ask_until_it_hangs()

        # when
        await running.pass_time(4.3)
        outcome = await asking

        # then no other member is called: no time is left
        assert outcome.decision.attempts[0].failure == Failure(FailureClass.TIMEOUT_TOTAL)
        assert running.provider.calls == [home]


async def test_no_wait_goes_beyond_the_callers_deadline() -> None:
    # given a hint of 2 s and a deadline in 1 s
    async with router_of("solo") as (running, _):
        running.provider.will("solo", limited(2.0))

        # when
        outcome = await running.ask(deadline_s=1.0)

        # then
        assert outcome.reason == "UPSTREAM_EXHAUSTED"
        assert len(running.provider.calls) == 1


HANGING: dict[str, list[Action]] = {
    "opening": [Hang()],
    "start-up": [[Opened()], Hang()],
    "streaming": [[Opened(), TextDelta("a")], Hang()],
}


@pytest.mark.parametrize("moment", HANGING)
async def test_a_cancel_closes_the_upstream_at_once_and_counts_as_no_failure(
    moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given a call that waits for its provider
    async with router_of("a", "b") as (running, (home, _)):
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
        assert "attempt failed" not in caplog.text
        again = await running.ask()
        assert again.decision.member_id == home


async def test_a_cancel_while_waiting_in_place_ends_the_call() -> None:
    # given
    async with router_of("solo") as (running, _):
        running.provider.will("solo", limited(2.0))
        asking = asyncio.create_task(running.ask())
        await running.settle()

        # when
        asking.cancel()
        await asyncio.wait({asking})

        # then
        assert asking.cancelled()
        assert len(running.provider.calls) == 1


async def test_closing_the_answer_between_frames_closes_the_upstream() -> None:
    # given
    async with router_of("a", "b") as (running, (home, _)):
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
async def test_a_defect_of_an_adapter_leaves_no_stream_open(committed: bool) -> None:
    # given
    before: list[Action] = [[Opened(), TextDelta("a")]] if committed else []
    async with router_of("a", "b") as (running, (home, _)):
        running.provider.will(home, [*before, Raise(RuntimeError("defect"))])
        answer = running.begin()

        # when
        with pytest.raises(RuntimeError, match="defect"):
            await drained(answer)

        # then
        assert running.provider.open_now == 0
        assert answer.decision is not None
        assert answer.decision.attempts[0].outcome is AttemptOutcome.FAILED
