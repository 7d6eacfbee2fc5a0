"""Streams over the wire: the commit point, breaks, cancels, batches."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.chassis.streaming import streaming
from tests.contract.router.world import (
    World,
    builtin,
    fault,
    home,
    model,
    openai,
    pool,
    request,
    seconds,
)
from tests.support.fake_provider import (
    FakeProvider,
    Pause,
    Script,
    finish,
    stream,
    text,
)


async def test_headers_wait_for_the_commit_point(running: World, provider: FakeProvider) -> None:
    # given a provider that has accepted the request and says nothing yet
    provider.answers(stream(text()[0], Pause(), *text("late")[1:], *finish()))
    version = await running.apply(openai("vllm", provider.base_url), model("m", "vllm"))

    # when
    async with streaming(running.call(request("m", min_registry_version=version))) as call:
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


async def test_a_stream_that_is_cut_ends_with_what_was_sent(running: World) -> None:
    # given
    cut = fault(reg.BUILTIN_FAULT_KIND_CUT, after_deltas=2, text="one two three")
    version = await running.apply(
        builtin("script", reg.BuiltinStep(fault=cut)), model("m", "script")
    )

    # when
    heard = await running.infer(request("m", min_registry_version=version))

    # then
    assert heard.text == "one two"
    interrupted = heard.items[-1].interrupted
    assert interrupted.reason == prov.FAILURE_CLASS_STREAM_TRUNCATED
    assert interrupted.committed_length == 7
    assert interrupted.resumable
    assert heard.error is not None
    assert (heard.error.code, heard.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_INTERRUPTED")
    assert heard.decision.attempts[0].outcome == pb.ATTEMPT_OUTCOME_INTERRUPTED


@pytest.mark.parametrize("moment", ["before headers", "before content", "while streaming"])
async def test_a_cancel_reaches_the_upstream_socket(
    running: World, provider: FakeProvider, moment: str
) -> None:
    # given a provider that hangs
    hanging = {
        "before headers": Script((Pause(),)),
        "before content": stream(text()[0], Pause()),
        "while streaming": stream(*text("a"), Pause()),
    }
    provider.answers(hanging[moment])
    version = await running.apply(openai("vllm", provider.base_url), model("m", "vllm"))

    # when the caller goes away
    call = running.call(request("m", min_registry_version=version))
    if moment == "while streaming":
        await call.read()
    await provider.until(requests=1)
    call.cancel()

    # then the provider sees it
    await asyncio.wait_for(provider.until(disconnects=1), 5)
    assert provider.disconnects == 1


async def test_a_deadline_reaches_the_upstream_socket(
    running: World, provider: FakeProvider
) -> None:
    # given a provider that hangs
    provider.answers(Script((Pause(),)))
    version = await running.apply(openai("vllm", provider.base_url), model("m", "vllm"))

    # when
    heard = await running.infer(request("m", min_registry_version=version), timeout=0.3)

    # then
    assert heard.error is not None
    assert heard.error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(provider.until(disconnects=1), 5)


async def test_tool_calls_and_reasoning_travel(running: World) -> None:
    # given a script that reasons, speaks and calls
    call = reg.BuiltinToolCall(tool_id="look", arguments_json='{"at": "${what}"}')
    answer = reg.BuiltinReply(text="one moment", reasoning="hm", tool_calls=[call])
    step = reg.BuiltinStep(matches=r"look at (?P<what>\w+)", reply=answer)
    version = await running.apply(builtin("script", step), model("m", "script"))

    # when
    tool = content.ToolDefinition(tool_id="look", json_schema='{"type": "object"}')
    required = prov.ToolChoice(mode=prov.TOOL_CHOICE_MODE_REQUIRED)
    asked = request(
        "m", "look at cats", min_registry_version=version, tools=[tool], tool_choice=required
    )
    heard = await running.infer(asked)

    # then
    assert heard.kinds[1] == "reasoning_delta"
    assert heard.kinds[-4:] == ["tool_call_delta", "tool_call_ready", "usage", "finished"]
    ready = heard.items[-3].tool_call_ready.call
    assert (ready.call_id, ready.tool_id, ready.arguments_json) == (
        "call_1",
        "look",
        '{"at": "cats"}',
    )
    assert heard.items[-1].finished.reason == content.FINISH_REASON_TOOL_CALLS


async def test_what_one_read_brings_travels_in_one_message(running: World) -> None:
    # given a script that says 100 words at once
    words = " ".join(["word"] * 100)
    version = await running.apply(
        builtin("script", reg.BuiltinStep(reply=reg.BuiltinReply(text=words))),
        model("m", "script"),
    )

    # when
    heard = await running.infer(request("m", min_registry_version=version))

    # then
    assert [len(frame.items) for frame in heard.frames] == [64, 39]
    assert heard.text == words


async def test_deltas_with_an_interval_come_one_by_one(running: World) -> None:
    # given
    version = await running.apply(builtin("script", interval_s=0.001), model("m", "script"))

    # when
    heard = await running.infer(request("m", min_registry_version=version))

    # then
    assert [len(frame.items) for frame in heard.frames] == [2, 1, 1, 1, 1]


async def test_a_stalled_stream_runs_into_its_clock(running: World) -> None:
    # given a stall after two words, and an idle clock of 0.2 s
    stall = fault(reg.BUILTIN_FAULT_KIND_STALL, after_deltas=2, text="one two three")
    version = await running.apply(
        builtin("script", reg.BuiltinStep(fault=stall)),
        model("m", "script"),
        pool("p", home("m"), clocks=reg.PoolClocks(idle=seconds(0.2))),
    )

    # when
    heard = await running.infer(request("p", min_registry_version=version))

    # then
    assert heard.text == "one two"
    assert heard.items[-1].interrupted.reason == prov.FAILURE_CLASS_TIMEOUT_IDLE
