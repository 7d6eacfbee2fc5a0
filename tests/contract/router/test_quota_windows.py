"""What providers tell of their limits, from the wire to the choice of a member."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from services.router.core.failures import FailureClass
from services.router.core.items import Opened
from services.router.core.quota_windows import QuotaWindow
from tests.contract.router.adapter_calls import AdapterCalls, Calls
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    StillCalendar,
    builtin,
    model,
    pool,
    seconds,
    served_by,
)
from tests.support.fake_provider import (
    CHUNK_ID,
    FakeProvider,
    Script,
    event,
    refusal,
    stream,
)
from tests.support.fake_provider import finish as finish_chunk
from tests.support.fake_provider import text as text_chunks
from tests.support.grpc_upstream import (
    Abort,
    GrpcUpstream,
    Metadata,
    finish,
    retry_info,
    started,
    text,
)
from tests.support.messages_events import end, start, text_block
from tests.unit.router.builders import at

FIRST_HEALTHY = reg.PoolRouting(home=reg.HOME_STRATEGY_FIRST_HEALTHY)
SPENT = {
    "x_ratelimit_limit_requests": "500",
    "x_ratelimit_remaining_requests": "0",
    "x_ratelimit_reset_requests": "30s",
    "x_ratelimit_remaining_tokens": "7",
}
REQUESTS = QuotaWindow("requests", 500, 0, at(30), "x-ratelimit")
TOKENS = QuotaWindow("tokens", None, 7, None, "x-ratelimit")


def answer(**headers: str) -> Script:
    return stream(*text_chunks("from m"), *finish_chunk(), **headers)


async def test_an_answer_over_http_tells_of_limits_before_anything_else(
    openai: AdapterCalls,
) -> None:
    # given
    openai.provider.answers(answer(**SPENT))

    # when
    items = await openai.items()

    # then
    assert items[:2] == [Opened(windows=(REQUESTS, TOKENS)), Opened(CHUNK_ID)]


async def test_a_messages_answer_tells_of_limits(anthropic: AdapterCalls) -> None:
    # given
    limits = {"anthropic_ratelimit_requests_remaining": "49"}
    events = [start(), *text_block(0, "a"), *end()]
    anthropic.provider.answers(stream(*events, **limits))

    # when
    items = await anthropic.items()

    # then
    window = QuotaWindow("requests", None, 49, None, "anthropic-ratelimit")
    assert items[0] == Opened(windows=(window,))


async def test_an_answer_over_grpc_tells_of_limits_in_its_metadata(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    limits = Metadata((("ratelimit-remaining", "0"), ("ratelimit-reset", "30"), ("x-bin", b"0")))
    upstream.answers(limits, started(), text("a"), finish())

    # when
    items = await grpc_calls.items()

    # then
    window = QuotaWindow("requests", None, 0, at(30), "ratelimit")
    assert items[:2] == [Opened(windows=(window,)), Opened("r1", "gpt")]


def quota_failure(**violation: object) -> QuotaFailure:
    return QuotaFailure(violations=[QuotaFailure.Violation(**violation)])  # type: ignore[arg-type]


EXCEEDED = {
    "an id and a value": (
        {"subject": "project:1", "quota_metric": "rpm", "quota_id": "PerMinute", "quota_value": 5},
        ("PerMinute", 5),
    ),
    "a metric": ({"subject": "project:1", "quota_metric": "rpm"}, ("rpm", None)),
    "a subject": ({"subject": "project:1"}, ("project:1", None)),
    "nothing": ({}, ("requests", None)),
}


@pytest.mark.parametrize(("violation", "told"), EXCEEDED.values(), ids=EXCEEDED)
async def test_the_limits_that_a_status_says_were_exceeded(
    grpc_calls: Calls,
    upstream: GrpcUpstream,
    violation: dict[str, object],
    told: tuple[str, int | None],
) -> None:
    # given
    details = [quota_failure(**violation), retry_info(30)]
    upstream.answers(Abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow", details))

    # when
    _, failure = await grpc_calls.failure()

    # then
    kind, limit = told
    assert failure.retry_after_s == 30.0
    assert failure.windows == (QuotaWindow(kind, limit, 0, at(30), "google.rpc.QuotaFailure"),)


async def test_the_reset_of_a_window_is_the_hint_of_a_status_without_one(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.answers(
        Metadata((("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "20"))),
        Abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow"),
    )

    # when
    _, failure = await grpc_calls.failure()

    # then
    assert (failure.kind, failure.retry_after_s) == (FailureClass.RATE_LIMIT, 20.0)


@pytest.fixture
async def still(tmp_path: Path, provider: FakeProvider) -> AsyncIterator[RouterUnderTest]:
    """Pools whose first member is of ``provider``, and whose second is a script; a clock that
    stands still.
    """
    servers = RouterUnderTest(tmp_path, clock=StillCalendar())
    long = reg.PoolSwitch(quota_retry_after_threshold=seconds(60))
    never = reg.PoolSwitch(on_quota=False)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(
            *served_by(provider),
            builtin("script"),
            model("second", "script"),
            pool("p", "m", "second", routing=FIRST_HEALTHY),
            pool("beyond", "m", "second", routing=FIRST_HEALTHY, switch=long),
            pool("never", "m", "second", routing=FIRST_HEALTHY, switch=never),
            pool("alone", "m"),
        )
        yield servers
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_a_member_of_whose_quota_nothing_remains_is_set_aside_before_it_refuses(
    still: RouterUnderTest, provider: FakeProvider
) -> None:
    # given a member whose answer tells that it was the last one for 30 s
    provider.answers(answer(**SPENT))
    provider.always(answer())
    first = await still.infer("p", thread_id="t1")

    # when others call, up to the reset
    during = await still.infer("p", thread_id="t2")
    (state,) = await still.state("p")
    clock = still.clock
    assert isinstance(clock, StillCalendar)
    clock.advance(29.9)
    still_during = await still.infer("p", thread_id="t3")
    asked = len(provider.requests)
    clock.advance(0.1)
    after = await still.infer("p", thread_id="t4")

    # then
    members = [each.members for each in (first, during, still_during)]
    assert members == [["m"], ["second"], ["second"]]
    (skipped,) = during.decision.skipped
    assert (skipped.member_id, skipped.reason) == ("m", pb.SKIP_REASON_QUOTA_DEADLINE)
    assert (asked, after.members, len(provider.requests)) == (1, ["m"], 2)
    # and operators see why
    assert state.quota_end_time.ToSeconds() == at(30).timestamp()
    assert list(state.windows) == [
        pb.QuotaWindow(
            kind="requests",
            limit=500,
            remaining=0,
            reset_time=state.quota_end_time,
            source="x-ratelimit",
        ),
        pb.QuotaWindow(kind="tokens", remaining=7, source="x-ratelimit"),
    ]


@pytest.mark.parametrize("target", ["beyond", "never", "alone", "m"])
async def test_the_policy_of_a_pool_decides_whether_a_spent_member_is_passed_over(
    still: RouterUnderTest, provider: FakeProvider, target: str
) -> None:
    # given
    provider.always(answer(**SPENT))
    await still.infer(target, thread_id="t1")

    # when
    received = await still.infer(target, thread_id="t2")

    # then
    assert received.members == ["m"]
    assert received.error is None


BROKEN = {
    "a refusal": refusal(500, **SPENT),
    "a broken answer": stream(event({"error": {"message": "down", "code": 502}}), **SPENT),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_what_a_failure_tells_of_limits_counts_too(
    still: RouterUnderTest, provider: FakeProvider, script: Script
) -> None:
    # given
    provider.always(script)
    await still.infer("p", thread_id="t1")

    # when
    received = await still.infer("p", thread_id="t2")

    # then
    assert received.members == ["second"]


async def test_a_reset_forgets_what_was_told(
    still: RouterUnderTest, provider: FakeProvider
) -> None:
    # given
    provider.always(answer(**SPENT))
    await still.infer("p", thread_id="t1")

    # when
    await still.reset_member("p")

    # then
    assert await still.state("p") == []
    assert (await still.infer("p", thread_id="t2")).members == ["m"]
