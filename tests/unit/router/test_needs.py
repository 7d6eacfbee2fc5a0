"""What a request needs, and which of it a member lacks."""

from __future__ import annotations

import pytest

from services.content.model import (
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
)
from services.router.core.model import Feature, Unsupported
from services.router.core.needs import missing, needs_of
from services.router.core.request import JsonObject, JsonSchema, Needs, Prompt
from tests.unit.router.builders import member, user

TOOL = ToolDefinition("t" * 4, "d" * 10, "s" * 10)
ALL = frozenset(Feature)

PROMPTS: dict[str, tuple[Prompt, set[Feature]]] = {
    "text": (Prompt((user("hi"),)), set()),
    "tools": (Prompt((user("hi"),), (TOOL,)), {Feature.TOOLS}),
    "an image anywhere": (
        Prompt((Message(Role.USER, (Text("a"), Image(url="http://i"))), user("hi"))),
        {Feature.IMAGES},
    ),
    "an object": (Prompt((user("hi"),), response_format=JsonObject()), {Feature.JSON_OBJECT}),
    "a schema": (
        Prompt((user("hi"),), response_format=JsonSchema("n", "{}")),
        {Feature.JSON_SCHEMA},
    ),
}


@pytest.mark.parametrize(("prompt", "features"), PROMPTS.values(), ids=PROMPTS)
def test_a_prompt_needs_what_is_in_it(prompt: Prompt, features: set[Feature]) -> None:
    assert needs_of(prompt).features == features


PARTS: dict[str, tuple[Part, int]] = {
    "text": (Text("x" * 80), 10),
    "rounded down": (Text("x" * 87), 10),
    "characters, not bytes": (Text("€" * 80), 10),
    "a call with its tool": (ToolCall("c" * 99, "t" * 40, "a" * 40), 10),
    "a result": (ToolResult("c" * 99, "r" * 80), 10),
    "reasoning, which not every provider gets": (Reasoning("x" * 80, "p", b"x" * 80), 0),
    "an image": (Image(data=b"x" * 8000, media_type="image/png"), 0),
}


@pytest.mark.parametrize(("part", "tokens"), PARTS.values(), ids=PARTS)
def test_the_input_has_at_least_a_token_for_eight_characters(part: Part, tokens: int) -> None:
    assert needs_of(Prompt((Message(Role.USER, (part,)),))).input_tokens == tokens


def test_tools_and_schemas_are_input_too() -> None:
    # given 24 characters of a tool, 40 of another one, 56 of a schema and 40 of messages
    other = ToolDefinition("t" * 40, "", "")
    wanted = JsonSchema("name", "s" * 56)
    prompt = Prompt((user("x" * 20), user("x" * 20)), (TOOL, other), response_format=wanted)

    # when, then
    assert needs_of(prompt).input_tokens == (24 + 40 + 56 + 40) // 8


@pytest.mark.parametrize("needed", Feature)
@pytest.mark.parametrize("lacked", Feature)
def test_a_member_lacks_what_is_needed_and_declared_missing(
    needed: Feature, lacked: Feature
) -> None:
    # given
    needs = Needs(frozenset({needed}))

    # when
    found = missing(needs, member("m", lacks=frozenset({lacked})))

    # then
    assert found == ((needed.value,) if needed is lacked else ())
    assert missing(needs, member("m")) == ()


@pytest.mark.parametrize(("window", "lacked"), [(None, ()), (100, ()), (99, ("context_window",))])
def test_a_window_is_too_small_only_below_the_least_size(
    window: int | None, lacked: tuple[str, ...]
) -> None:
    needs = Needs(input_tokens=100)
    assert missing(needs, member("m", context_window=window)) == lacked


def test_all_that_is_missing_is_named_in_a_fixed_order() -> None:
    # given
    needs = Needs(ALL, input_tokens=9)

    # when
    found = missing(needs, member("m", lacks=ALL, context_window=8))

    # then
    assert found == ("tools", "images", "json_object", "json_schema", "context_window")


def test_an_adapter_that_is_not_there_is_all_that_counts() -> None:
    unserved = member("m", adapter=Unsupported(), lacks=ALL)
    assert missing(Needs(ALL), unserved) == ("adapter",)
