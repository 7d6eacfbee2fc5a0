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
    breaking_pool,
    failing,
    pool,
    scripted,
    seconds,
    served_by,
)
from tests.support.clients import replying
from tests.support.fake_provider import FakeProvider, Pause, Script, finish, stream, text
from tests.support.spans import recording
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


async def test_an_answer_starts_over_after_its_member_breaks_off(running: RouterUnderTest) -> None:
    # given two members that break off, and one that answers
    await running.apply(*breaking_pool("one two three", "un deux trois"))

    # when
    received = await running.infer("narration", "all is well")

    # then what follows the last reset is the whole answer of one member
    assert received.error is None
    resets = [n for n, kind in enumerate(received.kinds) if kind == "stream_reset"]
    told = [received.items[n].stream_reset for n in resets]
    assert [each.decision.member_id for each in told] == ["cut-1", "whole"]
    assert {each.reason for each in told} == {prov.FAILURE_CLASS_STREAM_TRUNCATED}
    last = received.items[resets[-1] + 1 :]
    assert "".join(item.text_delta.text for item in last) == "all is well"
    assert [(a.member_id, a.kind, a.outcome) for a in received.decision.attempts] == [
        ("cut-0", pb.ATTEMPT_KIND_INITIAL, pb.ATTEMPT_OUTCOME_INTERRUPTED),
        ("cut-1", pb.ATTEMPT_KIND_FAILOVER, pb.ATTEMPT_OUTCOME_INTERRUPTED),
        ("whole", pb.ATTEMPT_KIND_FAILOVER, pb.ATTEMPT_OUTCOME_SUCCEEDED),
    ]


async def test_the_spans_of_an_answer_that_starts_over_are_linked(
    running: RouterUnderTest,
) -> None:
    # given
    await running.apply(*breaking_pool("one two three"))

    # when
    with recording() as spans:
        await running.infer("narration")

    # then
    broken, whole = spans.named("chat cut-0"), spans.named("chat whole")
    assert broken.context is not None
    assert (broken.attributes or {})["error.type"] == "stream_truncated"
    (link,) = whole.links
    assert link.context.span_id == broken.context.span_id
    route = spans.named("route narration")
    assert [event.name for event in route.events] == ["router.failover"]


async def test_a_request_decides_whether_its_answer_starts_over(running: RouterUnderTest) -> None:
    # given a pool that starts over
    await running.apply(*breaking_pool("one two three"))

    # when
    interrupted = await running.infer("narration", mid_stream=pb.MID_STREAM_INTERRUPT)
    limited = await running.infer("narration", max_attempts=1)
    restarted = await running.infer("narration", mid_stream=pb.MID_STREAM_RESTART)

    # then
    assert interrupted.failure.reason == limited.failure.reason == "STREAM_INTERRUPTED"
    assert "stream_reset" not in interrupted.kinds + limited.kinds
    (skipped,) = limited.decision.skipped
    assert (skipped.member_id, skipped.reason) == ("whole", pb.SKIP_REASON_LIMIT_REACHED)
    assert restarted.error is None


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
