"""What a client sends, in either dialect, as the messages that a script looks at.

Roles, texts, tool calls and tool results count. Everything else is passed over, as a script does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from services.content.model import Message, Part, Role, Text, ToolCall, ToolResult

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}


class UnreadableError(Exception):
    """The request is none; the text says why, for the client."""


def openai_messages(body: Any) -> list[Message]:
    """Raises: UnreadableError: There are no messages."""
    return [_openai_message(each) for each in _messages(body)]


def anthropic_messages(body: Any) -> list[Message]:
    """Raises: UnreadableError: There are no messages, or no ``max_tokens``."""
    sent = _messages(body)
    if not isinstance(body.get("max_tokens"), int):
        raise UnreadableError("max_tokens: Field required")
    system = [Message(Role.SYSTEM, tuple(_texts(body.get("system"))))] if body.get("system") else []
    return [*system, *(_anthropic_message(each) for each in sent)]


def _messages(body: Any) -> Sequence[dict[str, Any]]:
    sent = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(sent, list) or not sent or not all(isinstance(each, dict) for each in sent):
        raise UnreadableError("messages: at least one message is required")
    return sent


def _openai_message(sent: dict[str, Any]) -> Message:
    role = _ROLES.get(str(sent.get("role")), Role.USER)
    if role is Role.TOOL:
        content = "".join(text.text for text in _texts(sent.get("content")))
        return Message(role, (ToolResult(str(sent.get("tool_call_id")), content),))
    calls = [_openai_call(each) for each in sent.get("tool_calls") or ()]
    return Message(role, (*_texts(sent.get("content")), *calls))


def _openai_call(sent: dict[str, Any]) -> ToolCall:
    function = sent.get("function") or {}
    return ToolCall(
        str(sent.get("id")), str(function.get("name")), str(function.get("arguments") or "{}")
    )


def _anthropic_message(sent: dict[str, Any]) -> Message:
    content = sent.get("content")
    role = _ROLES.get(str(sent.get("role")), Role.USER)
    if isinstance(content, str):
        return Message(role, (Text(content),))
    parts = tuple(_anthropic_parts(content or ()))
    # Results of tools come as content of the user.
    returned = any(isinstance(part, ToolResult) for part in parts)
    return Message(Role.TOOL if returned else role, parts)


def _anthropic_parts(blocks: Sequence[Any]) -> Iterator[Part]:
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            yield Text(str(block.get("text")))
        elif kind == "tool_use":
            arguments = json.dumps(block.get("input") or {})
            yield ToolCall(str(block.get("id")), str(block.get("name")), arguments)
        elif kind == "tool_result":
            content = "".join(text.text for text in _texts(block.get("content")))
            yield ToolResult(str(block.get("tool_use_id")), content)


def _texts(content: Any) -> Iterator[Text]:
    """Of a text, or of a list of parts."""
    if isinstance(content, str):
        yield Text(content)
        return
    for part in content or ():
        if isinstance(part, dict) and part.get("type") == "text":
            yield Text(str(part.get("text")))
