"""The openai adapter against a real HTTP server that behaves as badly as real ones do."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from services.content.model import (
    FinishReason,
    ToolCall,
    Usage,
    UsageSource,
)
from services.router.clients.openai import OpenAiAdapter
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UsageReport,
)
from services.router.core.ports import UpstreamCall
from tests.contract.router.openai_rig import (
    ASK,
    LOOK,
    call_delta,
    items_of,
    member,
    said,
)
from tests.support.fake_provider import (
    CHUNK_ID,
    FakeProvider,
    chunk,
    event,
    finish,
    stream,
    text,
)


async def test_an_answer_becomes_items(provider: FakeProvider, adapter: OpenAiAdapter) -> None:
    # given a provider that streams, counts and finishes
    counted = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    provider.answers(stream(*text("Hel", "lo"), *finish(usage=counted)))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert items == [
        Opened(CHUNK_ID),
        TextDelta("Hel"),
        TextDelta("lo"),
        UsageReport(Usage(9, 4, 3, 0, 1)),
        Finished(FinishReason.STOP),
    ]
    (request,) = provider.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "authorization" not in request.headers


async def test_a_base_url_may_end_in_a_slash(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given
    provider.answers(stream(*text("a"), *finish()))

    # when
    await items_of(adapter, member(f"{provider.base_url}/"))

    # then
    assert provider.requests[0].path == "/v1/chat/completions"


async def test_tokens_are_estimated_when_nobody_counts(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a provider that refuses to be asked for counts
    provider.answers(stream(*text("12345678"), *finish()))

    # when
    items = await items_of(adapter, member(provider.base_url, stream_usage=False))

    # then eight characters make two tokens
    (report,) = [item for item in items if isinstance(item, UsageReport)]
    assert report.usage.output_tokens == 2
    assert report.usage.input_tokens > 0
    assert report.usage.source is UsageSource.ESTIMATED
    assert "stream_options" not in provider.requests[0].body


async def test_the_last_of_many_counts_is_the_one(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given usage on every chunk
    chunks = [
        chunk({"content": str(n)}, usage={"prompt_tokens": 5, "completion_tokens": n})
        for n in (1, 2)
    ]
    provider.answers(stream(*chunks, *finish()))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert [item.usage for item in items if isinstance(item, UsageReport)] == [Usage(5, 2)]


SPLIT = b"".join([*text("gr\u00fc\u00df", "\U0001f680"), *finish()])


@pytest.mark.parametrize(
    "moves",
    [
        [SPLIT.replace(b"\n", b"\r\n")],
        [SPLIT.replace(b"\n", b"\r")],
        [SPLIT[:-2]],
        [SPLIT.removesuffix(b"data: [DONE]\n\n")],
        [SPLIT + b'data: {"broken\n\n'],
        [b"\xef\xbb\xbf" + SPLIT],
        [b": keep-alive\n\n" + SPLIT.replace(b"\n\n", b"\n\n: OPENROUTER PROCESSING\n\n")],
        [event({"id": CHUNK_ID, "choices": []}) + SPLIT],
        [b"event: ping\ndata: {}\n\n" + SPLIT],
        [SPLIT.replace(b'"object"', b'"obfuscation": "xyz", "timings": {"n": 1}, "object"')],
        [SPLIT.replace(b"data: [DONE]", chunk({}, finish_reason="stop") + b"data: [DONE]")],
        [SPLIT[:90], SPLIT[90:-1], SPLIT[-1:]],
        [SPLIT[n : n + 1] for n in range(len(SPLIT))],
    ],
    ids=[
        "crlf",
        "cr",
        "no final blank line",
        "no [DONE]",
        "data after [DONE]",
        "byte order mark",
        "keep-alive comments",
        "empty choices",
        "foreign event",
        "unknown fields",
        "two finish chunks",
        "three writes",
        "byte by byte",
    ],
)
async def test_quirks_that_make_no_difference(
    provider: FakeProvider, adapter: OpenAiAdapter, moves: list[bytes]
) -> None:
    # given
    provider.answers(stream(*moves))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert said(items) == "grüß🚀"
    assert items[-1] == Finished(FinishReason.STOP)
    assert sum(isinstance(item, Opened) for item in items) == 1


async def test_a_compressed_stream_is_read(provider: FakeProvider, adapter: OpenAiAdapter) -> None:
    # given a server that compresses although it was told not to
    provider.answers(stream(gzip.compress(SPLIT), Content_Encoding="gzip"))

    # when, then
    assert said(await items_of(adapter, member(provider.base_url))) == "grüß🚀"
    assert provider.requests[0].headers["accept-encoding"] == "identity"


async def test_an_event_of_1_mib_passes(provider: FakeProvider, adapter: OpenAiAdapter) -> None:
    # given
    provider.answers(stream(*text("x" * 1024 * 1024), *finish()))

    # when, then
    assert len(said(await items_of(adapter, member(provider.base_url)))) == 1024 * 1024


async def test_what_arrives_together_is_read_together(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given twenty deltas in one write
    provider.answers(stream(b"".join(text(*"abcdefghijklmnopqrst"))))

    # when
    async with adapter.open(UpstreamCall(member(provider.base_url), ASK, "")) as upstream:
        items = await upstream.read()

    # then
    assert said(list(items)) == "abcdefghijklmnopqrst"


async def test_interleaved_tool_calls_are_put_together_by_index(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given two calls whose arguments arrive in turns, and a finish that says "stop"
    deltas = [
        [call_delta(0, "", "c1", "look"), call_delta(1, "", "c2", "look")],
        [call_delta(0, '{"a":')],
        [call_delta(1, '{"b":2}')],
        [call_delta(0, "1}")],
    ]
    provider.answers(stream(*(chunk({"tool_calls": d}) for d in deltas), *finish("stop")))

    # when
    items = await items_of(adapter, member(provider.base_url), replace(ASK, tools=(LOOK,)))

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
async def test_whole_calls_with_a_poor_index_are_told_apart_by_id(
    provider: FakeProvider, adapter: OpenAiAdapter, index: int | None
) -> None:
    # given two complete calls in one chunk
    calls = [call_delta(index, "{}", "c1", "look"), call_delta(index, "", "c2", "look")]
    provider.answers(stream(chunk({"tool_calls": calls}), *finish("stop")))

    # when
    items = await items_of(adapter, member(provider.base_url))

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
    "empty id": [
        call_delta(None, '{"a":1}', "", "look"),
        call_delta(None, '{"b":2}', "", "look"),
    ],
    "no id": [
        call_delta(None, '{"a":1}', None, "look"),
        call_delta(None, '{"b":', None, "look"),
        call_delta(None, "2}"),
    ],
}


@pytest.mark.parametrize("name", WITHOUT_INDEX)
async def test_calls_without_an_index_are_told_apart(
    provider: FakeProvider, adapter: OpenAiAdapter, name: str
) -> None:
    # given two calls in fragments, none of which is numbered
    provider.answers(
        stream(*(chunk({"tool_calls": [each]}) for each in WITHOUT_INDEX[name]), *finish())
    )

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    ready = [item.call for item in items if isinstance(item, ToolCallReady)]
    assert [call.arguments_json for call in ready] == ['{"a":1}', '{"b":2}']
    assert ready[0].call_id != ready[1].call_id


async def test_a_function_call_of_old_servers_is_a_tool_call(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given
    function = {"function_call": {"name": "look", "arguments": "{}"}}
    provider.answers(stream(chunk(function), *finish("function_call")))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then an id is made for it
    assert ToolCallReady(0, ToolCall("call_0", "look", "{}")) in items


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_under_either_name(
    provider: FakeProvider, adapter: OpenAiAdapter, field: str
) -> None:
    # given
    provider.answers(stream(chunk({field: "hm"}), *text("ok"), *finish()))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert items[1:3] == [ReasoningDelta("hm"), TextDelta("ok")]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("eos_token", FinishReason.STOP),
    ],
)
async def test_finish_reasons(
    provider: FakeProvider, adapter: OpenAiAdapter, reason: str, expected: FinishReason
) -> None:
    # given
    provider.answers(stream(chunk({"refusal": "I'd rather not"}), *finish(reason)))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert items[-1] == Finished(expected)
    assert said(items) == "I'd rather not"


async def test_one_connection_serves_one_answer_after_the_other(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given answers whose last byte comes with their terminator
    provider.always(stream(b"".join([*text("a"), *finish()])))

    # when
    for _ in range(3):
        await items_of(adapter, member(provider.base_url))

    # then
    assert len(provider.requests) == 3
    assert len({request.peer for request in provider.requests}) == 1
