"""Answers that break off after their commit point and start over on another member."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import Retry
from services.content.model import FinishReason, Text, Usage
from services.router.core.collecting import Collected, collect
from services.router.core.decision import AttemptKind, AttemptOutcome, SkipReason
from services.router.core.failures import FINAL, QUOTA, Failure, FailureClass
from services.router.core.items import (
    Finished,
    Interrupted,
    Item,
    Opened,
    ReasoningDelta,
    Started,
    StreamReset,
    TextDelta,
    UpstreamItem,
    UsageReport,
)
from services.router.core.model import BreakerPolicy, MidStream, SwitchPolicy
from services.router.core.session import Session
from services.router.core.switching import starts_over
from tests.support.scripted_adapter import Action, Break, Hang, Refuse
from tests.unit.router.in_memory_router import FINISHED, Outcome, router_of

RESTART = MidStream.RESTART
CUT = Failure(FailureClass.STREAM_TRUNCATED)
INTERRUPTED, SUCCEEDED = AttemptOutcome.INTERRUPTED, AttemptOutcome.SUCCEEDED
INITIAL, FAILOVER = AttemptKind.INITIAL, AttemptKind.FAILOVER


def half(text: str, failure: Failure = CUT) -> list[Action]:
    """Part of an answer, then the failure."""
    return [[Opened(f"r-{text}"), TextDelta(text), UsageReport(Usage(3, 1))], Break(failure)]


def of_kind(kind: type[Item], outcome: Outcome) -> list[Item]:
    return [item for item in outcome.items if isinstance(item, kind)]


@pytest.mark.parametrize("by", ["request", "pool"])
async def test_a_broken_answer_starts_over_on_another_member(by: str) -> None:
    # given
    asked = {"mid_stream": RESTART} if by == "request" else {}
    settings = {"mid_stream": RESTART} if by == "pool" else {}
    async with router_of("a", "b", **settings) as (running, (home, second)):
        running.provider.will(home, half("ha"))

        # when
        outcome = await running.ask(**asked)

        # then
        started, text, usage, reset, again, finished = outcome.items
        assert isinstance(started, Started)
        assert (text, usage) == (TextDelta("ha"), UsageReport(Usage(3, 1)))
        assert isinstance(reset, StreamReset)
        assert (reset.reason, reset.response_id) == (FailureClass.STREAM_TRUNCATED, "r1")
        assert reset.decision.member_id == second
        assert (again, finished) == (TextDelta("ok"), outcome.finished)
        assert outcome.path == [(home, INITIAL, INTERRUPTED), (second, FAILOVER, SUCCEEDED)]
        (pin,) = running.pins.all()
        assert (pin.member_id, pin.reason) == (second, FailureClass.STREAM_TRUNCATED)


async def test_the_request_has_the_last_word() -> None:
    # given
    async with router_of("a", "b", mid_stream=RESTART) as (running, (home, _)):
        running.provider.will(home, half("ha"))

        # when
        outcome = await running.ask(mid_stream=MidStream.INTERRUPT)

        # then
        assert outcome.reason == "STREAM_INTERRUPTED"
        assert running.provider.calls == [home]


async def test_no_member_is_called_twice_and_the_last_one_interrupts() -> None:
    # given three members that all break off
    async with router_of("a", "b", "c", mid_stream=RESTART) as (running, members):
        for number, name in enumerate(members, start=1):
            running.provider.will(name, half("x" * number))

        # when
        outcome = await running.ask()

        # then what is told of the part is that since the last reset
        assert running.provider.calls == list(members)
        assert [type(item) for item in outcome.items].count(StreamReset) == 2
        last = outcome.items[-1]
        assert isinstance(last, Interrupted)
        assert (last.committed_bytes, last.partial_usage) == (3, Usage(3, 1))
        assert last.decision == outcome.decision
        assert outcome.decision.member_id == members[2]
        assert (outcome.reason, outcome.error.metadata["member_id"]) == (
            "STREAM_INTERRUPTED",
            members[2],
        )


async def test_when_no_other_member_begins_the_first_failure_interrupts() -> None:
    # given a second member that refuses
    async with router_of("a", "b", mid_stream=RESTART) as (running, (home, second)):
        running.provider.will(home, half("ha"))
        running.provider.will(second, [Refuse(Failure(FailureClass.AUTH, 401))])

        # when
        outcome = await running.ask()

        # then nothing was reset
        assert of_kind(StreamReset, outcome) == []
        (last,) = of_kind(Interrupted, outcome)
        assert isinstance(last, Interrupted)
        assert (last.reason, last.committed_bytes) == (FailureClass.STREAM_TRUNCATED, 2)
        assert outcome.error.metadata["member_id"] == home
        assert outcome.decision.member_id == home
        assert [a.outcome for a in outcome.decision.attempts] == [
            INTERRUPTED,
            AttemptOutcome.FAILED,
        ]


async def test_before_its_commit_point_the_other_member_may_be_replaced_in_turn() -> None:
    # given
    async with router_of("a", "b", "c", mid_stream=RESTART) as (running, members):
        running.provider.will(members[0], half("ha"))
        running.provider.will(members[1], [Refuse(Failure(FailureClass.OVERLOADED, 503))])

        # when
        outcome = await running.ask()

        # then the caller sees one reset
        assert [
            item.decision.member_id for item in outcome.items if isinstance(item, StreamReset)
        ] == [members[2]]
        assert outcome.items[-2:] == [TextDelta("ok"), outcome.finished]


async def test_a_member_that_refuses_the_content_ends_the_answer() -> None:
    # given
    async with router_of("a", "b", mid_stream=RESTART) as (running, (home, second)):
        running.provider.will(home, half("ha"))
        running.provider.will(second, [Refuse(Failure(FailureClass.CONTENT_POLICY, 400))])

        # when
        outcome = await running.ask()

        # then
        reset, finished = outcome.items[-2:]
        assert isinstance(reset, StreamReset)
        assert finished == Finished(FinishReason.CONTENT_FILTER, outcome.decision)
        assert outcome.decision.member_id == second


LIMITS = {
    "max_attempts": ({}, {"max_attempts": 1}),
    "budget of moves": ({"switch": SwitchPolicy(max_switches=0)}, {}),
}


@pytest.mark.parametrize(("settings", "asked"), LIMITS.values(), ids=LIMITS)
async def test_a_limit_keeps_the_answer_from_starting_over(
    settings: dict[str, object], asked: dict[str, object]
) -> None:
    # given
    async with router_of("a", "b", mid_stream=RESTART, **settings) as (running, (home, second)):
        running.provider.will(home, half("ha"))

        # when
        outcome = await running.ask(**asked)

        # then
        assert outcome.reason == "STREAM_INTERRUPTED"
        assert running.provider.calls == [home]
        (skipped,) = outcome.decision.skipped
        assert (skipped.member_id, skipped.reason) == (second, SkipReason.LIMIT_REACHED)


KEEPS = SwitchPolicy(on_quota=False, on_permanent=False)


@pytest.mark.parametrize("kind", FailureClass)
def test_what_another_member_may_cure_starts_over(kind: FailureClass) -> None:
    never = {
        FailureClass.INVALID_REQUEST,
        FailureClass.CONTEXT_LENGTH,
        FailureClass.CONTENT_POLICY,
        FailureClass.TIMEOUT_TOTAL,
        FailureClass.CANCELLED,
        FailureClass.LOCAL_LIMIT,
    }
    by_policy = (QUOTA | FINAL) - never
    assert starts_over(Failure(kind), SwitchPolicy()) == (kind not in never)
    assert starts_over(Failure(kind), KEEPS) == (kind not in never | by_policy)


def test_a_short_hint_below_the_threshold_does_not_start_over() -> None:
    policy = SwitchPolicy(quota_threshold_s=5.0)
    assert not starts_over(Failure(FailureClass.RATE_LIMIT, 429, 4.0), policy)
    assert starts_over(Failure(FailureClass.RATE_LIMIT, 429, 5.0), policy)


async def test_each_failure_is_charged_to_the_member_that_it_happened_on() -> None:
    # given circuits that open at one failure, and a home that is limited within its answer
    settings = {"breaker": BreakerPolicy(failure_threshold=1, cooldown_s=60.0)}
    async with router_of("a", "b", mid_stream=RESTART, **settings) as (running, (home, second)):
        running.provider.will(home, half("ha", Failure(FailureClass.RATE_LIMIT, 429, 30.0)))
        running.provider.will(second, half("hu"))

        # when
        await running.ask()
        after = await running.ask(Session(thread_id="t9"))

        # then the home is in its deadline, and the circuit of the other one is open
        reasons = {skip.member_id: skip.reason for skip in after.decision.skipped}
        assert reasons == {home: SkipReason.QUOTA_DEADLINE, second: SkipReason.CIRCUIT_OPEN}


async def test_a_permanent_failure_within_an_answer_quarantines_its_member() -> None:
    # given a home that denies the model in the middle of its answer
    async with router_of("a", "b", mid_stream=RESTART) as (running, (home, second)):
        running.provider.will(home, half("ha", Failure(FailureClass.PERMISSION, 403)))

        # when
        first = await running.ask()
        after = [await running.ask(Session(thread_id=f"t{n}")) for n in range(2, 8)]

        # then
        assert first.decision.member_id == second
        assert {each.decision.member_id for each in after} == {second}
        assert {each.decision.skipped[0].reason for each in after} == {SkipReason.QUARANTINED}


async def test_a_call_books_one_result_per_member() -> None:
    # given circuits that open at the second failure
    policy = BreakerPolicy(failure_threshold=2, cooldown_s=60.0)
    async with router_of("a", "b", mid_stream=RESTART, breaker=policy) as (running, (home, second)):
        for name in (home, second):
            running.provider.always(name, half("ha"))

        # when three calls break off on both members
        outcomes = [await running.ask(Session(thread_id=f"t{n}")) for n in range(3)]

        # then the second one still found both circuits closed, and the third one none
        assert [each.reason for each in outcomes[:2]] == ["STREAM_INTERRUPTED"] * 2
        assert outcomes[1].decision.skipped == ()
        assert outcomes[2].reason == "ALL_MEMBERS_UNAVAILABLE"


async def test_a_cancel_while_the_other_member_is_asked_leaves_nothing_open() -> None:
    # given
    async with router_of("a", "b", mid_stream=RESTART) as (running, (home, second)):
        running.provider.will(home, half("ha"))
        running.provider.will(second, [Hang()])
        answer = running.begin()

        async def read() -> None:
            async with aclosing(answer.frames()) as frames:
                async for _ in frames:
                    pass

        asking = asyncio.create_task(read())
        await running.provider.until_hanging()

        # when
        asking.cancel()
        await asyncio.wait({asking})

        # then
        assert running.provider.open_now == 0
        assert answer.decision is not None
        outcomes = [each.outcome for each in answer.decision.attempts]
        assert outcomes == [INTERRUPTED, AttemptOutcome.CANCELLED]


async def test_only_a_resumable_interruption_is_retryable() -> None:
    # given answers that end with each kind of failure
    for kind in (FailureClass.STREAM_TRUNCATED, FailureClass.AUTH, FailureClass.INVALID_REQUEST):
        async with router_of("a", "b") as (running, (home, _)):
            running.provider.will(home, half("ha", Failure(kind)))

            # when
            outcome = await running.ask()

            # then
            (last,) = of_kind(Interrupted, outcome)
            assert isinstance(last, Interrupted)
            retryable = outcome.error.retry is Retry.RETRYABLE
            assert (outcome.reason, retryable) == ("STREAM_INTERRUPTED", last.resumable)


PIECES: list[UpstreamItem] = [
    Opened("r1"),
    ReasoningDelta("hm"),
    TextDelta("one "),
    TextDelta("two "),
    UsageReport(Usage(9, 9)),
    TextDelta("three"),
    FINISHED,
]


def broken(name: str, position: int, failure: Failure) -> list[Action]:
    """The pieces, whose texts name the member, up to a position; there the failure."""
    pieces = [
        TextDelta(f"{name}:{piece.text}") if isinstance(piece, TextDelta) else piece
        for piece in PIECES
    ]
    return [*([piece] for piece in pieces[:position]), Break(failure)]


FAULTS = [
    FailureClass.STREAM_TRUNCATED,
    FailureClass.STREAM_MALFORMED,
    FailureClass.SERVER_ERROR,
    FailureClass.TIMEOUT_IDLE,
    FailureClass.OVERLOADED,
    FailureClass.RATE_LIMIT,
    FailureClass.AUTH,
    FailureClass.PAYMENT,
]


@given(
    breaks=st.lists(st.tuples(st.integers(1, len(PIECES) - 1), st.sampled_from(FAULTS)), max_size=3)
)
def test_after_the_last_reset_the_answer_is_that_of_one_member(
    breaks: list[tuple[int, FailureClass]],
) -> None:
    asyncio.run(_check_coherence(breaks))


async def _check_coherence(breaks: list[tuple[int, FailureClass]]) -> None:
    # given members that break off at any position, and one after them that does not
    settings = {"in_place_retries": 0, "switch": SwitchPolicy(on_retry_exhausted=True)}
    async with router_of("a", "b", "c", "d", mid_stream=RESTART, **settings) as (running, members):
        for name, (position, kind) in zip(members, breaks, strict=False):
            running.provider.will(name, broken(name, position, Failure(kind)))
        answering = members[len(breaks)]
        whole = broken(answering, len(PIECES), CUT)[:-1]
        running.provider.will(answering, whole)

        # when
        outcome = await running.ask()
        collected: Collected = reduce(collect, outcome.items, Collected())

        # then
        assert outcome.raised is None
        assert running.provider.calls == list(members[: len(breaks) + 1])
        resets = [i for i, item in enumerate(outcome.items) if isinstance(item, StreamReset)]
        rest = outcome.items[resets[-1] + 1 if resets else 1 :]
        texts = [item.text for item in rest if isinstance(item, TextDelta)]
        assert texts == [f"{answering}:one ", f"{answering}:two ", f"{answering}:three"]
        assert rest[-1] == outcome.finished
        assert Text("".join(texts)) in collected.content.message().parts
        assert collected.usage == Usage(9, 9)
        begun = sum(position > 1 for position, _ in breaks)
        assert len(resets) == begun
