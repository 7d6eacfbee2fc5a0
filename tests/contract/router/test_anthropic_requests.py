"""What the anthropic adapter sends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.content.model import (
    Image,
    Reasoning,
    Role,
    Sampling,
    ToolCall,
    ToolDefinition,
    ToolResult,
)
from services.router.core.failures import FailureClass
from services.router.core.items import ToolCallReady
from services.router.core.model import Credential, Header, Model
from services.router.core.request import JsonObject, JsonSchema, Prompt, ToolChoice, ToolChoiceMode
from tests.contract.router.adapter_calls import ASK, LOOK, AdapterCalls
from tests.contract.router.anthropic_calls import OK, SIGNED, of, sent
from tests.support.fake_provider import stream
from tests.support.messages_events import call_block, end, start
from tests.support.stack import exported

MARK = {"type": "ephemeral"}


async def test_the_least_request(anthropic: AdapterCalls) -> None:
    assert await sent(anthropic) == {
        "model": "gpt",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": True,
    }
    headers = anthropic.provider.requests[0].headers
    assert headers["anthropic-version"] == "2023-06-01"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "runyard-router"
    assert "anthropic-beta" not in headers
    assert "x-api-key" not in headers


async def test_headers_of_the_provider(anthropic: AdapterCalls, tmp_path: Path) -> None:
    # given a key in a variable, a header from a file, and betas
    (tmp_path / "key").write_text("from-file\n")
    extra = (
        Header("X-Team", "blue"),
        Header("X-Key", secret=Credential(file=str(tmp_path / "key"))),
    )
    anthropic.provider.answers(OK)

    # when
    with exported({"TEST_ROUTER_KEY": "sk-ant"}):
        await anthropic.items(
            credential=Credential(env="TEST_ROUTER_KEY"),
            headers=extra,
            betas=("one", "two"),
            version="2099-01-01",
        )

    # then
    headers = anthropic.provider.requests[0].headers
    assert (headers["x-api-key"], headers["x-team"]) == ("sk-ant", "blue")
    assert headers["x-key"] == "from-file"
    assert (headers["anthropic-beta"], headers["anthropic-version"]) == ("one,two", "2099-01-01")
    assert "authorization" not in headers


async def test_without_its_credential_no_request_is_sent(anthropic: AdapterCalls) -> None:
    # when
    _, failure = await anthropic.failure(credential=Credential(env="TEST_ROUTER_ABSENT"))

    # then
    assert failure.kind is FailureClass.CREDENTIAL_MISSING
    assert anthropic.provider.requests == []


async def test_a_conversation_is_encoded_for_the_provider(anthropic: AdapterCalls) -> None:
    # given every kind of message, and a tool whose id is no legal name
    odd = ToolDefinition("files/read one", " ", "")
    call = ToolCall("c1", "files/read one", '{"a": 1}')
    other = ToolCall("c2", "look", "")
    images = (
        Image(url="https://x/y.png"),
        Image(data=b"\x01", media_type="image/png"),
        Image(url="data:image/gif;base64,Ag=="),
    )

    # when
    body = await sent(
        anthropic,
        of(Role.SYSTEM, "be nice", " "),
        of(Role.SYSTEM, "and brief"),
        of(Role.USER, "what is this?", *images),
        of(Role.USER, "", "tell me"),
        of(Role.ASSISTANT, Reasoning("hm"), "let me see", call, other),
        of(Role.USER, "hurry"),
        of(Role.TOOL, ToolResult("c1", "a cat")),
        of(Role.TOOL, ToolResult("c2", "", is_error=True)),
        of(Role.ASSISTANT, "A cat. \n"),
        tools=(LOOK, odd),
        tool_choice=ToolChoice(ToolChoiceMode.TOOL, "files/read one"),
        sampling=Sampling(1.5, 0.9, 100, ("END",), 7),
        response_format=JsonSchema("answer", '{"type": "object"}', strict=True),
    )

    # then
    name = body["tools"][1]["name"]
    assert name.startswith("files_read_one_")
    assert body["system"] == [
        {"type": "text", "text": "be nice"},
        {"type": "text", "text": "and brief"},
    ]
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "AQ=="},
                },
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/gif", "data": "Ag=="},
                },
                {"type": "text", "text": "tell me"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "c1", "name": name, "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "a cat"},
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "content": "error",
                    "is_error": True,
                },
                {"type": "text", "text": "hurry"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
    ]
    assert body["tools"] == [
        {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}},
        {"name": name, "input_schema": {"type": "object"}},
    ]
    assert body["tool_choice"] == {"type": "tool", "name": name}
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (1.0, 0.9, 100)
    assert body["stop_sequences"] == ["END"]
    assert "seed" not in body
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    assert body["output_config"] == {"format": schema}


@pytest.mark.parametrize(
    ("mode", "choice"),
    [
        (ToolChoiceMode.AUTO, None),
        (ToolChoiceMode.NONE, {"type": "none"}),
        (ToolChoiceMode.REQUIRED, {"type": "any"}),
    ],
)
async def test_tool_choices(anthropic: AdapterCalls, mode: ToolChoiceMode, choice: object) -> None:
    body = await sent(anthropic, tools=(LOOK,), tool_choice=ToolChoice(mode))
    assert body.get("tool_choice") == choice


@pytest.mark.parametrize(
    ("asked", "declared", "limit"), [(100, 64_000, 100), (None, 64_000, 64_000), (None, None, 4096)]
)
async def test_the_output_limit_is_the_requests_or_the_models(
    anthropic: AdapterCalls, asked: int | None, declared: int | None, limit: int
) -> None:
    # given
    anthropic.provider.answers(OK)
    model = Model("m1", "vllm", "gpt", max_output_tokens=declared)

    # when
    await anthropic.items(
        Prompt(ASK.messages, sampling=Sampling(max_output_tokens=asked)), model=model
    )

    # then
    assert anthropic.provider.requests[0].body["max_tokens"] == limit


async def test_a_session_is_marked_for_the_prompt_cache(anthropic: AdapterCalls) -> None:
    # when the last part of the last message takes no mark
    body = await sent(
        anthropic,
        of(Role.SYSTEM, "a", "b"),
        of(Role.USER, "hi"),
        of(Role.ASSISTANT, "ok", SIGNED),
        tools=(LOOK, replace(LOOK, tool_id="see")),
        session="session",
    )

    # then
    assert [each.get("cache_control") for each in body["system"]] == [None, MARK]
    assert [each.get("cache_control") for each in body["tools"]] == [None, MARK]
    marks = [each.get("cache_control") for turn in body["messages"] for each in turn["content"]]
    assert marks == [None, MARK, None]


async def test_a_call_without_a_session_is_not_marked(anthropic: AdapterCalls) -> None:
    body = await sent(anthropic, of(Role.SYSTEM, "a"), of(Role.USER, "hi"), tools=(LOOK,))
    assert "cache_control" not in str(body)


async def test_a_cache_that_is_kept_an_hour_is_asked_for(anthropic: AdapterCalls) -> None:
    # given
    anthropic.provider.answers(OK)

    # when
    await anthropic.items(model=Model("m1", "vllm", "gpt", cache_ttl_s=3600.0))

    # then
    (content,) = anthropic.provider.requests[0].body["messages"][0]["content"]
    assert content["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize(
    ("arguments", "sent_input"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": ', {"invalid_arguments": '{"a": '}),
        ("[1]", {"invalid_arguments": "[1]"}),
        ("no JSON", {"invalid_arguments": "no JSON"}),
    ],
)
async def test_arguments_are_sent_as_an_object(
    anthropic: AdapterCalls, arguments: str, sent_input: object
) -> None:
    body = await sent(anthropic, of(Role.ASSISTANT, ToolCall("c1", "look", arguments)))
    assert body["messages"][0]["content"][0]["input"] == sent_input


async def test_ids_of_calls_are_legal_and_unique(anthropic: AdapterCalls) -> None:
    # given ids of other providers, one of them in two turns
    odd, same = ToolCall("functions.look:0", "look", "{}"), ToolCall("call_0", "look", "{}")

    # when
    body = await sent(
        anthropic,
        of(Role.ASSISTANT, odd, same),
        of(Role.TOOL, ToolResult("functions.look:0", "a"), ToolResult("call_0", "b")),
        of(Role.ASSISTANT, same),
        of(Role.TOOL, ToolResult("call_0", "c")),
    )

    # then each result has the id of its call
    blocks = [each for turn in body["messages"] for each in turn["content"]]
    called = [each["id"] for each in blocks if each["type"] == "tool_use"]
    answered = [each["tool_use_id"] for each in blocks if each["type"] == "tool_result"]
    assert called[0].startswith("functions_look_0_")
    assert called[1:] == ["call_0", "call_0_2"]
    assert answered == called


async def test_a_replaced_name_is_decoded_to_its_tool(anthropic: AdapterCalls) -> None:
    # given a first request that has the replaced name
    prompt = replace(ASK, tools=(ToolDefinition("a/b", "", ""),))
    anthropic.provider.answers(OK)
    await anthropic.items(prompt)
    name = anthropic.provider.requests[0].body["tools"][0]["name"]

    # when the model calls it
    anthropic.provider.answers(stream(start(), *call_block(0, "c9", name), *end("tool_use")))
    items = await anthropic.items(prompt)

    # then
    assert ToolCallReady(0, ToolCall("c9", "a/b", "{}")) in items


IMAGE = Image(url="https://x/y.png")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (Prompt((of(Role.SYSTEM, IMAGE), *ASK.messages)), "role system"),
        (Prompt((of(Role.ASSISTANT, IMAGE),)), "role assistant"),
        (replace(ASK, response_format=JsonObject()), "json_object"),
    ],
)
async def test_what_the_provider_cannot_do_is_refused_before_it_is_sent(
    anthropic: AdapterCalls, prompt: Prompt, words: str
) -> None:
    # when
    _, failure = await anthropic.failure(prompt=prompt)

    # then
    assert failure.kind is FailureClass.INVALID_REQUEST
    assert words in failure.detail
    assert anthropic.provider.requests == []
