"""Whether a tool call needs approval, and the digest that an approval is bound to."""

from __future__ import annotations

import hashlib
import json

from services.content.model import Approval
from services.runcontrol.core.specs import AgentSpec, ToolSpec


def gate(agent: AgentSpec, tool: ToolSpec) -> Approval:
    """The stricter of the tool's own approval and that of the agent's first matching rule."""
    rule = next((r.approval for r in agent.rules if r.tool_id in (tool.tool_id, "*")), None)
    return max((tool.approval, rule or Approval.ALLOW), key=lambda a: a.strictness)


def canonical(arguments_json: str) -> str | None:
    """The same text for equal argument objects; None when they are not a JSON object.

    An empty text is an empty object: models leave out arguments that a tool does not need. None
    also for JSON that cannot be passed on: lone surrogates, and nesting beyond the recursion limit.
    """
    try:
        value = json.loads(arguments_json or "{}")
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):
        return None
    return text if isinstance(value, dict) else None


def argument_digest(tool_id: str, version: str, arguments_json: str) -> bytes:
    """SHA-256 over tool, version and canonical arguments."""
    arguments = canonical(arguments_json)
    parts = [tool_id, version, arguments if arguments is not None else arguments_json]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).digest()
