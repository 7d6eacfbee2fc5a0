"""What the openai adapter sends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.content.model import (
    Image,
    Message,
    Reasoning,
    ReasoningEffort,
    Role,
    Sampling,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
)
from services.router.clients.openai import OpenAiAdapter
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import (
    ToolCallReady,
)
from services.router.core.model import Credential, Header
from services.router.core.request import (
    JsonObject,
    JsonSchema,
    Prompt,
    ToolChoice,
    ToolChoiceMode,
)
from tests.contract.router.openai_rig import (
    ASK,
    LOOK,
    call_delta,
    failure_of,
    items_of,
    member,
)
from tests.support.fake_provider import (
    FakeProvider,
    chunk,
    finish,
    refusal,
    stream,
    text,
)
from tests.support.stack import exported


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("sk-from-file\n")
    return file


async def test_credentials_are_read_at_the_time_of_the_call(
    provider: FakeProvider, adapter: OpenAiAdapter, secret_file: Path
) -> None:
    # given a key in a variable, another one in a file, and a header from a file
    provider.always(stream(*text("a"), *finish()))
    by_env = member(provider.base_url, Credential(env="TEST_ROUTER_KEY"))
    extra = (Header("X-Team", "blue"), Header("X-Key", secret=Credential(file=str(secret_file))))
    by_file = member(
        provider.base_url,
        Credential(file=str(secret_file)),
        headers=extra,
        organization="org",
        project="prj",
    )

    # when, with a change of the variable in between
    with exported({"TEST_ROUTER_KEY": "sk-one"}):
        await items_of(adapter, by_env)
    with exported({"TEST_ROUTER_KEY": "sk-two"}):
        await items_of(adapter, by_env)
    await items_of(adapter, by_file)

    # then
    sent = [request.headers["authorization"] for request in provider.requests]
    assert sent == ["Bearer sk-one", "Bearer sk-two", "Bearer sk-from-file"]
    last = provider.requests[-1].headers
    assert (last["x-team"], last["x-key"]) == ("blue", "sk-from-file")
    assert (last["openai-organization"], last["openai-project"]) == ("org", "prj")


@pytest.mark.parametrize(
    "credential", [Credential(env="TEST_ROUTER_ABSENT"), Credential(file="/nowhere/key")]
)
async def test_without_its_credential_nothing_is_sent(
    provider: FakeProvider,
    adapter: OpenAiAdapter,
    credential: Credential,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # when
    _, failure = await failure_of(adapter, member(provider.base_url, credential))

    # then the operator learns which one
    assert failure == Failure(FailureClass.AUTH)
    assert provider.requests == []
    (record,) = caplog.records
    assert "holds no credential" in str(record.__dict__["credential"])


async def test_a_secret_is_neither_logged_nor_told(
    provider: FakeProvider, adapter: OpenAiAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    # given a provider that repeats the key in its error
    provider.answers(refusal(400, {"error": {"message": "key sk-very-secret is odd"}}))

    # when
    with exported({"TEST_ROUTER_KEY": "sk-very-secret"}):
        to = member(provider.base_url, Credential(env="TEST_ROUTER_KEY"))
        _, failure = await failure_of(adapter, to)

    # then
    assert failure.detail == "key *** is odd"
    assert "sk-very-secret" not in caplog.text


async def test_a_conversation_as_the_provider_sees_it(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given every kind of message, and a tool whose id is no legal function name
    odd = ToolDefinition("files/read one", "Reads.", "")
    call = ToolCall("c1", "files/read one", '{"a": 1}')
    prompt = Prompt(
        messages=(
            Message(Role.SYSTEM, (Text("be nice"),)),
            Message(
                Role.USER,
                (
                    Text("what is this?"),
                    Image(url="https://x/y.png"),
                    Image(data=b"\x01", media_type="image/png"),
                ),
            ),
            Message(Role.ASSISTANT, (Reasoning("hm"), Text("let me see"), call)),
            Message(Role.TOOL, (ToolResult("c1", "a cat"), ToolResult("c2", "no", is_error=True))),
            Message(Role.ASSISTANT, (call,)),
            Message(Role.ASSISTANT, (Reasoning("hm"),)),
        ),
        tools=(LOOK, odd),
        tool_choice=ToolChoice(ToolChoiceMode.TOOL, "files/read one"),
        sampling=Sampling(0.5, 0.9, 100, ("END",), 7, ReasoningEffort.LOW),
        response_format=JsonSchema("answer", '{"type": "object"}', strict=True),
    )
    provider.answers(stream(chunk({"tool_calls": [call_delta(0, "{}", "c9", "look")]}), *finish()))

    # when
    to = member(provider.base_url, output_limit_field="max_completion_tokens")
    await items_of(adapter, to, prompt)

    # then
    body = provider.requests[0].body
    name = body["tools"][1]["function"]["name"]
    assert name.startswith("files_read_one_")
    assert len(name) <= 64
    sent_call = {
        "id": "c1",
        "type": "function",
        "function": {"name": name, "arguments": '{"a": 1}'},
    }
    assert body["messages"] == [
        {"role": "system", "content": "be nice"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}},
            ],
        },
        {"role": "assistant", "content": "let me see", "tool_calls": [sent_call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": "no"},
        {"role": "assistant", "content": None, "tool_calls": [sent_call]},
        {"role": "assistant", "content": ""},
    ]
    assert body["tools"][0]["function"] == {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object"},
    }
    assert body["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert body["tool_choice"] == {"type": "function", "function": {"name": name}}
    assert body["max_completion_tokens"] == 100
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.5, 0.9, 7)
    assert (body["stop"], body["reasoning_effort"]) == (["END"], "low")
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }
    assert "prompt_cache_key" not in body


async def test_a_stand_in_name_leads_back_to_its_tool(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a first request that shows the stand-in
    prompt = replace(ASK, tools=(ToolDefinition("a/b", "", ""),))
    provider.answers(stream(*text("x"), *finish()))
    await items_of(adapter, member(provider.base_url), prompt)
    name = provider.requests[0].body["tools"][0]["function"]["name"]

    # when the model calls it
    provider.answers(stream(chunk({"tool_calls": [call_delta(0, "{}", "c1", name)]}), *finish()))
    items = await items_of(adapter, member(provider.base_url), prompt)

    # then
    assert ToolCallReady(0, ToolCall("c1", "a/b", "{}")) in items


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        (ToolChoiceMode.AUTO, None),
        (ToolChoiceMode.NONE, "none"),
        (ToolChoiceMode.REQUIRED, "required"),
    ],
)
async def test_tool_choices(
    provider: FakeProvider, adapter: OpenAiAdapter, mode: ToolChoiceMode, sent: str | None
) -> None:
    # given
    provider.answers(stream(*text("x"), *finish()))
    prompt = Prompt(ASK.messages, (LOOK,), ToolChoice(mode), response_format=JsonObject())

    # when
    await items_of(adapter, member(provider.base_url), prompt)

    # then
    body = provider.requests[0].body
    assert body.get("tool_choice") == sent
    assert body["response_format"] == {"type": "json_object"}
