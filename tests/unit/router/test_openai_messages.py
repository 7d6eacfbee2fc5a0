"""Wire cases of what is sent as chat completions: conversations that other providers began (F)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.content.model import (
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from services.router.clients.anthropic_request import request_body as anthropic_body
from services.router.clients.anthropic_state import thinking_state
from services.router.clients.openai_request import request_body
from services.router.clients.openai_state import call_state, reasoning_state
from services.router.core.failures import FailureClass, UpstreamError
from services.router.core.model import Anthropic, Member, Model, OpenAi, Provider
from services.router.core.request import Prompt

USER = Message(Role.USER, (Text("hi"),))
VLLM, MISTRAL = "http://127.0.0.1/v1", "https://api.mistral.ai/v1"
OPENAI, AZURE = "https://api.openai.com/v1", "https://x.openai.azure.com/openai/v1"


def sent(
    *messages: Message, base_url: str = VLLM, upstream_model: str = "gpt"
) -> list[dict[str, Any]]:
    adapter = OpenAi(base_url)
    to = Member(Model("m", "own", upstream_model), Provider("own", adapter))
    body = json.loads(request_body(adapter, to, Prompt(tuple(messages)), ""))
    entries: list[dict[str, Any]] = body["messages"]
    return entries


def assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def calls_of(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["id"], each["function"]["arguments"]) for each in entry["tool_calls"]]


def body_of(dialect: OpenAi | Anthropic, prompt: Prompt) -> bytes:
    to = Member(Model("m", "own", "up"), Provider("own", dialect))
    if isinstance(dialect, OpenAi):
        return request_body(dialect, to, prompt, "")
    return anthropic_body(to, prompt, "")


@pytest.mark.parametrize("role", [Role.SYSTEM, Role.ASSISTANT])
@pytest.mark.parametrize("dialect", [OpenAi(VLLM), Anthropic(VLLM, "2023-06-01")])
def test_an_image_without_a_place_is_refused_by_its_field(
    role: Role, dialect: OpenAi | Anthropic
) -> None:
    # given
    image = Image(url="https://x/y.png")
    prompt = Prompt((USER, Message(role, (Text("see"), image))))

    # when
    with pytest.raises(UpstreamError) as raised:
        body_of(dialect, prompt)

    # then
    assert raised.value.failure.kind is FailureClass.INVALID_REQUEST
    assert raised.value.failure.detail == (
        f"messages[1].parts[1].image: this provider takes none in a message of role {role.value}"
    )


@pytest.mark.parametrize("role", [Role.SYSTEM, Role.USER, Role.ASSISTANT])
def test_text_parts_stay_apart(role: Role) -> None:
    (entry,) = sent(Message(role, (Text("one"), Text(""), Text("two"))))
    assert entry == {"role": role.value, "content": "one\n\ntwo"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("", "{}"),
        (" \n", "{}"),
        ("null", "{}"),
        ('{"a":', '{"invalid_arguments": "{\\"a\\":"}'),
        ("[1]", '{"invalid_arguments": "[1]"}'),
        ("NaN", '{"invalid_arguments": "NaN"}'),
        ("[" * 60_000, json.dumps({"invalid_arguments": "[" * 60_000})),
    ],
)
def test_arguments_of_earlier_calls_are_objects(arguments: str, expected: str) -> None:
    (entry,) = sent(assistant(ToolCall("c1", "look", arguments)))
    assert calls_of(entry) == [("c1", expected)]


def test_an_error_without_words_has_one() -> None:
    results = (ToolResult("c1", "", is_error=True), ToolResult("c2", ""))
    assert [entry["content"] for entry in sent(Message(Role.TOOL, results))] == ["error", ""]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_own_reasoning_goes_back_in_its_field(field: str) -> None:
    # given reasoning in two pieces, as it was told
    thought = Reasoning("hm", "own", reasoning_state(field))
    more = Reasoning(", so", "own", reasoning_state(field))

    # when
    (entry,) = sent(assistant(thought, more, ToolCall("c1", "look", "{}")))

    # then
    assert entry[field] == "hm, so"


def test_own_reasoning_that_was_part_of_the_content_is_again() -> None:
    # given
    thought = Reasoning("hm", "own", reasoning_state("content"))

    # when
    with_text, without = sent(assistant(thought, Text("hi")), assistant(thought))

    # then
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert with_text["content"] == [thinking, {"type": "text", "text": "hi"}]
    assert without["content"] == [thinking]


@pytest.mark.parametrize(
    "foreign",
    [
        Reasoning("hm", "other", reasoning_state("reasoning_content")),
        Reasoning("hm", "own", thinking_state("c2ln")),
        Reasoning("hm", "own"),
        Reasoning("hm", "own", b"\xff"),
    ],
    ids=["of another provider", "of another dialect", "broken off", "of nobody"],
)
def test_other_reasoning_is_left_out(foreign: Reasoning) -> None:
    assert sent(assistant(foreign, Text("hi"))) == [{"role": "assistant", "content": "hi"}]


def test_every_answer_has_the_field_that_one_of_them_has() -> None:
    # given a conversation that was at another provider in between
    thought = Reasoning("hm", "own", reasoning_state("reasoning_content"))
    call = ToolCall("c1", "look", "{}")

    # when
    entries = sent(USER, assistant(thought, call), assistant(Reasoning("x", "other"), call))

    # then
    assert [entry.get("reasoning_content") for entry in entries] == [None, "hm", ""]


def test_what_a_server_has_attached_to_a_call_goes_back_with_it() -> None:
    # given
    extra = {"google": {"thought_signature": "c2ln"}}
    state = Reasoning("", "own", call_state("c1", extra))
    calls = (ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}"))

    # when
    (entry,) = sent(assistant(state, *calls))

    # then
    first, second = entry["tool_calls"]
    assert first["extra_content"] == extra
    assert "extra_content" not in second


NINE = re.compile(r"[A-Za-z0-9]{9}")


@pytest.mark.parametrize(
    ("base_url", "upstream_model"),
    [
        (MISTRAL, "any"),
        *((VLLM, f"x/{name}-large") for name in ("Mistral", "mixtral", "codestral", "devstral")),
        *((VLLM, f"{name}-3") for name in ("ministral", "magistral", "pixtral", "voxtral")),
    ],
)
def test_foreign_call_ids_are_mapped_for_mistral(base_url: str, upstream_model: str) -> None:
    # given a conversation of another provider, and a call of its own
    calls = (ToolCall("toolu_01", "look", "{}"), ToolCall("aB3dE6gH9", "look", "{}"))
    results = (ToolResult("toolu_01", "1"), ToolResult("aB3dE6gH9", "2"))
    messages = (assistant(*calls), Message(Role.TOOL, results))

    # when it is sent twice
    to = {"base_url": base_url, "upstream_model": upstream_model}
    (asked, first, second), again = sent(*messages, **to), sent(*messages, **to)

    # then
    ids = [call_id for call_id, _ in calls_of(asked)]
    assert NINE.fullmatch(ids[0])
    assert ids[1] == "aB3dE6gH9"
    assert [first["tool_call_id"], second["tool_call_id"]] == ids
    assert again == [asked, first, second]


@pytest.mark.parametrize(
    ("base_url", "kept"), [(OPENAI, False), (AZURE, False), (VLLM, True)], ids=str
)
def test_long_call_ids_are_shortened_where_they_are_refused(base_url: str, kept: bool) -> None:
    # given
    legal, long = "x" * 40, "x" * 41

    # when
    call = assistant(ToolCall(legal, "look", ""), ToolCall(long, "look", ""))
    (entry,) = sent(call, base_url=base_url)

    # then
    (first, _), (second, _) = calls_of(entry)
    assert first == legal
    assert (second == long) is kept
    assert len(second) <= 41


IDS = st.sampled_from(
    ["c1", "c2", "", "toolu_01AbC", "functions.look:0", "aB3dE6gH9", "é🚀", "x" * 64]
)
TEXTS = st.sampled_from(["", "one", "two\n", "grüß 🚀", '"}', "three"])
ARGUMENTS = st.sampled_from(["", "{}", '{"a": [1]}', '{"a":', "null", "[]", "Infinity"])
PARTS: dict[Role, st.SearchStrategy[Part]] = {
    Role.SYSTEM: st.builds(Text, TEXTS),
    Role.USER: st.one_of(st.builds(Text, TEXTS), st.just(Image(url="https://x/y.png"))),
    Role.ASSISTANT: st.one_of(
        st.builds(Text, TEXTS),
        st.builds(ToolCall, IDS, st.sampled_from(["look", "a/b"]), ARGUMENTS),
        st.just(Reasoning("own thought", "own", reasoning_state("reasoning_content"))),
        st.just(Reasoning("foreign thought", "other", reasoning_state("reasoning_content"))),
    ),
    Role.TOOL: st.builds(ToolResult, IDS, TEXTS, st.booleans()),
}


@st.composite
def messages(draw: st.DrawFn) -> Message:
    role = draw(st.sampled_from(sorted(Role, key=lambda role: role.value)))
    return Message(role, tuple(draw(st.lists(PARTS[role], min_size=1, max_size=4))))


def texts_of(entry: dict[str, Any]) -> str:
    content = entry["content"]
    parts = content if isinstance(content, list) else [{"text": content or ""}]
    return "|".join(part.get("text", "") for part in parts)


@given(st.lists(messages(), min_size=1, max_size=6), st.sampled_from([VLLM, MISTRAL, OPENAI]))
def test_any_conversation_is_sent_whole(conversation: Sequence[Message], base_url: str) -> None:
    # when
    entries = sent(*conversation, base_url=base_url)

    # then arguments are objects, and an id stands for one id
    parts = [part for message in conversation for part in message.parts]
    calls = [pair for entry in entries if "tool_calls" in entry for pair in calls_of(entry)]
    assert all(isinstance(json.loads(arguments), dict) for _, arguments in calls)
    results = [entry for entry in entries if entry["role"] == "tool"]
    said = [part.call_id for part in parts if isinstance(part, ToolCall)]
    said += [part.call_id for part in parts if isinstance(part, ToolResult)]
    told = [call_id for call_id, _ in calls] + [entry["tool_call_id"] for entry in results]
    assert len(said) == len(told)
    assert len(set(zip(said, told, strict=True))) == len(set(said)) == len(set(told))
    assert all(told)
    assert base_url != MISTRAL or all(map(NINE.fullmatch, told))

    # and everything is there but what another provider thought
    others = [entry for entry in entries if entry["role"] != "tool"]
    spoken = [message for message in conversation if message.role is not Role.TOOL]
    for entry, message in zip(others, spoken, strict=True):
        for part in message.parts:
            if isinstance(part, Text):
                assert part.text in texts_of(entry)
        images = sum(isinstance(part, Image) for part in message.parts)
        assert json.dumps(entry).count("y.png") == images
    own = sum(isinstance(part, Reasoning) and part.provider_id == "own" for part in parts)
    assert json.dumps(entries).count("own thought") == own
    assert "foreign thought" not in json.dumps(entries)
