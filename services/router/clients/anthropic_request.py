"""Encodes a prompt as the body of a messages request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from services.content.model import ReasoningEffort, Sampling, ToolDefinition
from services.router.clients.anthropic_messages import (
    continues_without_thinking,
    mark_end,
    system_blocks,
    turns,
)
from services.router.clients.function_names import function_name
from services.router.clients.images import refuse_misplaced_images
from services.router.clients.json_leaves import UNDECODABLE, decoded, object_in
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.model import Member, Model
from services.router.core.request import JsonObject, JsonSchema, Prompt, ToolChoice, ToolChoiceMode

# For models that declare no limit; the API demands one.
DEFAULT_MAX_TOKENS = 4096
# The API takes no smaller budget.
MIN_THINKING_TOKENS = 1024
THINKING_TOKENS: Mapping[ReasoningEffort, int] = {
    ReasoningEffort.LOW: 1024,
    ReasoningEffort.MEDIUM: 4096,
    ReasoningEffort.HIGH: 16_384,
}
MAX_TEMPERATURE = 1.0
# With thinking, the API takes no smaller one.
MIN_THINKING_TOP_P = 0.95
# From this on, a model's cache is asked for by the hour instead of five minutes.
LONG_CACHE_S = 3600.0


def request_body(member: Member, prompt: Prompt, cache_key: str) -> bytes:
    """The JSON to post.

    A session is marked for the prompt cache, which is off otherwise and costs more to write than
    to do without.

    Raises:
        UpstreamError: INVALID_REQUEST for what the API cannot do.
    """
    refuse_misplaced_images(prompt.messages)
    system, tools = system_blocks(prompt.messages), list(map(_tool, prompt.tools))
    messages = turns(prompt.messages, member.provider.id)
    max_tokens = _max_tokens(prompt.sampling, member.model)
    body: dict[str, Any] = {
        "model": member.model.upstream_model,
        "max_tokens": max_tokens,
        "messages": messages,
        "stream": True,
    }
    if cache_key:
        mark = _cache_mark(member.model)
        mark_end(messages, mark)
        for blocks in filter(None, (system, tools)):
            blocks[-1]["cache_control"] = mark
    if system:
        body["system"] = system
    if tools:
        body |= {"tools": tools, **_tool_choice(prompt.tool_choice)}
    thinking = {} if continues_without_thinking(messages) else _thinking(prompt, max_tokens)
    return msgspec.json.encode(
        body | thinking | _sampling(prompt.sampling, thinking) | _output(prompt.response_format)
    )


def _max_tokens(sampling: Sampling, model: Model) -> int:
    return sampling.max_output_tokens or model.max_output_tokens or DEFAULT_MAX_TOKENS


def _cache_mark(model: Model) -> dict[str, Any]:
    mark = {"type": "ephemeral"}
    return mark | {"ttl": "1h"} if model.cache_ttl_s >= LONG_CACHE_S else mark


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": function_name(tool.tool_id)}
    if tool.description.strip():
        entry["description"] = tool.description
    entry["input_schema"] = _schema(tool.json_schema or "{}")
    return entry


def _schema(json_schema: str) -> object:
    """The schema of a tool, with the type that other providers do without."""
    raw = msgspec.Raw(json_schema.encode())
    try:
        schema = object_in(decoded(json_schema.encode()))
    except UNDECODABLE:
        return raw
    return raw if schema.get("type") else {**schema, "type": "object"}


def _tool_choice(choice: ToolChoice) -> dict[str, Any]:
    match choice.mode:
        case ToolChoiceMode.AUTO:
            return {}
        case ToolChoiceMode.NONE:
            return {"tool_choice": {"type": "none"}}
        case ToolChoiceMode.REQUIRED:
            return {"tool_choice": {"type": "any"}}
        case ToolChoiceMode.TOOL:
            return {"tool_choice": {"type": "tool", "name": function_name(choice.tool_id)}}


def _thinking(prompt: Prompt, max_tokens: int) -> dict[str, Any]:
    """Half of the answer at most; nothing if that is too little, or a tool call is demanded."""
    effort = prompt.sampling.reasoning_effort
    forced = prompt.tool_choice.mode in {ToolChoiceMode.REQUIRED, ToolChoiceMode.TOOL}
    if effort is None or forced:
        return {}
    budget = min(THINKING_TOKENS[effort], max_tokens // 2)
    if budget < MIN_THINKING_TOKENS:
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _sampling(sampling: Sampling, thinking: Mapping[str, Any]) -> dict[str, Any]:
    """What the API knows of it; ``seed`` is not, and thinking allows no ``temperature``."""
    temperature, top_p = sampling.temperature, sampling.top_p
    if thinking:
        temperature = None
        top_p = top_p if top_p is not None and top_p >= MIN_THINKING_TOP_P else None
    wanted = {
        "temperature": None if temperature is None else min(temperature, MAX_TEMPERATURE),
        "top_p": top_p,
        "stop_sequences": list(sampling.stop) or None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _output(wanted: JsonObject | JsonSchema | None) -> dict[str, Any]:
    match wanted:
        case None:
            return {}
        case JsonObject():
            detail = "this provider has no response_format json_object; use json_schema"
            raise UpstreamError(Failure(FailureClass.INVALID_REQUEST, detail=detail))
        case JsonSchema(json_schema=json_schema):
            schema = msgspec.Raw(json_schema.encode())
            return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
