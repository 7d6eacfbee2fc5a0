"""The openai adapter against an HTTP server with the faults of real ones."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace

import pytest

from services.content.model import FinishReason, ToolCall, Usage, UsageSource
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UsageReport,
)
from tests.contract.router.adapter_calls import ASK, LOOK, AdapterCalls, said
from tests.contract.router.openai_calls import call_delta, calls_chunk
from tests.support.fake_provider import (
    CHUNK_ID,
    Cut,
    Pause,
    Script,
    chunk,
    event,
    finish,
    stream,
    text,
)


@pytest.mark.parametrize("end", ["", "/"], ids=["base url", "base url that ends in a slash"])
async def test_an_answer_becomes_items(openai: AdapterCalls, end: str) -> None:
    # given a provider that streams, counts and finishes
    counted = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    openai.provider.answers(stream(*text("Hel", "lo"), *finish(usage=counted)))

    # when
    items = await openai.items(base_url=openai.provider.base_url + end)

    # then
    assert items == [
        Opened(CHUNK_ID),
        TextDelta("Hello"),
        UsageReport(Usage(9, 4, 3, 0, 1)),
        Finished(FinishReason.STOP),
    ]
    (request,) = openai.provider.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "authorization" not in request.headers


async def test_tokens_are_estimated_without_usage(openai: AdapterCalls) -> None:
    # given a provider that refuses to be asked for counts
    openai.provider.answers(stream(*text("12345678"), *finish()))

    # when
    items = await openai.items(stream_usage=False)

    # then eight characters make two tokens
    (report,) = [item for item in items if isinstance(item, UsageReport)]
    assert report.usage.output_tokens == 2
    assert report.usage.input_tokens > 0
    assert report.usage.source is UsageSource.ESTIMATED
    assert "stream_options" not in openai.provider.requests[0].body


async def test_the_last_usage_of_several_counts(openai: AdapterCalls) -> None:
    # given usage on every chunk
    one = chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1})
    two = chunk({"content": "b"}, usage={"prompt_tokens": 5, "completion_tokens": 2})
    openai.provider.answers(stream(one, two, *finish()))

    # when
    items = await openai.items()

    # then
    assert [item.usage for item in items if isinstance(item, UsageReport)] == [Usage(5, 2)]


SPLIT = b"".join([*text("gr\u00fc\u00df", "\U0001f680"), *finish()])


DEVIATIONS = {
    "crlf": [SPLIT.replace(b"\n", b"\r\n")],
    "cr": [SPLIT.replace(b"\n", b"\r")],
    "no final blank line": [SPLIT[:-2]],
    "no [DONE]": [SPLIT.removesuffix(b"data: [DONE]\n\n")],
    "data after [DONE]": [SPLIT + b'data: {"broken\n\n'],
    "byte order mark": [b"\xef\xbb\xbf" + SPLIT],
    "keep-alive comments": [
        b": keep-alive\n\n" + SPLIT.replace(b"\n\n", b"\n\n: OPENROUTER PROCESSING\n\n")
    ],
    "empty choices": [event({"id": CHUNK_ID, "choices": []}) + SPLIT],
    "foreign event": [b"event: ping\ndata: {}\n\n" + SPLIT],
    "unknown fields": [
        SPLIT.replace(b'"object"', b'"obfuscation": "xyz", "timings": {"n": 1}, "object"')
    ],
    "two finish chunks": [
        SPLIT.replace(b"data: [DONE]", chunk({}, finish_reason="stop") + b"data: [DONE]")
    ],
    "three writes": [SPLIT[:90], SPLIT[90:-1], SPLIT[-1:]],
    "byte by byte": [SPLIT[n : n + 1] for n in range(len(SPLIT))],
}


@pytest.mark.parametrize("moves", DEVIATIONS.values(), ids=DEVIATIONS)
async def test_deviations_of_servers_are_tolerated(
    openai: AdapterCalls, moves: list[bytes]
) -> None:
    # given
    openai.provider.answers(stream(*moves))

    # when
    items = await openai.items()

    # then
    assert said(items) == "grüß🚀"
    assert items[-1] == Finished(FinishReason.STOP)
    assert sum(isinstance(item, Opened) for item in items) == 1


WHOLE = {
    "id": CHUNK_ID,
    "choices": [{"index": 0, "message": {"content": "grüß🚀"}, "finish_reason": "stop"}],
}


@pytest.mark.parametrize(
    "script",
    [
        stream(SPLIT, Content_Type="application/json"),
        stream(json.dumps(WHOLE, indent=1).encode(), Content_Type="application/json"),
        stream(json.dumps(WHOLE, indent=1).encode()),
        stream(b"\n\n", json.dumps(WHOLE).encode(), Content_Type="text/plain"),
        stream(event(WHOLE)),
        stream(SPLIT.removesuffix(b"data: [DONE]\n\n"), Cut()),
    ],
    ids=[
        "events labelled as json",
        "a document",
        "a document labelled as events",
        "a document labelled as text, after blanks",
        "an event that is whole",
        "cut after the finish",
    ],
)
async def test_a_whole_answer_is_taken_in_every_form(openai: AdapterCalls, script: Script) -> None:
    # given
    openai.provider.answers(script)

    # when
    items = await openai.items()

    # then
    assert said(items) == "grüß🚀"
    assert items[-1] == Finished(FinishReason.STOP)


async def test_a_complete_answer_waits_a_second_for_its_end(openai: AdapterCalls) -> None:
    # given a provider that keeps the connection open after the finish
    openai.provider.answers(stream(*text("a"), chunk({}, finish_reason="stop"), Pause()))
    calling = asyncio.create_task(openai.items())
    await openai.until_waiting()

    # when less than a second passes, then a whole one
    openai.clock.advance(0.9)
    early, _ = await asyncio.wait({calling}, timeout=0.01)
    openai.clock.advance(0.1)
    items = await calling

    # then
    assert not early
    assert items[-1] == Finished(FinishReason.STOP)


async def test_heartbeats_do_not_lengthen_the_wait_for_the_end(openai: AdapterCalls) -> None:
    # given a provider that only sends comments after the finish and keeps the connection open
    ending = chunk({}, finish_reason="stop")
    moves = [*text("a"), ending, Pause(), b": ping\n\n", Pause(), b": ping\n\n", Pause()]
    openai.provider.answers(stream(*moves))
    calling = asyncio.create_task(openai.items())
    await openai.until_waiting()

    # when a comment comes after 0.6 s, and a second has passed
    openai.clock.advance(0.6)
    openai.provider.go_on()
    await openai.provider.until(pauses=2)
    await openai.until_waiting()
    openai.clock.advance(0.4)

    # then
    assert (await calling)[-1] == Finished(FinishReason.STOP)


async def test_a_compressed_stream_is_read(openai: AdapterCalls) -> None:
    # given a server that compresses in spite of Accept-Encoding
    openai.provider.answers(stream(gzip.compress(SPLIT), Content_Encoding="gzip"))

    # when, then
    assert said(await openai.items()) == "grüß🚀"
    assert openai.provider.requests[0].headers["accept-encoding"] == "identity"


async def test_an_event_of_1_mib_passes(openai: AdapterCalls) -> None:
    # given
    openai.provider.answers(stream(*text("x" * 1024 * 1024), *finish()))

    # when, then
    assert len(said(await openai.items())) == 1024 * 1024


async def test_deltas_that_arrive_together_are_read_together(openai: AdapterCalls) -> None:
    # given twenty deltas in one write
    openai.provider.answers(stream(b"".join(text(*"abcdefghijklmnopqrst"))))

    # when
    async with openai.open() as upstream:
        items = await upstream.read()

    # then
    assert said(list(items)) == "abcdefghijklmnopqrst"


async def test_interleaved_tool_calls_are_assembled_by_index(openai: AdapterCalls) -> None:
    # given two calls with interleaved arguments, and the finish reason "stop"
    deltas = [
        calls_chunk(call_delta(0, "", "c1", "look"), call_delta(1, "", "c2", "look")),
        calls_chunk(call_delta(0, '{"a":')),
        calls_chunk(call_delta(1, '{"b":2}')),
        calls_chunk(call_delta(0, "1}")),
    ]
    openai.provider.answers(stream(*deltas, *finish("stop")))

    # when
    items = await openai.items(replace(ASK, tools=(LOOK,)))

    # then
    assert items[1:7] == [
        ToolCallDelta(0, "", "c1", "look"),
        ToolCallDelta(1, "", "c2", "look"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(1, '{"b":2}'),
        ToolCallDelta(0, "1}"),
        ToolCallReady(0, ToolCall("c1", "look", '{"a":1}')),
    ]
    assert items[7] == ToolCallReady(1, ToolCall("c2", "look", '{"b":2}'))
    assert items[-1] == Finished(FinishReason.TOOL_CALLS)


@pytest.mark.parametrize("index", [None, 0], ids=["no index", "always index 0"])
async def test_calls_with_the_same_index_are_distinguished_by_id(
    openai: AdapterCalls, index: int | None
) -> None:
    # given two complete calls in one chunk
    calls = calls_chunk(call_delta(index, "{}", "c1", "look"), call_delta(index, "", "c2", "look"))
    openai.provider.answers(stream(calls, *finish("stop")))

    # when
    items = await openai.items()

    # then
    ready = [item for item in items if isinstance(item, ToolCallReady)]
    assert ready == [
        ToolCallReady(0, ToolCall("c1", "look", "{}")),
        ToolCallReady(1, ToolCall("c2", "look", "{}")),
    ]


WITHOUT_INDEX = {
    "id in the first fragment": [
        call_delta(None, "", "c1", "look"),
        call_delta(None, '{"a":1}'),
        call_delta(None, "", "c2", "look"),
        call_delta(None, '{"b":2}'),
    ],
    "id in every fragment": [
        call_delta(None, '{"a":', "c1", "look"),
        call_delta(None, '{"b":2}', "c2", "look"),
        call_delta(None, "1}", "c1"),
    ],
    "empty id": [call_delta(None, '{"a":1}', "", "look"), call_delta(None, '{"b":2}', "", "look")],
    "no id": [
        call_delta(None, '{"a":1}', None, "look"),
        call_delta(None, '{"b":', None, "look"),
        call_delta(None, "2}"),
    ],
}


@pytest.mark.parametrize("deltas", WITHOUT_INDEX.values(), ids=WITHOUT_INDEX)
async def test_calls_without_an_index_are_distinguished(
    openai: AdapterCalls, deltas: list[dict[str, object]]
) -> None:
    # given two calls in fragments, none of which is numbered
    openai.provider.answers(stream(*(calls_chunk(each) for each in deltas), *finish()))

    # when
    items = await openai.items()

    # then
    ready = [item.call for item in items if isinstance(item, ToolCallReady)]
    assert [call.arguments_json for call in ready] == ['{"a":1}', '{"b":2}']
    assert ready[0].call_id != ready[1].call_id


async def test_a_function_call_of_old_servers_is_a_tool_call(openai: AdapterCalls) -> None:
    # given
    function = {"function_call": {"name": "look", "arguments": "{}"}}
    openai.provider.answers(stream(chunk(function), *finish("function_call")))

    # when
    items = await openai.items()

    # then an id is made for it
    assert ToolCallReady(0, ToolCall("call_0", "look", "{}")) in items


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_under_either_name(openai: AdapterCalls, field: str) -> None:
    # given
    openai.provider.answers(stream(chunk({field: "hm"}), *text("ok"), *finish()))

    # when
    items = await openai.items()

    # then
    state = f'{{"type":"chat_reasoning","field":"{field}"}}'.encode()
    assert items[1:4] == [
        ReasoningDelta("hm", "vllm"),
        TextDelta("ok"),
        ReasoningDelta("", "vllm", state),
    ]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("eos_token", FinishReason.STOP),
    ],
)
async def test_finish_reasons(openai: AdapterCalls, reason: str, expected: FinishReason) -> None:
    # given
    openai.provider.answers(stream(chunk({"refusal": "I'd rather not"}), *finish(reason)))

    # when
    items = await openai.items()

    # then
    assert items[-1] == Finished(expected)
    assert said(items) == "I'd rather not"


async def test_one_connection_serves_one_answer_after_the_other(openai: AdapterCalls) -> None:
    # given answers whose last byte comes with their terminator
    openai.provider.always(stream(b"".join([*text("a"), *finish()])))

    # when
    for _ in range(3):
        await openai.items()

    # then
    assert len(openai.provider.requests) == 3
    assert len({request.peer for request in openai.provider.requests}) == 1
