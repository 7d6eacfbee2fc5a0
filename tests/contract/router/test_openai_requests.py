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
from services.router.core.failures import FailureClass
from services.router.core.items import ToolCallReady
from services.router.core.model import Credential, Header
from services.router.core.request import JsonObject, JsonSchema, Prompt, ToolChoice, ToolChoiceMode
from tests.contract.router.adapter_calls import ASK, LOOK, AdapterCalls
from tests.contract.router.openai_calls import call_delta, calls_chunk
from tests.support.fake_provider import finish, refusal, stream, text
from tests.support.stack import exported


async def test_credentials_are_read_at_the_time_of_the_call(
    openai: AdapterCalls, tmp_path: Path
) -> None:
    # given a key in a variable, another one in a file, and a header from a file
    openai.provider.always(stream(*text("a"), *finish()))
    by_env, by_file = Credential(env="TEST_ROUTER_KEY"), Credential(file=str(tmp_path / "key"))
    (tmp_path / "key").write_text("sk-from-file\n")
    extra = (Header("X-Team", "blue"), Header("X-Key", secret=by_file))

    # when, with a change of the variable in between
    with exported({"TEST_ROUTER_KEY": "sk-one"}):
        await openai.items(credential=by_env)
    with exported({"TEST_ROUTER_KEY": "sk-two"}):
        await openai.items(credential=by_env)
    await openai.items(credential=by_file, headers=extra, organization="org", project="prj")

    # then
    sent = [request.headers["authorization"] for request in openai.provider.requests]
    assert sent == ["Bearer sk-one", "Bearer sk-two", "Bearer sk-from-file"]
    last = openai.provider.requests[-1].headers
    assert (last["x-team"], last["x-key"]) == ("blue", "sk-from-file")
    assert (last["openai-organization"], last["openai-project"]) == ("org", "prj")


@pytest.mark.parametrize("options", ["credential", "headers"])
async def test_without_its_credential_no_request_is_sent(
    openai: AdapterCalls, options: str
) -> None:
    # given a reference to nothing, of the credential or of a header
    absent = Credential(env="TEST_ROUTER_ABSENT")
    given = {"credential": absent, "headers": (Header("X-Key", secret=absent),)}

    # when
    _, failure = await openai.failure(**{options: given[options]})

    # then the failure names it
    assert failure.kind is FailureClass.CREDENTIAL_MISSING
    assert failure.detail.startswith(
        "provider 'vllm' has no credential: environment variable TEST_ROUTER_ABSENT is not set; "
    )
    assert openai.provider.requests == []


async def test_a_secret_is_neither_logged_nor_returned(
    openai: AdapterCalls, caplog: pytest.LogCaptureFixture
) -> None:
    # given a provider that repeats the key in its error
    openai.provider.answers(refusal(400, {"error": {"message": "key sk-very-secret is odd"}}))

    # when
    with exported({"TEST_ROUTER_KEY": "sk-very-secret"}):
        _, failure = await openai.failure(credential=Credential(env="TEST_ROUTER_KEY"))

    # then
    assert failure.detail == "key *** is odd"
    assert "sk-very-secret" not in caplog.text


async def test_a_conversation_is_encoded_for_the_provider(openai: AdapterCalls) -> None:
    # given every kind of message, and a tool whose id is no legal function name
    odd = ToolDefinition("files/read one", "Reads.", "")
    call = ToolCall("c1", "files/read one", '{"a": 1}')
    images = (Image(url="https://x/y.png"), Image(data=b"\x01", media_type="image/png"))
    prompt = Prompt(
        messages=(
            Message(Role.SYSTEM, (Text("be nice"),)),
            Message(Role.USER, (Text("what is this?"), *images)),
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
    openai.provider.answers(stream(calls_chunk(call_delta(0, "{}", "c9", "look")), *finish()))

    # when
    await openai.items(prompt, output_limit_field="max_completion_tokens")

    # then
    body = openai.provider.requests[0].body
    name = body["tools"][1]["function"]["name"]
    assert name.startswith("files_read_one_")
    assert len(name) <= 64
    function = {"name": name, "arguments": '{"a": 1}'}
    sent_call = {"id": "c1", "type": "function", "function": function}
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


async def test_a_call_has_an_id_that_no_earlier_call_has(openai: AdapterCalls) -> None:
    # given a conversation with a call, and a provider that sends no ids
    earlier = ToolCall("call_0", "look", "{}")
    messages = (*ASK.messages, Message(Role.ASSISTANT, (earlier,)))
    openai.provider.answers(stream(calls_chunk(call_delta(0, "{}", None, "look")), *finish()))

    # when
    items = await openai.items(Prompt((*messages, Message(Role.TOOL, (ToolResult("call_0", ""),)))))

    # then
    (call,) = [item.call for item in items if isinstance(item, ToolCallReady)]
    assert call.call_id == "call_1"


@pytest.mark.parametrize(
    "query",
    [
        (),
        (("api-version", "2024-10-21"),),
        (("b", "2"), ("a b", "+&=%41#?/ é"), ("empty", "")),
    ],
    ids=["none", "of Azure", "odd ones"],
)
async def test_the_parameters_of_a_provider_are_in_the_url(
    openai: AdapterCalls, query: tuple[tuple[str, str], ...]
) -> None:
    # given
    openai.provider.answers(stream(*text("x"), *finish()))

    # when
    await openai.items(query=query, base_url=openai.provider.base_url + "/")

    # then
    (request,) = openai.provider.requests
    assert request.path == "/v1/chat/completions"
    assert tuple(request.query) == query


async def test_the_router_names_itself(openai: AdapterCalls) -> None:
    openai.provider.answers(stream(*text("x"), *finish()))
    await openai.items()
    assert openai.provider.requests[0].headers["user-agent"] == "runyard-router"


async def test_a_replaced_function_name_is_decoded_to_its_tool(openai: AdapterCalls) -> None:
    # given a first request that has the replaced name
    prompt = replace(ASK, tools=(ToolDefinition("a/b", "", ""),))
    openai.provider.answers(stream(*text("x"), *finish()))
    await openai.items(prompt)
    name = openai.provider.requests[0].body["tools"][0]["function"]["name"]

    # when the model calls it
    openai.provider.answers(stream(calls_chunk(call_delta(0, "{}", "c1", name)), *finish()))
    items = await openai.items(prompt)

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
async def test_tool_choices(openai: AdapterCalls, mode: ToolChoiceMode, sent: str | None) -> None:
    # given
    openai.provider.answers(stream(*text("x"), *finish()))
    prompt = Prompt(ASK.messages, (LOOK,), ToolChoice(mode), response_format=JsonObject())

    # when
    await openai.items(prompt)

    # then
    body = openai.provider.requests[0].body
    assert body.get("tool_choice") == sent
    assert body["response_format"] == {"type": "json_object"}
