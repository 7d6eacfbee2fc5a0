"""What a request needs of a model, and what of it a member lacks."""

from __future__ import annotations

from collections.abc import Iterator

from services.chassis.slices import give_way
from services.content.model import Image, Part, Text, ToolCall, ToolResult
from services.router.core.model import Feature, Member, Unsupported
from services.router.core.request import JsonObject, JsonSchema, Needs, Prompt

CONTEXT_WINDOW = "context_window"
# Twice the usual ratio in western text: a text of so many characters has at least one token.
MOST_CHARS_PER_TOKEN = 8


def needs_of(prompt: Prompt) -> Needs:
    """What every answer to ``prompt`` needs; gives way.

    The size is a lower bound, so that the provider judges all that may fit. Reasoning, which not
    every provider gets, and the contents of images count nothing.
    """
    chars = sum(_chars_of_definitions(prompt))
    features = set(_features(prompt))
    for message in prompt.messages:
        give_way()
        for part in message.parts:
            if isinstance(part, Image):
                features.add(Feature.IMAGES)
            chars += _chars(part)
    return Needs(frozenset(features), chars // MOST_CHARS_PER_TOKEN)


def missing(needs: Needs, member: Member) -> tuple[str, ...]:
    """What is needed and the member lacks, in fixed words; empty when it can be called.

    It lacks what its model declares that it cannot do, and an adapter that this version does not
    have. What a model does not declare is left to its provider.
    """
    adapter, model = member.provider.adapter, member.model
    if isinstance(adapter, Unsupported):
        return ("adapter",)
    too_large = model.context_window is not None and needs.input_tokens > model.context_window
    if not too_large and model.lacks.isdisjoint(needs.features):
        return ()
    lacked = needs.features & model.lacks
    names = tuple(feature.value for feature in Feature if feature in lacked)
    return (*names, CONTEXT_WINDOW) if too_large else names


def _features(prompt: Prompt) -> Iterator[Feature]:
    """Of all but the messages."""
    if prompt.tools:
        yield Feature.TOOLS
    if isinstance(prompt.response_format, JsonObject):
        yield Feature.JSON_OBJECT
    if isinstance(prompt.response_format, JsonSchema):
        yield Feature.JSON_SCHEMA


def _chars_of_definitions(prompt: Prompt) -> Iterator[int]:
    for tool in prompt.tools:
        yield len(tool.tool_id) + len(tool.description) + len(tool.json_schema)
    if isinstance(prompt.response_format, JsonSchema):
        yield len(prompt.response_format.json_schema)


def _chars(part: Part) -> int:
    match part:
        case Text(text):
            return len(text)
        case ToolCall(_, tool_id, arguments_json):
            return len(tool_id) + len(arguments_json)
        case ToolResult(_, content):
            return len(content)
        case _:
            return 0
