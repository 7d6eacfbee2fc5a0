"""The official client of Anthropic and the router read the same bytes as the same answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import anthropic
import pytest

from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from tests.contract.router.router_under_test import RouterUnderTest, answered_as_messages
from tests.support.fake_provider import FakeProvider, Script, stream
from tests.support.messages_events import (
    PING,
    call_block,
    end,
    start,
    text_block,
    thinking_block,
)

CALLS = [
    *call_block(1, "c1", "look", '{"at": "s', 'ea \\ud83d\\ude80"}'),
    *call_block(2, "c2", "look"),
]
CORPUS: dict[str, Script] = {
    "text": stream(start(), *text_block(0, "grüß", " ", "🚀\n\n"), *end()),
    "two texts": stream(start(), *text_block(0, "one"), *text_block(1, "two"), *end()),
    "the output limit": stream(start(), *text_block(0, "cut of"), *end("max_tokens")),
    "a stop text": stream(start(), *text_block(0, "a"), *end("stop_sequence")),
    "withheld": stream(start(), *text_block(0, "a"), *end("refusal")),
    "no text": stream(start(), *end()),
    "text and calls": stream(start(), *text_block(0, "Let me see."), *CALLS, *end("tool_use")),
    "thinking": stream(start(), *thinking_block(0, "c2ln", "h", "m"), *text_block(1, "a"), *end()),
    "pings": stream(PING, start(), PING, *text_block(0, "a"), PING, *end()),
    "counts at the end": stream(
        start(), *text_block(0, "a"), *end(input_tokens=20, output_tokens=7)
    ),
    "in small pieces": stream(
        *(bytes([byte]) for byte in b"".join([start(), *text_block(0, "é"), *end()]))
    ),
}


@dataclass(frozen=True)
class Told:
    """``tokens`` are those of the input, the output, and what was read from and written to the
    prompt cache.
    """

    text: str
    thinking: list[tuple[str, str]]
    calls: list[tuple[str, str, Any]]
    finish: int
    tokens: tuple[int, int, int, int]


FINISHES = {
    "end_turn": content.FINISH_REASON_STOP,
    "stop_sequence": content.FINISH_REASON_STOP,
    "max_tokens": content.FINISH_REASON_LENGTH,
    "tool_use": content.FINISH_REASON_TOOL_CALLS,
    "refusal": content.FINISH_REASON_CONTENT_FILTER,
}


async def told_by_client(provider: FakeProvider) -> Told:
    base_url = provider.base_url.removesuffix("/v1")
    client = anthropic.AsyncAnthropic(base_url=base_url, api_key="any", max_retries=0)
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with client, client.messages.stream(**asked) as streamed:
        message = await streamed.get_final_message()
    usage = message.usage
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Told(
        "".join(each.text for each in message.content if each.type == "text"),
        [(each.thinking, each.signature) for each in message.content if each.type == "thinking"],
        [(each.id, each.name, each.input) for each in message.content if each.type == "tool_use"],
        FINISHES[str(message.stop_reason)],
        (usage.input_tokens + read + written, usage.output_tokens, read, written),
    )


async def told_by_router(running: RouterUnderTest, provider: FakeProvider) -> Told:
    await running.apply(*answered_as_messages(provider, "m"))
    items: list[pb.InferItem] = (answered := await running.infer("m")).items
    calls = [item.tool_call_ready.call for item in items if item.HasField("tool_call_ready")]
    thoughts = [item.reasoning_delta for item in items if item.HasField("reasoning_delta")]
    signed = [each.opaque_state for each in thoughts if each.opaque_state]
    thinking = "".join(each.text for each in thoughts)
    usage = next(item.usage for item in reversed(items) if item.HasField("usage"))
    return Told(
        answered.text,
        [(thinking, json.loads(state)["signature"]) for state in signed],
        [(call.call_id, call.tool_id, json.loads(call.arguments_json)) for call in calls],
        items[-1].finished.reason,
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
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
