"""The official client of OpenAI and the router read the same bytes as the same answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from tests.contract.router.openai_calls import call_delta, calls_chunk
from tests.contract.router.router_under_test import RouterUnderTest, served_by
from tests.support.fake_provider import (
    CHUNK_ID,
    FakeProvider,
    Script,
    chunk,
    event,
    finish,
    stream,
    text,
)

USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 14,
    "total_tokens": 33,
    "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
CALLS = [
    calls_chunk(call_delta(0, "", "c1", "look"), call_delta(1, "", "c2", "look")),
    calls_chunk(call_delta(0, '{"at": "s')),
    calls_chunk(call_delta(1, "{}")),
    calls_chunk(call_delta(0, 'ea \\ud83d\\ude80"}')),
]
ONE = event(
    {
        "id": CHUNK_ID,
        "object": "chat.completion.chunk",
        "choices": [
            {"index": 0, "delta": {"content": "all at once"}, "finish_reason": "stop"},
        ],
        "usage": USAGE,
    }
)
CORPUS: dict[str, Script] = {
    "text": stream(*text("grüß", " ", "🚀\n\n"), *finish(usage=USAGE)),
    "one chunk": stream(ONE, b"data: [DONE]\n\n"),
    "the output limit": stream(*text("cut of"), *finish("length", usage=USAGE)),
    "withheld": stream(*text("a"), *finish("content_filter", usage=USAGE)),
    "no text": stream(*text(), *finish(usage=USAGE)),
    "calls": stream(*CALLS, *finish("tool_calls", usage=USAGE)),
    "text and calls": stream(*text("Let me see."), *CALLS, *finish("tool_calls", usage=USAGE)),
    "in small pieces": stream(
        *(bytes([byte]) for byte in b"".join([*text("é"), *finish(usage=USAGE)]))
    ),
    "comments": stream(b": ping\n\n", *text("a"), b": ping\n\n", *finish(usage=USAGE)),
    "reasoning": stream(
        chunk({"reasoning_content": "hm"}), *text("a"), *finish("stop", usage=USAGE)
    ),
    "usage so far": stream(
        chunk({"content": "a"}, usage={**USAGE, "completion_tokens": 1}), *finish(usage=USAGE)
    ),
}


@dataclass(frozen=True)
class Told:
    text: str
    calls: list[tuple[str, str, Any]]
    finish: str
    tokens: tuple[int, int, int, int]


async def told_by_client(provider: FakeProvider) -> Told:
    asked: Any = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
    client = openai.AsyncOpenAI(base_url=provider.base_url, api_key="any", max_retries=0)
    parts: list[str] = []
    calls: dict[int, list[str]] = {}
    reason, usage = "", None
    async with (
        client,
        await client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        ) as streamed,
    ):
        async for each in streamed:
            usage = each.usage or usage
            for choice in each.choices:
                parts.append(choice.delta.content or "")
                reason = choice.finish_reason or reason
                for call in choice.delta.tool_calls or ():
                    known = calls.setdefault(call.index, [call.id, call.function.name, ""])
                    known[2] += call.function.arguments
    assert usage is not None
    return Told(
        "".join(parts),
        [(call_id, name, json.loads(arguments)) for call_id, name, arguments in calls.values()],
        reason,
        (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.prompt_tokens_details.cached_tokens,
            usage.completion_tokens_details.reasoning_tokens,
        ),
    )


FINISHES = {
    content.FINISH_REASON_STOP: "stop",
    content.FINISH_REASON_LENGTH: "length",
    content.FINISH_REASON_TOOL_CALLS: "tool_calls",
    content.FINISH_REASON_CONTENT_FILTER: "content_filter",
}


async def told_by_router(running: RouterUnderTest, provider: FakeProvider) -> Told:
    await running.apply(*served_by(provider))
    items: list[pb.InferItem] = (answered := await running.infer("m")).items
    calls = [item.tool_call_ready.call for item in items if item.HasField("tool_call_ready")]
    usage = next(item.usage for item in reversed(items) if item.HasField("usage"))
    return Told(
        answered.text,
        [(call.call_id, call.tool_id, json.loads(call.arguments_json)) for call in calls],
        FINISHES[items[-1].finished.reason],
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.reasoning_output_tokens,
        ),
    )


@pytest.mark.parametrize("script", CORPUS.values(), ids=CORPUS)
async def test_the_router_tells_what_the_official_client_tells(
    running: RouterUnderTest, provider: FakeProvider, script: Script
) -> None:
    # given a provider that sends the same bytes to both
    provider.always(script)

    # when
    by_client = await told_by_client(provider)
    by_router = await told_by_router(running, provider)

    # then
    assert by_router == by_client
