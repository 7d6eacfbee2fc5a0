"""Items of one read."""

from __future__ import annotations

import pytest

from services.router.clients.anthropic_answer import AnthropicReader
from services.router.clients.event_stream import AnswerReader
from services.router.clients.openai_answer import OpenAiReader
from services.router.clients.sse import SseParser
from services.router.core.items import (
    ReasoningDelta,
    TextDelta,
    UpstreamItem,
    add_text,
)
from tests.unit.router.chat_cases import say

ANTHROPIC = (
    b'data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":1}}}\n\n'
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
) + b"".join(
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}\n\n'
    % text
    for text in (b"he", b"ll", b"o")
)


def items_of(reader: AnswerReader, wire: bytes) -> list[UpstreamItem]:
    items: list[UpstreamItem] = []
    for event in SseParser().feed(wire):
        reader.take(event, items)
    return items


@pytest.mark.parametrize(
    ("reader", "wire"),
    [
        (OpenAiReader("vllm", {}, set(), 40, ()), say("he") + say("ll") + say("o")),
        (AnthropicReader("claude", {}, set(), 40, ()), ANTHROPIC),
    ],
    ids=["openai", "anthropic"],
)
def test_text_of_one_read_is_one_item(reader: AnswerReader, wire: bytes) -> None:
    items = items_of(reader, wire)
    assert [each for each in items if isinstance(each, TextDelta)] == [TextDelta("hello")]


def test_text_is_not_joined_over_another_item() -> None:
    items: list[UpstreamItem] = [TextDelta("a"), ReasoningDelta("why")]
    add_text("b", items)
    assert items == [TextDelta("a"), ReasoningDelta("why"), TextDelta("b")]


def test_long_text_gets_no_more() -> None:
    items: list[UpstreamItem] = []
    for _ in range(3):
        add_text("x" * 2_048, items)
    assert [len(each.text) for each in items if isinstance(each, TextDelta)] == [4_096, 2_048]
