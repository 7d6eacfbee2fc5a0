"""``Explain``: what ``Infer`` would do, without a call to a provider."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.rpc_status import reason_of
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    builtin,
    failing,
    limited_pool,
    model,
    pool,
    request,
    scripted,
)
from tests.support.clients import user_message
from tests.support.engines import on_both_engines


async def explain(running: RouterUnderTest, asked: rpc.InferRequest) -> rpc.ExplainResponse:
    asked.min_registry_version = running.version
    stub = RouterServiceStub(running.channel)
    answer: rpc.ExplainResponse = await stub.Explain(rpc.ExplainRequest(request=asked))
    return answer


@on_both_engines
async def test_the_call_that_follows_does_what_was_told(running: RouterUnderTest) -> None:
    # given a pool whose home is limited for 30 s, and a session that has moved from there
    await running.apply(*limited_pool())
    await running.infer("narration", thread_id="t")

    # when it is explained twice for this session, and for another one
    told, again = [await explain(running, request("narration", thread_id="t")) for _ in range(2)]
    other = await explain(running, request("narration", thread_id="t2"))
    followed = await running.infer("narration", thread_id="t")

    # then
    assert told == again
    assert [each.member_id for each in told.candidates] == ["second", "first"]
    assert [each.failover_only for each in told.candidates] == [True, False]
    assert [each.HasField("skipped") for each in told.candidates] == [False, True]
    assert sorted(each.rank for each in told.candidates) == [1, 2]
    assert [each.weight for each in told.candidates] == [1, 1]
    assert told.candidates[1].skipped.reason == pb.SKIP_REASON_QUOTA_DEADLINE
    assert told.candidates[1].state.HasField("quota_end_time")
    assert list(told.decision.skipped) == [told.candidates[1].skipped]
    assert told.decision.sticky == pb.STICKY_OUTCOME_PINNED
    assert told.pin.reason == provider.FAILURE_CLASS_RATE_LIMIT
    assert told.pin.move_time == told.decision.move_time
    assert not told.HasField("error")
    assert not told.HasField("switches_left")
    assert (other.decision.sticky, other.HasField("pin")) == (pb.STICKY_OUTCOME_MOVED, False)
    started = followed.items[0].started.decision
    for each in (told.decision, started):
        each.ClearField("attempts")
    assert told.decision == started


async def test_the_error_is_that_of_the_call_that_follows(running: RouterUnderTest) -> None:
    # given a model whose circuit has opened
    broken = builtin("script", failing(reg.BUILTIN_FAULT_KIND_SERVER_ERROR))
    switch = reg.PoolSwitch(max_switches_per_session=2)
    breaker = reg.PoolBreaker(failure_threshold=1)
    alone = pool("alone", "m", breaker=breaker, switch=switch)
    await running.apply(broken, model("m", "script"), alone)
    await running.infer("alone", thread_id="t")

    # when
    told = await explain(running, request("alone", thread_id="t"))
    refused = await running.infer("alone", thread_id="t")

    # then
    info, retry = ErrorInfo(), RetryInfo()
    for detail in told.error.details:
        for known in (info, retry):
            detail.Unpack(known)
    assert (told.error.code, info.reason, info.domain) == (
        grpc.StatusCode.UNAVAILABLE.value[0],
        refused.failure.reason,
        "router.runyard.dev",
    )
    assert told.error.message == refused.failure.message
    assert dict(info.metadata) == refused.failure.metadata
    assert retry.HasField("retry_delay")
    assert told.decision.member_id == ""
    assert told.switches_left == 2
    (candidate,) = told.candidates
    assert candidate.state.breaker == pb.BREAKER_STATE_OPEN
    assert candidate.skipped.reason == pb.SKIP_REASON_CIRCUIT_OPEN


async def test_what_a_request_needs_is_told(running: RouterUnderTest) -> None:
    # given a model that says of itself that it can nothing
    unable = model("m", "script")
    unable.model.capabilities.SetInParent()
    await running.apply(builtin("script"), unable)
    image = content.Part(image=content.Image(url="http://image.example"))
    asked = rpc.InferRequest(
        target_id="m",
        messages=[
            user_message("x" * 800),
            content.Message(role=content.MESSAGE_ROLE_USER, parts=[image]),
        ],
        tools=[content.ToolDefinition(tool_id="look")],
    )

    # when
    told = await explain(running, asked)

    # then
    assert list(told.needs.features) == ["tools", "images"]
    assert told.needs.input_tokens == 100
    assert told.candidates[0].skipped.detail == "tools, images"
    assert told.error.message == "model 'm' cannot do what the request needs (m: tools, images)"


async def test_a_round_robin_pool_gives_the_turn_that_was_told(running: RouterUnderTest) -> None:
    # given
    routing = reg.PoolRouting(home=reg.HOME_STRATEGY_ROUND_ROBIN)
    models = [model(each, "script") for each in ("a", "b")]
    await running.apply(builtin("script"), *models, pool("turns", "a", "b", routing=routing))

    # when
    told, homes = [], []
    for number in range(4):
        asked = request("turns", thread_id=f"t{number}")
        told.append((await explain(running, asked)).decision.member_id)
        homes += (await running.infer("turns", thread_id=f"t{number}")).members

    # then
    assert told == homes == ["a", "b", "a", "b"]


async def test_what_infer_refuses_is_refused(running: RouterUnderTest) -> None:
    # given
    await running.apply(*scripted())
    stub = RouterServiceStub(running.channel)
    unknown = request("nobody", min_registry_version=running.version)

    # when
    errors = []
    for asked in (rpc.ExplainRequest(), rpc.ExplainRequest(request=unknown)):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Explain(asked)
        errors.append(reason_of(raised.value))

    # then
    assert [each.reason for each in errors] == ["INVALID_REQUEST", "TARGET_NOT_FOUND"]
    assert [each.field for each in errors[0].violations] == ["request"]
