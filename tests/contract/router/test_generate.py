"""``Generate``: the answer of ``Infer`` in one message."""

from __future__ import annotations

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.rpc_status import detail_of, reason_of
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    breaking_pool,
    failing,
    limited_pool,
    request,
    scripted,
    served_by,
)
from tests.support.fake_provider import FakeProvider, Pause, Script, stream, text
from tests.support.waiting import within_limit


async def generate(running: RouterUnderTest, asked: rpc.InferRequest) -> rpc.GenerateResponse:
    stub = RouterServiceStub(running.channel)
    asked.min_registry_version = running.version
    answer: rpc.GenerateResponse = await stub.Generate(rpc.GenerateRequest(request=asked))
    return answer


async def refused(running: RouterUnderTest, asked: rpc.GenerateRequest) -> grpc.aio.AioRpcError:
    if asked.request.target_id:
        asked.request.min_registry_version = running.version
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await RouterServiceStub(running.channel).Generate(asked)
    return caught.value


async def test_a_whole_answer_is_what_infer_streams(running: RouterUnderTest) -> None:
    # given a pool whose home is limited
    await running.apply(*limited_pool())

    # when it is asked once as a whole and once as a stream
    whole = await generate(running, request("narration", thread_id="t"))
    streamed = await running.infer("narration", thread_id="t2")

    # then both say the same, and the decision tells of the move
    assert [part.text.text for part in whole.message.parts] == [streamed.text]
    assert whole.message.role == content.MESSAGE_ROLE_ASSISTANT
    assert whole.finish_reason == content.FINISH_REASON_STOP
    assert whole.usage.output_tokens > 0
    assert [each.member_id for each in whole.decision.attempts] == ["first", "second"]
    assert whole.decision.member_id == "second"
    assert whole.decision.attempts[1].outcome == pb.ATTEMPT_OUTCOME_SUCCEEDED


@pytest.mark.parametrize("leaves", ["cancel", "deadline"])
@pytest.mark.parametrize("moment", ["before headers", "before content", "while collecting"])
async def test_a_caller_that_leaves_ends_the_request_to_the_provider(
    running: RouterUnderTest, provider: FakeProvider, moment: str, leaves: str
) -> None:
    # given a provider that hangs
    hanging = {
        "before headers": Script((Pause(),)),
        "before content": stream(text()[0], Pause()),
        "while collecting": stream(*text("a"), Pause()),
    }
    provider.answers(hanging[moment])
    await running.apply(*served_by(provider))
    asked = rpc.GenerateRequest(request=request("m"))
    asked.request.min_registry_version = running.version

    # when
    limit_s = 1.0 if leaves == "deadline" else None
    call = RouterServiceStub(running.channel).Generate(asked, timeout=limit_s)
    await provider.until(requests=1)
    if leaves == "cancel":
        call.cancel()

    # then the provider sees it
    async with within_limit():
        await provider.until(disconnects=1)
    expected = (
        grpc.StatusCode.CANCELLED if leaves == "cancel" else grpc.StatusCode.DEADLINE_EXCEEDED
    )
    assert await call.code() is expected
    assert (len(provider.requests), provider.disconnects) == (1, 1)


async def test_an_answer_says_what_it_cost(running: RouterUnderTest) -> None:
    # given a model at 2 EUR per million tokens of either kind
    script, priced = scripted()
    priced.model.prices.CopyFrom(
        reg.ModelPrices(currency="EUR", input_per_million="2", output_per_million="2")
    )
    await running.apply(script, priced)

    # when
    whole = await generate(running, request("m", "hello big world"))
    streamed = await running.infer("m", "hello big world")

    # then
    used = whole.usage.input_tokens + whole.usage.output_tokens
    assert (whole.usage.cost, whole.usage.currency) == (f"0.{2 * used:06}".rstrip("0"), "EUR")
    assert whole.decision.attempts[0].usage == whole.usage
    assert [item.usage for item in streamed.items if item.HasField("usage")] == [whole.usage]
    assert streamed.decision.attempts[0].usage == whole.usage


async def test_an_answer_that_starts_over_is_that_of_the_last_member(
    running: RouterUnderTest,
) -> None:
    # given
    await running.apply(*breaking_pool("one two three"))

    # when
    whole = await generate(running, request("narration", "all is well"))

    # then
    assert [part.text.text for part in whole.message.parts] == ["all is well"]
    assert whole.decision.member_id == "whole"
    outcomes = [each.outcome for each in whole.decision.attempts]
    assert outcomes == [pb.ATTEMPT_OUTCOME_INTERRUPTED, pb.ATTEMPT_OUTCOME_SUCCEEDED]


async def test_a_failure_carries_the_decision(running: RouterUnderTest) -> None:
    # given a model whose provider is overloaded
    await running.apply(*scripted(failing(reg.BUILTIN_FAULT_KIND_OVERLOADED)))

    # when
    error = await refused(running, rpc.GenerateRequest(request=request("m")))

    # then
    assert reason_of(error).reason == "UPSTREAM_OVERLOADED"
    decision = detail_of(error, pb.RouteDecision)
    assert decision is not None
    assert [each.outcome for each in decision.attempts] == [pb.ATTEMPT_OUTCOME_FAILED]


async def test_an_answer_that_broke_off_is_an_error(running: RouterUnderTest) -> None:
    # given a model that is cut off after its first words
    step = failing(reg.BUILTIN_FAULT_KIND_CUT, after_deltas=1, text="never whole")
    await running.apply(*scripted(step))

    # when
    error = await refused(running, rpc.GenerateRequest(request=request("m")))

    # then
    assert (error.code(), reason_of(error).reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "STREAM_INTERRUPTED",
    )


async def test_an_answer_that_is_larger_than_a_message_is_an_error(
    running: RouterUnderTest,
) -> None:
    # given a model that repeats what it is told, and a text of 3,932,161 bytes in parts
    await running.apply(*scripted())
    part = content.Part(text=content.Text(text="x" * 1_310_720))
    last = content.Part(text=content.Text(text="x"))
    asked = request("m")
    del asked.messages[0].parts[:]
    asked.messages[0].parts.extend([part, part, part, last])

    # when
    error = await refused(running, rpc.GenerateRequest(request=asked))

    # then the error names size, limit and the call that has none
    facts = reason_of(error)
    assert (facts.code, facts.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "ANSWER_TOO_LARGE",
    )
    assert facts.metadata["limit_bytes"] == "3932160"
    assert "Infer" in facts.message


async def test_a_violation_is_named_as_the_request_has_it(running: RouterUnderTest) -> None:
    nothing = await refused(running, rpc.GenerateRequest())
    without_target = await refused(running, rpc.GenerateRequest(request=rpc.InferRequest()))

    assert [each.field for each in reason_of(nothing).violations] == ["request"]
    assert {each.field for each in reason_of(without_target).violations} == {
        "request.messages",
        "request.target_id",
    }
