"""Encodes a prompt as the body of a chat completions request."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import msgspec

from services.content.model import (
    Image,
    Message,
    Role,
    Sampling,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
)
from services.router.clients.function_names import function_name
from services.router.clients.images import base64_of
from services.router.core.model import OpenAi
from services.router.core.request import JsonObject, JsonSchema, Prompt, ToolChoice, ToolChoiceMode

# Only this host knows ``prompt_cache_key``; strict servers refuse unknown fields.
_CACHE_KEY_HOST = "api.openai.com"


def request_body(adapter: OpenAi, upstream_model: str, prompt: Prompt, cache_key: str) -> bytes:
    """The JSON to post."""
    body: dict[str, Any] = {
        "model": upstream_model,
        "messages": [entry for message in prompt.messages for entry in _entries(message)],
        "stream": True,
    }
    if adapter.stream_usage:
        body["stream_options"] = {"include_usage": True}
    body |= _sampling(prompt.sampling, adapter.output_limit_field)
    if prompt.tools:
        body["tools"] = [_tool(tool) for tool in prompt.tools]
        body |= _tool_choice(prompt.tool_choice)
    body |= _response_format(prompt.response_format)
    if cache_key and urlsplit(adapter.base_url).hostname == _CACHE_KEY_HOST:
        # Hashed, so that the provider does not get tenant and session.
        body["prompt_cache_key"] = blake2b(cache_key.encode(), digest_size=16).hexdigest()
    return msgspec.json.encode(body)


def _entries(message: Message) -> Iterator[dict[str, Any]]:
    match message.role:
        case Role.SYSTEM:
            yield {"role": "system", "content": message.text}
        case Role.USER:
            yield {"role": "user", "content": _content(message)}
        case Role.ASSISTANT:
            yield _assistant(message)
        case Role.TOOL:
            for part in message.parts:
                if isinstance(part, ToolResult):
                    yield {"role": "tool", "tool_call_id": part.call_id, "content": part.content}


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image) for part in message.parts):
        return message.text
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            content.append({"type": "image_url", "image_url": {"url": _image_url(part)}})
    return content


def _image_url(image: Image) -> str:
    inline = base64_of(image)
    return f"data:{inline[0]};base64,{inline[1]}" if inline else image.url


def _assistant(message: Message) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    calls = message.tool_calls
    if calls:
        entry["tool_calls"] = [_call(call) for call in calls]
    elif not message.text:
        entry["content"] = ""
    return entry


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": function_name(call.tool_id), "arguments": call.arguments_json}
    return {"id": call.call_id, "type": "function", "function": function}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function: dict[str, Any] = {"name": function_name(tool.tool_id)}
    if tool.description:
        function["description"] = tool.description
    schema = tool.json_schema or '{"type":"object","properties":{}}'
    function["parameters"] = msgspec.Raw(schema.encode())
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> dict[str, Any]:
    match choice.mode:
        case ToolChoiceMode.AUTO:
            return {}
        case ToolChoiceMode.NONE:
            return {"tool_choice": "none"}
        case ToolChoiceMode.REQUIRED:
            return {"tool_choice": "required"}
        case ToolChoiceMode.TOOL:
            function = {"name": function_name(choice.tool_id)}
            return {"tool_choice": {"type": "function", "function": function}}


def _sampling(sampling: Sampling, limit_field: str) -> dict[str, Any]:
    effort = sampling.reasoning_effort
    wanted = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        limit_field: sampling.max_output_tokens,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "reasoning_effort": effort.value if effort else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _response_format(wanted: JsonObject | JsonSchema | None) -> dict[str, Any]:
    match wanted:
        case None:
            return {}
        case JsonObject():
            return {"response_format": {"type": "json_object"}}
        case JsonSchema(name, json_schema, strict):
            schema = {
                "name": name,
                "schema": msgspec.Raw(json_schema.encode()),
                "strict": strict,
            }
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
