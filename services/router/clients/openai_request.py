"""Encodes a prompt as the body of a chat completions request."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import msgspec

from services.content.model import Sampling, ToolDefinition
from services.router.clients.function_names import function_name
from services.router.clients.images import refuse_misplaced_images
from services.router.clients.openai_call_ids import SentCallIds
from services.router.clients.openai_messages import encoded
from services.router.core.model import Member, OpenAi
from services.router.core.request import JsonObject, JsonSchema, Prompt, ToolChoice, ToolChoiceMode

# The field that asks for token counts; some servers refuse it.
USAGE_FIELD = "stream_options"
# Only this host knows ``prompt_cache_key``; strict servers refuse unknown fields.
_CACHE_KEY_HOST = "api.openai.com"


def request_body(adapter: OpenAi, member: Member, prompt: Prompt, cache_key: str) -> bytes:
    """The JSON to post.

    Raises:
        UpstreamError: INVALID_REQUEST for what the API has no place for.
    """
    refuse_misplaced_images(prompt.messages)
    ids = SentCallIds(adapter.base_url, member.model.upstream_model)
    body: dict[str, Any] = {
        "model": member.model.upstream_model,
        "messages": encoded(prompt.messages, member.provider.id, ids),
        "stream": True,
    }
    if adapter.stream_usage:
        body[USAGE_FIELD] = {"include_usage": True}
    body |= _sampling(prompt.sampling, adapter.output_limit_field)
    if prompt.tools:
        body["tools"] = [_tool(tool) for tool in prompt.tools]
        body |= _tool_choice(prompt.tool_choice)
    body |= _response_format(prompt.response_format)
    if cache_key and urlsplit(adapter.base_url).hostname == _CACHE_KEY_HOST:
        # Hashed, so that the provider does not get tenant and session.
        body["prompt_cache_key"] = blake2b(cache_key.encode(), digest_size=16).hexdigest()
    return msgspec.json.encode(body)


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
