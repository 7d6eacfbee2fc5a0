"""Encodes a conversation as the messages of a chat completion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from services.content.model import Image, Message, Role, Text, ToolCall, ToolResult
from services.router.clients.call_arguments import object_text
from services.router.clients.function_names import function_name
from services.router.clients.images import base64_of
from services.router.clients.openai_call_ids import SentCallIds
from services.router.clients.openai_state import THINKING_PART, OwnReasoning

# DeepSeek refuses a conversation in which one message has this field and another has not.
_FOR_ALL = "reasoning_content"
_BETWEEN_TEXTS = "\n\n"


def encoded(
    messages: Sequence[Message], provider_id: str, ids: SentCallIds
) -> list[dict[str, Any]]:
    """The messages to send; reasoning of the provider ``provider_id`` goes back as it came."""
    own = [OwnReasoning(message, provider_id) for message in messages]
    of_all = {_FOR_ALL: ""} if any(_FOR_ALL in each.fields for each in own) else {}
    entries: list[dict[str, Any]] = []
    for message, reasoning in zip(messages, own, strict=True):
        match message.role:
            case Role.SYSTEM:
                entries.append({"role": "system", "content": _text(message)})
            case Role.USER:
                entries.append({"role": "user", "content": _content(message)})
            case Role.ASSISTANT:
                entries.append(of_all | _assistant(message, reasoning, ids))
            case Role.TOOL:
                entries += _results(message, ids)
    return entries


def _text(message: Message) -> str:
    """All texts in one, which every server takes; the parts stay apart."""
    texts = (part.text for part in message.parts if isinstance(part, Text))
    return _BETWEEN_TEXTS.join(filter(None, texts))


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image) for part in message.parts):
        return _text(message)
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text) and part.text:
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            content.append({"type": "image_url", "image_url": {"url": _image_url(part)}})
    return content


def _image_url(image: Image) -> str:
    inline = base64_of(image)
    return f"data:{inline[0]};base64,{inline[1]}" if inline else image.url


def _assistant(message: Message, own: OwnReasoning, ids: SentCallIds) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": "assistant", "content": _text(message) or None}
    calls = message.tool_calls
    if calls:
        entry["tool_calls"] = [_call(call, own, ids) for call in calls]
    elif entry["content"] is None:
        entry["content"] = ""
    for field, text in own.fields.items():
        entry[field] = _thinking(text, entry["content"]) if field == THINKING_PART else text
    return entry


def _thinking(text: str, said: str | None) -> list[dict[str, Any]]:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]
    return [*parts, {"type": "text", "text": said}] if said else parts


def _call(call: ToolCall, own: OwnReasoning, ids: SentCallIds) -> dict[str, Any]:
    function = {
        "name": function_name(call.tool_id),
        "arguments": object_text(call.arguments_json),
    }
    entry: dict[str, Any] = {
        "id": ids.sent(call.call_id),
        "type": "function",
        "function": function,
    }
    attached = own.extra_content.get(call.call_id)
    return entry if attached is None else entry | {"extra_content": attached}


def _results(message: Message, ids: SentCallIds) -> Iterator[dict[str, Any]]:
    for part in message.parts:
        if isinstance(part, ToolResult):
            # The API has no field for errors.
            content = part.content or ("error" if part.is_error else "")
            yield {"role": "tool", "tool_call_id": ids.sent(part.call_id), "content": content}
