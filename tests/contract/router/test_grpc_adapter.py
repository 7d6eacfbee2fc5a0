"""The grpc adapter against a server of ``provider.v1``."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runyard.provider.v1 import provider_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.content.model import (
    FinishReason,
    Message,
    Reasoning,
    Role,
    Text,
    ToolCall,
    Usage,
    UsageSource,
)
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UpstreamItem,
    UsageReport,
)
from tests.contract.router.adapter_calls import ASK, LOOK, Calls, said
from tests.support.grpc_upstream import (
    GrpcUpstream,
    Move,
    Pause,
    counted,
    delta,
    finish,
    message,
    ready,
    started,
    text,
)

TOKENS = {
    "input_tokens": 9,
    "output_tokens": 4,
    "cache_read_input_tokens": 3,
    "cache_write_input_tokens": 2,
    "reasoning_output_tokens": 1,
}


async def test_an_answer_becomes_items(grpc_calls: Calls, upstream: GrpcUpstream) -> None:
    # given a provider that streams, counts and finishes
    upstream.answers(
        started("r7", "gpt-2026"), text("Hel"), text("lo"), counted(**TOKENS), finish()
    )

    # when
    items = await grpc_calls.items()

    # then
    assert items == [
        Opened("r7", "gpt-2026"),
        TextDelta("Hello"),
        UsageReport(Usage(9, 4, 3, 2, 1)),
        Finished(FinishReason.STOP),
    ]


async def test_items_of_one_message_are_read_together(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.answers(text("a", "b", "c"), Pause())

    # when
    async with grpc_calls.open() as stream:
        items = await stream.read()

    # then
    assert items == [Opened(), TextDelta("a"), TextDelta("b"), TextDelta("c")]


async def test_tokens_are_estimated_where_the_provider_does_not_count(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given a provider that sends counts without a meaning
    upstream.answers(text("12345678"), counted(), counted(input_tokens=-1), finish())

    # when
    items = await grpc_calls.items()

    # then eight characters make two tokens
    (report,) = [item for item in items if isinstance(item, UsageReport)]
    assert (report.usage.output_tokens, report.usage.source) == (2, UsageSource.ESTIMATED)
    assert report.usage.input_tokens > 0


async def test_counts_that_the_provider_estimates_stay_estimates(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.answers(
        text("a"), counted(input_tokens=5, source=content.USAGE_SOURCE_ESTIMATED), finish()
    )

    # when
    items = await grpc_calls.items()

    # then
    assert UsageReport(Usage(5, source=UsageSource.ESTIMATED)) in items


LENIENT: dict[str, tuple[list[Move], list[UpstreamItem]]] = {
    "no Started": ([text("a"), finish()], [Opened(), TextDelta("a")]),
    "an item of an unknown kind": (
        [started(), b"\x0a\x04\xfa\x01\x01x", text("a"), finish()],
        [Opened("r1", "gpt"), TextDelta("a")],
    ),
    "an empty delta": ([started(), text("", "a"), finish()], [Opened("r1", "gpt"), TextDelta("a")]),
    "an empty message": ([message(), text("a"), finish()], [Opened(), TextDelta("a")]),
    "items behind Finished": (
        [text("a"), finish(), text("b"), b"\xff"],
        [Opened(), TextDelta("a")],
    ),
    "items behind Finished in one message": (
        [text("a"), message(*finish().items, *text("b").items)],
        [Opened(), TextDelta("a")],
    ),
}


@pytest.mark.parametrize(("moves", "expected"), LENIENT.values(), ids=LENIENT)
async def test_what_leaves_the_meaning_alone_is_tolerated(
    grpc_calls: Calls, upstream: GrpcUpstream, moves: list[Move], expected: list[UpstreamItem]
) -> None:
    # given
    upstream.answers(*moves)

    # when
    items = await grpc_calls.items()

    # then
    assert [item for item in items if not isinstance(item, UsageReport)] == [
        *expected,
        Finished(FinishReason.STOP),
    ]


async def test_interleaved_tool_calls_are_assembled_by_index(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given two calls, of which the provider completes one
    upstream.answers(
        message(delta(0, '{"a":', "c1", "look"), delta(1, '{"b":2}', "c2", "look")),
        message(delta(0, "1}"), ready(0, '{"a":1}', "c1", "look")),
        finish(),
    )

    # when
    items = await grpc_calls.items(replace(ASK, tools=(LOOK,)))

    # then
    assert items[1:-2] == [
        ToolCallDelta(0, '{"a":', "c1", "look"),
        ToolCallDelta(1, '{"b":2}', "c2", "look"),
        ToolCallDelta(0, "1}"),
        ToolCallReady(0, ToolCall("c1", "look", '{"a":1}')),
        ToolCallReady(1, ToolCall("c2", "look", '{"b":2}')),
    ]
    assert items[-1] == Finished(FinishReason.TOOL_CALLS)


async def test_a_call_that_comes_whole_gets_a_delta(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.answers(message(ready(0, "{}", "c1", "look")), finish())

    # when
    items = await grpc_calls.items()

    # then
    assert items[1:3] == [
        ToolCallDelta(0, "{}", "c1", "look"),
        ToolCallReady(0, ToolCall("c1", "look", "{}")),
    ]


async def test_calls_get_ids_of_their_own(grpc_calls: Calls, upstream: GrpcUpstream) -> None:
    # given a conversation with a call, and an answer of one call without and two with the same id
    earlier = Message(Role.ASSISTANT, (ToolCall("call_1", "look", "{}"),))
    upstream.answers(
        message(
            ready(0, "{}", "", "look"), ready(1, "{}", "c", "look"), ready(2, "{}", "c", "look")
        ),
        finish(),
    )

    # when
    items = await grpc_calls.items(replace(ASK, messages=(*ASK.messages, earlier)))

    # then
    ids = [item.call.call_id for item in items if isinstance(item, ToolCallReady)]
    assert ids == ["call_2", "c", "call_3"]


async def test_a_call_that_the_output_limit_cut_is_not_ready(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    calls = message(delta(0, "{}", "c1", "look"), delta(1, '{"a', "c2", "look"))
    upstream.answers(calls, finish(content.FINISH_REASON_LENGTH))

    # when
    items = await grpc_calls.items()

    # then
    whole = [item.call.call_id for item in items if isinstance(item, ToolCallReady)]
    assert whole == ["c1"]
    assert items[-1] == Finished(FinishReason.LENGTH)


async def test_opaque_state_is_bound_to_the_provider_and_goes_back_to_it_alone(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given a provider that does not know its id in the registry
    reasoned = pb.ReasoningDelta(text="hm", provider_id="self", opaque_state=b"\x00s")
    upstream.answers(message(pb.InferenceItem(reasoning_delta=reasoned)), finish())
    upstream.answers(finish())

    # when the answer goes back, with reasoning of another provider, alone in its message
    items = await grpc_calls.items()
    own = Message(Role.ASSISTANT, (Reasoning("hm", "vllm", b"\x00s"), Text("so")))
    foreign = Message(Role.ASSISTANT, (Reasoning("eh", "claude", b"x"),))
    await grpc_calls.items(replace(ASK, messages=(*ASK.messages, own, foreign)))

    # then
    assert items[1] == ReasoningDelta("hm", "vllm", b"\x00s")
    _, sent = upstream.requests[1].body.messages
    assert [part.WhichOneof("part") for part in sent.parts] == ["reasoning", "text"]
    assert sent.parts[0].reasoning.opaque_state == b"\x00s"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (content.FINISH_REASON_LENGTH, FinishReason.LENGTH),
        (content.FINISH_REASON_CONTENT_FILTER, FinishReason.CONTENT_FILTER),
    ],
)
async def test_finish_reasons(
    grpc_calls: Calls,
    upstream: GrpcUpstream,
    sent: content.FinishReason,
    expected: FinishReason,
) -> None:
    # given
    upstream.answers(text("a"), finish(sent))

    # when, then
    assert (await grpc_calls.items())[-1] == Finished(expected)


async def test_a_complete_answer_waits_a_second_for_its_status(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given a provider that does not end the call
    upstream.answers(text("a"), finish(), Pause())
    calling = asyncio.create_task(grpc_calls.items())
    await grpc_calls.until_waiting()

    # when
    grpc_calls.clock.advance(0.9)
    early, _ = await asyncio.wait({calling}, timeout=0.01)
    grpc_calls.clock.advance(0.1)
    items = await calling

    # then
    assert not early
    assert said(items) == "a"
    await upstream.until(cancelled=1)


async def test_a_provider_that_ends_the_call_is_not_cancelled(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.always(text("a"), finish())

    # when
    for _ in range(3):
        await grpc_calls.items()

    # then, over one connection
    await upstream.until(finished=3)
    assert upstream.cancelled == 0
    assert len({request.peer for request in upstream.requests}) == 1


async def test_leaving_an_answer_cancels_the_call(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given a provider in the middle of its answer
    upstream.answers(text("a"), Pause())

    # when
    async with grpc_calls.open() as stream:
        await stream.read()

    # then
    await upstream.until(cancelled=1)


async def test_cancelling_a_read_cancels_the_call(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given a provider that has not answered yet
    upstream.answers(Pause())
    calling = asyncio.create_task(grpc_calls.items())
    await upstream.until(requests=1)

    # when
    calling.cancel()
    await asyncio.wait({calling})

    # then
    await upstream.until(cancelled=1)
