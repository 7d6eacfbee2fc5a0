"""Streams over gRPC: the commit point, breaks, cancels, batches."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.streaming import streaming
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    failing,
    pool,
    scripted,
    seconds,
    served_by,
)
from tests.support.clients import replying
from tests.support.fake_provider import FakeProvider, Pause, Script, finish, stream, text
from tests.support.waiting import within_limit


async def test_headers_wait_for_the_commit_point(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given a provider that has accepted the request and says nothing yet
    provider.answers(stream(text()[0], Pause(), *text("late")[1:], *finish()))
    await running.apply(*served_by(provider))

    # when
    async with streaming(running.call("m")) as call:
        headers = asyncio.ensure_future(call.initial_metadata())
        await provider.until(pauses=1)
        for _ in range(200):
            await asyncio.sleep(0)
        early = headers.done()
        provider.go_on()
        await headers
        frames = [frame async for frame in call]

    # then
    assert not early
    assert frames[0].items[1].text_delta.text == "late"


async def test_a_stream_that_is_cut_ends_with_what_was_sent(running: RouterUnderTest) -> None:
    # given
    cut = failing(reg.BUILTIN_FAULT_KIND_CUT, after_deltas=2, text="one two three")
    await running.apply(*scripted(cut))

    # when
    received = await running.infer("m")

    # then
    assert received.text == "one two"
    interrupted = received.items[-1].interrupted
    assert interrupted.reason == prov.FAILURE_CLASS_STREAM_TRUNCATED
    assert interrupted.committed_length == 7
    assert interrupted.resumable
    assert received.code_and_reason == (grpc.StatusCode.UNAVAILABLE, "STREAM_INTERRUPTED")
    assert received.decision.attempts[0].outcome == pb.ATTEMPT_OUTCOME_INTERRUPTED


@pytest.mark.parametrize("moment", ["before headers", "before content", "while streaming"])
async def test_a_cancel_reaches_the_upstream_socket(
    running: RouterUnderTest, provider: FakeProvider, moment: str
) -> None:
    # given a provider that hangs
    hanging = {
        "before headers": Script((Pause(),)),
        "before content": stream(text()[0], Pause()),
        "while streaming": stream(*text("a"), Pause()),
    }
    provider.answers(hanging[moment])
    await running.apply(*served_by(provider))

    # when the caller disconnects
    call = running.call("m")
    if moment == "while streaming":
        await call.read()
    await provider.until(requests=1)
    call.cancel()

    # then the provider sees it
    async with within_limit():
        await provider.until(disconnects=1)
    assert provider.disconnects == 1


async def test_a_deadline_reaches_the_upstream_socket(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given a provider that hangs
    provider.answers(Script((Pause(),)))
    await running.apply(*served_by(provider))

    # when
    received = await running.infer("m", timeout=0.3)

    # then
    assert received.failure.code == grpc.StatusCode.DEADLINE_EXCEEDED
    async with within_limit():
        await provider.until(disconnects=1)


async def test_tool_calls_and_reasoning_reach_the_caller(running: RouterUnderTest) -> None:
    # given a script that reasons, speaks and calls
    call = reg.BuiltinToolCall(tool_id="look", arguments_json='{"at": "${what}"}')
    answer = reg.BuiltinReply(text="one moment", reasoning="hm", tool_calls=[call])
    step = reg.BuiltinStep(matches=r"look at (?P<what>\w+)", reply=answer)
    await running.apply(*scripted(step))

    # when
    tool = content.ToolDefinition(tool_id="look", json_schema='{"type": "object"}')
    required = prov.ToolChoice(mode=prov.TOOL_CHOICE_MODE_REQUIRED)
    received = await running.infer("m", "look at cats", tools=[tool], tool_choice=required)

    # then
    assert received.kinds[1] == "reasoning_delta"
    assert received.kinds[-4:] == ["tool_call_delta", "tool_call_ready", "usage", "finished"]
    ready = received.items[-3].tool_call_ready.call
    assert (ready.call_id, ready.tool_id) == ("call_1", "look")
    assert ready.arguments_json == '{"at": "cats"}'
    assert received.items[-1].finished.reason == content.FINISH_REASON_TOOL_CALLS


async def test_items_of_one_read_are_sent_in_one_message(running: RouterUnderTest) -> None:
    # given a script that says 100 words at once
    words = " ".join(["word"] * 100)
    await running.apply(*scripted(replying(words)))

    # when
    received = await running.infer("m")

    # then
    assert [len(frame.items) for frame in received.frames] == [64, 39]
    assert received.text == words


async def test_deltas_with_an_interval_come_one_by_one(running: RouterUnderTest) -> None:
    # given
    await running.apply(*scripted(interval_s=0.001))

    # when
    received = await running.infer("m")

    # then
    assert [len(frame.items) for frame in received.frames] == [2, 1, 1, 1, 1]


async def test_a_stalled_stream_times_out(running: RouterUnderTest) -> None:
    # given a stall after two words, and an idle clock of 0.2 s
    stall = failing(reg.BUILTIN_FAULT_KIND_STALL, after_deltas=2, text="one two three")
    idle = reg.PoolClocks(idle=seconds(0.2))
    await running.apply(*scripted(stall), pool("p", "m", clocks=idle))

    # when
    received = await running.infer("p")

    # then
    assert received.text == "one two"
    assert received.items[-1].interrupted.reason == prov.FAILURE_CLASS_TIMEOUT_IDLE
