"""How large messages and tools may be, in whichever request they are."""

from __future__ import annotations

from services.chassis.protobuf.sizes import ID, Limits, characters, entries, size_bytes
from services.content.model import (
    MAX_DESCRIPTION_BYTES,
    MAX_INLINE_IMAGE_BYTES,
    MAX_MEDIA_TYPE_BYTES,
    MAX_PARTS,
    MAX_SCHEMA_BYTES,
    MAX_TEXT_BYTES,
    MAX_URL_CHARS,
)

_TEXT = size_bytes(MAX_TEXT_BYTES)

MESSAGES: Limits = {
    "Message.parts": entries(MAX_PARTS),
    "Text.text": _TEXT,
    "Image.url": characters(MAX_URL_CHARS),
    "Image.data": size_bytes(MAX_INLINE_IMAGE_BYTES),
    "Image.media_type": size_bytes(MAX_MEDIA_TYPE_BYTES),
    "ToolCall.call_id": ID,
    "ToolCall.tool_id": ID,
    "ToolCall.arguments_json": _TEXT,
    "ToolResult.call_id": ID,
    "ToolResult.content": _TEXT,
    "Reasoning.text": _TEXT,
    "Reasoning.provider_id": ID,
    "Reasoning.opaque_state": _TEXT,
}

TOOLS: Limits = {
    "ToolDefinition.tool_id": ID,
    "ToolDefinition.description": size_bytes(MAX_DESCRIPTION_BYTES),
    "ToolDefinition.json_schema": size_bytes(MAX_SCHEMA_BYTES),
}
