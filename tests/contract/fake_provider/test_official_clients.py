"""The fake provider, as the packages of OpenAI and Anthropic see it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from services.fake_provider.server import Served, serving
from tests.support.waiting import within_limit

TOOLS_OF_OPENAI: Any = [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
]
TOOLS_OF_ANTHROPIC: Any = [{"name": "look", "input_schema": {"type": "object"}}]
LOOK = pb.BuiltinStep(
    matches="look at (?P<what>[^ ]+)",
    tool_results=0,
    reply=pb.BuiltinReply(
        text="Let me see.",
        reasoning="They want a look.",
        tool_calls=[pb.BuiltinToolCall(tool_id="look", arguments_json='{"at": "${what}"}')],
    ),
)
SEEN = pb.BuiltinStep(tool_results=1, reply=pb.BuiltinReply(text="It is calm."))


@dataclass(frozen=True)
class Fake:
    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic
    served: list[Served]


@asynccontextmanager
async def fake(*steps: pb.BuiltinStep) -> AsyncIterator[Fake]:
    served: list[Served] = []
    script = pb.BuiltinAdapter(steps=steps)
    async with serving(script, "127.0.0.1", 0, served.append) as port:
        at = f"http://127.0.0.1:{port}"
        async with (
            openai.AsyncOpenAI(base_url=f"{at}/v1", api_key="any", max_retries=0) as first,
            anthropic.AsyncAnthropic(base_url=at, api_key="any", max_retries=0) as second,
        ):
            yield Fake(first, second, served)


async def ask_openai(of: Fake, messages: Sequence[Any], *, stream: bool) -> tuple[Any, ...]:
    """Text, calls, end and tokens of one answer."""
    asked: Any = {"model": "m", "messages": messages, "tools": TOOLS_OF_OPENAI}
    if not stream:
        whole: Any = await of.openai.chat.completions.create(**asked)
    else:
        async with of.openai.chat.completions.stream(
            **asked, stream_options={"include_usage": True}
        ) as streamed:
            whole = await streamed.get_final_completion()
    (choice,) = whole.choices
    calls = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls or ()
    ]
    tokens = (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    return choice.message.content, calls, choice.finish_reason, tokens


async def ask_anthropic(of: Fake, messages: Sequence[Any], *, stream: bool) -> tuple[Any, ...]:
    asked: Any = {
        "model": "m",
        "messages": messages,
        "tools": TOOLS_OF_ANTHROPIC,
        "max_tokens": 100,
    }
    if not stream:
        whole: Any = await of.anthropic.messages.create(**asked)
    else:
        async with of.anthropic.messages.stream(**asked) as streamed:
            whole = await streamed.get_final_message()
    text = "".join(block.text for block in whole.content if block.type == "text")
    calls = [(b.id, b.name, b.input) for b in whole.content if b.type == "tool_use"]
    tokens = (whole.usage.input_tokens, whole.usage.output_tokens)
    return text, calls, whole.stop_reason, tokens


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_both_packages_read_text_tool_calls_and_tokens(stream: bool) -> None:
    said = [{"role": "user", "content": "look at harbour"}]
    async with fake(LOOK, SEEN) as running:
        by_openai = await ask_openai(running, said, stream=stream)
        by_anthropic = await ask_anthropic(running, said, stream=stream)

    calls = [("call_1", "look", {"at": "harbour"})]
    assert by_openai == ("Let me see.", calls, "tool_calls", (4, 12))
    assert by_anthropic == ("Let me see.", calls, "tool_use", (4, 12))
    assert [each.outcome for each in running.served] == ["answer", "answer"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_result_of_a_tool_leads_to_the_next_step(stream: bool) -> None:
    # given conversations in which the tool has answered, as each dialect has them
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    to_openai = [
        {"role": "user", "content": [{"type": "text", "text": "look at harbour"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "calm"},
    ]
    use = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "harbour"}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "calm"}
    to_anthropic = [
        {"role": "user", "content": "look at harbour"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    async with fake(LOOK, SEEN) as running:
        # when they are sent
        by_openai = await ask_openai(running, to_openai, stream=stream)
        by_anthropic = await ask_anthropic(running, to_anthropic, stream=stream)

    # then
    assert by_openai[:3] == ("It is calm.", [], "stop")
    assert by_anthropic[:3] == ("It is calm.", [], "end_turn")


async def test_reasoning_is_a_block_of_its_own() -> None:
    async with fake(LOOK) as running:
        answer: Any = await running.anthropic.messages.create(
            model="m",
            max_tokens=10,
            messages=[{"role": "user", "content": "look at harbour"}],
        )

    assert [block.type for block in answer.content] == ["thinking", "text", "tool_use"]
    assert answer.content[0].thinking == "They want a look."
    assert answer.content[0].signature


def fault(kind: str, **rest: Any) -> pb.BuiltinStep:
    number = pb.BuiltinFaultKind.Value(f"BUILTIN_FAULT_KIND_{kind}")
    return pb.BuiltinStep(fault=pb.BuiltinFault(kind=number, **rest))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "by_openai", "by_anthropic"),
    [
        ("RATE_LIMITED", openai.RateLimitError, anthropic.RateLimitError),
        ("OVERLOADED", openai.InternalServerError, anthropic.InternalServerError),
        ("SERVER_ERROR", openai.InternalServerError, anthropic.InternalServerError),
        ("UNAUTHORIZED", openai.AuthenticationError, anthropic.AuthenticationError),
        ("INVALID_REQUEST", openai.BadRequestError, anthropic.BadRequestError),
    ],
)
async def test_a_refusal_is_the_error_that_each_package_has_for_it(
    kind: str,
    by_openai: type[openai.APIStatusError],
    by_anthropic: type[anthropic.APIStatusError],
) -> None:
    said = [{"role": "user", "content": "hello"}]
    async with fake(fault(kind, text="because of the tide")) as running:
        with pytest.raises(by_openai, match="because of the tide"):
            await ask_openai(running, said, stream=False)
        with pytest.raises(by_anthropic, match="because of the tide"):
            await ask_anthropic(running, said, stream=True)


async def test_a_hint_when_to_come_back_is_a_header() -> None:
    limited = fault("RATE_LIMITED")
    limited.fault.retry_after.seconds = 30
    async with fake(limited) as running:
        with pytest.raises(openai.RateLimitError) as raised:
            await ask_openai(running, [{"role": "user", "content": "hello"}], stream=False)

    assert raised.value.response.headers["retry-after"] == "30"


async def words_until_it_breaks(stream: Any, word: Any) -> list[str]:
    """Each package has errors of its own for it."""
    found: list[str | None] = []
    while True:
        try:
            found.append(word(await anext(stream)))
        except StopAsyncIteration:
            raise AssertionError("the answer ended as if it were whole") from None
        except Exception:
            return [text for text in found if text is not None]


@pytest.mark.parametrize("kind", ["CUT", "GARBAGE"])
async def test_an_answer_that_breaks_off_has_said_so_many_words(kind: str) -> None:
    said: Any = [{"role": "user", "content": "hello"}]
    async with fake(fault(kind, text="one two three", after_deltas=2)) as running, within_limit():
        first: Any = await running.openai.chat.completions.create(
            model="m", messages=said, stream=True
        )
        second: Any = await running.anthropic.messages.create(
            model="m", messages=said, max_tokens=10, stream=True
        )
        by_openai = await words_until_it_breaks(
            aiter(first), lambda chunk: chunk.choices[0].delta.content or None
        )
        by_anthropic = await words_until_it_breaks(
            aiter(second), lambda event: event.delta.text if "block_delta" in event.type else None
        )

    assert by_openai == by_anthropic == ["one", " two"]


async def test_what_is_no_request_is_refused_in_the_words_of_the_dialect() -> None:
    async with fake() as running:
        with pytest.raises(openai.BadRequestError, match="at least one message is required"):
            await ask_openai(running, [], stream=False)
        with pytest.raises(anthropic.BadRequestError, match="at least one message is required"):
            await ask_anthropic(running, [], stream=False)


async def test_the_models_of_the_script_are_listed() -> None:
    step = pb.BuiltinStep(upstream_model="large", reply=pb.BuiltinReply(text="hi"))
    async with fake(step, SEEN) as running:
        listed = await running.openai.models.list()

    assert [model.id for model in listed.data] == ["large"]
