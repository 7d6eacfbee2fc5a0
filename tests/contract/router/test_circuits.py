"""Circuit breakers over gRPC, before a provider that speaks HTTP."""

from __future__ import annotations

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from tests.contract.router.router_under_test import RouterUnderTest, model, pool, seconds, served_by
from tests.support.fake_provider import FakeProvider, refusal

BROKEN = refusal(500, {"error": {"message": "broken"}})
# Opens at two failed calls, which are not repeated in place.
TWICE = reg.PoolBreaker(failure_threshold=2, cooldown=seconds(3600))
ONCE_EACH = reg.PoolRetry(in_place=0)


async def test_the_circuit_of_a_model_opens_at_five_failed_calls(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given a model called directly whose provider fails
    provider.always(BROKEN)
    await running.apply(*served_by(provider))

    # when
    failed = [await running.infer("m") for _ in range(5)]
    requests = len(provider.requests)
    refused = await running.infer("m")

    # then the provider is left alone
    unavailable = grpc.StatusCode.UNAVAILABLE
    assert {each.code_and_reason for each in failed} == {(unavailable, "UPSTREAM_FAILED")}
    assert refused.code_and_reason == (unavailable, "ALL_MEMBERS_UNAVAILABLE")
    assert (requests, len(provider.requests)) == (10, 10)
    assert "m: circuit_open: the circuit breaker is open" in refused.failure.message
    assert refused.failure.retry_after_s is not None
    assert 25 < refused.failure.retry_after_s <= 30
    (skipped,) = refused.decision.skipped
    assert (skipped.member_id, skipped.reason) == ("m", pb.SKIP_REASON_CIRCUIT_OPEN)
    assert skipped.HasField("until")


async def test_answers_of_400_open_no_circuit(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given
    provider.always(refusal(400, {"error": {"message": "too long"}}))
    await running.apply(*served_by(provider))

    # when
    received = [await running.infer("m") for _ in range(8)]

    # then
    assert {each.failure.reason for each in received} == {"UPSTREAM_INVALID_REQUEST"}
    assert len(provider.requests) == 8


@pytest.mark.parametrize("moves", [True, False])
async def test_a_session_leaves_an_open_circuit_if_the_pool_says_so(
    running: RouterUnderTest, provider: FakeProvider, moves: bool
) -> None:
    # given a pool whose only home fails
    provider.always(BROKEN)
    await running.apply(
        *served_by(provider),
        reg.Resource(provider=reg.Provider(id="script", builtin=reg.BuiltinAdapter())),
        model("spare", "script"),
        pool(
            "p",
            "m",
            failover_only=["spare"],
            breaker=TWICE,
            retry=ONCE_EACH,
            switch=reg.PoolSwitch(on_circuit_open=moves),
        ),
    )
    for _ in range(2):
        await running.infer("p", thread_id="t1")

    # when
    received = await running.infer("p", thread_id="t1")

    # then
    assert len(provider.requests) == 2
    assert [s.reason for s in received.decision.skipped] == [pb.SKIP_REASON_CIRCUIT_OPEN]
    if moves:
        assert received.members == ["spare"]
        assert received.decision.sticky == pb.STICKY_OUTCOME_MOVED
    else:
        assert received.members == []
        assert received.failure.reason == "UPSTREAM_FAILED"
        assert received.failure.message == "model 'm' is not called: the circuit breaker is open"
