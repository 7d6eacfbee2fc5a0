"""How the anthropic adapter asks for thinking, and sends it back."""

from __future__ import annotations

import pytest

from services.content.model import (
    Message,
    Reasoning,
    ReasoningEffort,
    Role,
    Sampling,
    ToolCall,
    ToolResult,
)
from services.router.core.items import ReasoningDelta
from services.router.core.request import ToolChoice, ToolChoiceMode
from tests.contract.router.adapter_calls import LOOK, AdapterCalls
from tests.contract.router.anthropic_calls import SIGNED, of, sent
from tests.support.fake_provider import stream
from tests.support.messages_events import block, call_block, end, start, thinking_block


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [
        (ReasoningEffort.LOW, None, 1024),
        (ReasoningEffort.MEDIUM, 64_000, 4096),
        (ReasoningEffort.HIGH, 64_000, 16_384),
        (ReasoningEffort.HIGH, 4000, 2000),
        (ReasoningEffort.HIGH, 2048, 1024),
        (ReasoningEffort.HIGH, 2047, None),
        (None, 64_000, None),
    ],
)
async def test_an_effort_becomes_a_budget_of_at_most_half_the_answer(
    anthropic: AdapterCalls,
    effort: ReasoningEffort | None,
    max_tokens: int | None,
    budget: int | None,
) -> None:
    # when
    sampling = Sampling(0.5, 0.9, max_tokens, reasoning_effort=effort)
    body = await sent(anthropic, sampling=sampling)

    # then thinking allows no temperature and no low top_p
    expected = budget and {"type": "enabled", "budget_tokens": budget}
    assert body.get("thinking") == expected
    assert body.get("temperature") == (None if budget else 0.5)
    assert body.get("top_p") == (None if budget else 0.9)


FOREIGN = Reasoning("hm", "other", b'{"type":"thinking","signature":"c2ln"}')
CALL = ToolCall("c1", "look", "{}")
RESULT = of(Role.TOOL, ToolResult("c1", "a cat"))


@pytest.mark.parametrize(
    ("messages", "thinks"),
    [
        ([of(Role.USER, "hi"), of(Role.ASSISTANT, SIGNED, CALL), RESULT], True),
        ([of(Role.USER, "hi"), of(Role.ASSISTANT, FOREIGN, CALL), RESULT], False),
        ([of(Role.USER, "hi"), of(Role.ASSISTANT, FOREIGN, "x"), of(Role.USER, "y")], True),
        ([of(Role.USER, "hi"), of(Role.ASSISTANT, "a start")], False),
        ([RESULT], False),
    ],
    ids=["own", "foreign", "a turn that has ended", "an answer to continue", "no call"],
)
async def test_a_turn_that_began_without_thinking_goes_on_without(
    anthropic: AdapterCalls, messages: list[Message], thinks: bool
) -> None:
    sampling = Sampling(reasoning_effort=ReasoningEffort.LOW)
    body = await sent(anthropic, *messages, sampling=sampling)
    assert ("thinking" in body) is thinks


async def test_a_demanded_call_goes_before_thinking(anthropic: AdapterCalls) -> None:
    sampling = Sampling(reasoning_effort=ReasoningEffort.LOW)
    demanded = ToolChoice(ToolChoiceMode.REQUIRED)
    body = await sent(anthropic, tools=(LOOK,), tool_choice=demanded, sampling=sampling)
    assert "thinking" not in body


async def test_thinking_goes_back_byte_for_byte(anthropic: AdapterCalls) -> None:
    # given an answer with signed, withheld and unsigned thinking
    signature = 'EqQB+/=ä\\"\n'
    blocks = [
        *thinking_block(0, signature, "h\u00e4", "\n m"),
        *block(1, {"type": "redacted_thinking", "data": "ZGF0YQ=="}),
        *block(2, {"type": "thinking"}, {"type": "thinking_delta", "thinking": "x"}),
        *call_block(3, "toolu_1", "look"),
    ]
    anthropic.provider.answers(stream(start(), *blocks, *end("tool_use")))
    items = await anthropic.items()

    # when the reasoning is sent back as the deltas say, each state at the end of one
    parts: list[Reasoning] = []
    text = ""
    for item in items:
        if isinstance(item, ReasoningDelta):
            text += item.text
            if item.opaque_state:
                parts.append(Reasoning(text, item.provider_id, item.opaque_state))
                text = ""
    body = await sent(anthropic, of(Role.ASSISTANT, *parts, ToolCall("toolu_1", "look", "{}")))

    # then
    assert body["messages"][0]["content"][:3] == [
        {"type": "thinking", "thinking": "hä\n m", "signature": signature},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "thinking", "thinking": "x", "signature": ""},
    ]


@pytest.mark.parametrize(
    "reasoning",
    [
        FOREIGN,
        Reasoning("hm"),
        Reasoning("hm", "vllm"),
        Reasoning("hm", "vllm", b"\xff"),
        Reasoning("hm", "vllm", b'{"type":"other"}'),
        Reasoning("hm", "vllm", b"[]"),
    ],
)
async def test_reasoning_that_cannot_go_back_is_left_out(
    anthropic: AdapterCalls, reasoning: Reasoning
) -> None:
    body = await sent(anthropic, of(Role.USER, "hi"), of(Role.ASSISTANT, reasoning, "ok"))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "ok"}]
