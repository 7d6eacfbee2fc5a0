"""Names under which providers know tools, and ids under which they know calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

from services.content.model import ToolDefinition

_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")


def function_name(tool_id: str) -> str:
    """A legal function name: the id itself if it is one, else a readable name with a hash."""
    if _LEGAL_NAME.fullmatch(tool_id):
        return tool_id
    digest = blake2b(tool_id.encode(), digest_size=6).hexdigest()
    return f"{_ILLEGAL.sub('_', tool_id)[:50]}_{digest}"


def tool_ids_by_name(tools: Iterable[ToolDefinition]) -> dict[str, str]:
    """Tool ids by function name, to decode answers."""
    return {function_name(tool.tool_id): tool.tool_id for tool in tools}
