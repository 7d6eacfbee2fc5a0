"""Encodes a conversation as the messages of the messages API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from services.content.model import (
    Image,
    Message,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from services.router.clients.anthropic_state import block_of
from services.router.clients.call_arguments import object_text
from services.router.clients.function_names import function_name
from services.router.clients.images import base64_of

MAX_ID_CHARS = 64

# Blocks that take no ``cache_control``.
_THINKING = frozenset({"thinking", "redacted_thinking"})


def system_blocks(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The texts of all system messages."""
    blocks: list[dict[str, Any]] = []
    for message in messages:
        if message.role is Role.SYSTEM:
            blocks += _texts(message)
    return blocks


def turns(messages: Iterable[Message], provider_id: str) -> list[dict[str, Any]]:
    """The messages in alternating roles; messages of one role in a row become one."""
    merged: list[dict[str, Any]] = []
    ids = _CallIds()
    for message in messages:
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        blocks = [] if message.role is Role.SYSTEM else list(_blocks(message, ids, provider_id))
        if blocks and merged and merged[-1]["role"] == role:
            merged[-1]["content"] += blocks
        elif blocks:
            merged.append({"role": role, "content": blocks})
    for turn in merged:
        # The API wants the results of calls before anything else.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    _trim_end(merged)
    return merged


def continues_without_thinking(merged: list[dict[str, Any]]) -> bool:
    """Whether the answer continues a turn that began without thinking.

    The API refuses to think in such a turn; after a failover the reasoning of its beginning is
    another provider's. It also refuses to think in front of an answer to continue.
    """
    if not merged or merged[-1]["role"] == "assistant":
        return bool(merged)
    if merged[-1]["content"][0]["type"] != "tool_result":
        return False
    calling = merged[-2]["content"] if len(merged) > 1 else []
    return not calling or calling[0]["type"] not in _THINKING


def mark_end(merged: list[dict[str, Any]], mark: dict[str, Any]) -> None:
    """Mark the last block for the prompt cache."""
    for block in reversed(merged[-1]["content"] if merged else []):
        if block["type"] not in _THINKING:
            block["cache_control"] = mark
            return


def _blocks(message: Message, ids: _CallIds, provider_id: str) -> Iterator[dict[str, Any]]:
    for part in message.parts:
        match part:
            case Text(text) if text.strip():
                yield _text(text)
            case Image():
                yield _image(part)
            case ToolCall(call_id, tool_id, arguments_json):
                yield {
                    "type": "tool_use",
                    "id": ids.begin(call_id),
                    "name": function_name(tool_id),
                    "input": msgspec.Raw(object_text(arguments_json).encode()),
                }
            case ToolResult():
                yield _result(part, ids)
            case Reasoning():
                block = block_of(part, provider_id)
                if block is not None:
                    yield block
            case _:
                pass


def _texts(message: Message) -> Iterator[dict[str, Any]]:
    """The texts that may be sent: the API refuses blank ones."""
    for part in message.parts:
        if isinstance(part, Text) and part.text.strip():
            yield _text(part.text)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(image: Image) -> dict[str, Any]:
    inline = base64_of(image)
    if inline is None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    media_type, data = inline
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def _result(result: ToolResult, ids: _CallIds) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": ids.of_result(result.call_id)}
    if result.content.strip():
        block["content"] = result.content
    if result.is_error:
        # The API refuses an error without a text.
        block |= {"content": block.get("content", "error"), "is_error": True}
    return block


def _trim_end(merged: list[dict[str, Any]]) -> None:
    """Remove the blanks at the end of an answer to continue, which the API refuses."""
    if merged and merged[-1]["role"] == "assistant":
        last = merged[-1]["content"][-1]
        if last["type"] == "text":
            last["text"] = last["text"].rstrip()


class _CallIds:
    """Legal ids of calls, unique in a conversation: other providers' may be neither."""

    def __init__(self) -> None:
        self._newest: dict[str, str] = {}
        self._used: set[str] = set()

    def begin(self, call_id: str) -> str:
        legal = function_name(call_id)
        unique, number = legal, 2
        while unique in self._used:
            suffix = f"_{number}"
            unique, number = f"{legal[: MAX_ID_CHARS - len(suffix)]}{suffix}", number + 1
        self._used.add(unique)
        self._newest[call_id] = unique
        return unique

    def of_result(self, call_id: str) -> str:
        """The id of the newest call with that id."""
        return self._newest.get(call_id) or function_name(call_id)
