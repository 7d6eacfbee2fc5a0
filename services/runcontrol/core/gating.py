"""Whether a tool call needs approval, and the digest that an approval is bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from services.content.model import Approval
from services.runcontrol.core.specs import AgentSpec, Rule, ToolSpec

# Readers of JSON that allow the least nesting allow this.
MAX_DEPTH = 64


def gate(agent: AgentSpec, tool: ToolSpec) -> Approval:
    """The stricter of the tool's own approval and that of the agent's first matching rule."""
    rule = matching_rule(agent.rules, tool.tool_id)
    return max((tool.approval, rule.approval), key=lambda a: a.strictness)


def approval_timeout_s(agent: AgentSpec, tool: ToolSpec) -> float:
    """How long a call waits for an approval, the shorter of tool and rule; 0 = for ever."""
    rule = matching_rule(agent.rules, tool.tool_id)
    found = (tool.approval_timeout_s, rule.approval_timeout_s)
    return min((each for each in found if each), default=0.0)


def matching_rule(rules: Iterable[Rule], tool_id: str) -> Rule:
    """The first rule that matches the tool; one that allows it if none does."""
    matching = (rule for rule in rules if rule.tool_id in (tool_id, "*"))
    return next(matching, Rule(tool_id, Approval.ALLOW))


def canonical(arguments_json: str) -> str | None:
    """The same text for equal argument objects; None when they are not a JSON object.

    An empty text is an empty object: models leave out arguments that a tool does not need. None
    also for what not every reader of JSON takes: lone surrogates, numbers that are not finite or
    have thousands of digits, and nesting beyond 64 levels.
    """
    text = _canonical_value(arguments_json or "{}")
    return text if text is not None and text.startswith("{") else None


def is_json(text: str) -> bool:
    """Whether a text is a JSON value that every reader takes, by the rules of ``canonical``."""
    return _canonical_value(text) is not None


def _canonical_value(json_text: str) -> str | None:
    try:
        value = json.loads(json_text)
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        text.encode()
    except (ValueError, RecursionError):
        return None
    return None if _deeper_than(MAX_DEPTH, value) else text


def _deeper_than(levels: int, value: Any) -> bool:
    """Whether ``value`` is nested beyond ``levels``; a plain value has no level."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper_than(levels - 1, each) for each in inner)


def argument_digest(tool_id: str, version: str, arguments_json: str) -> bytes:
    """SHA-256 over tool, version and canonical arguments."""
    arguments = canonical(arguments_json)
    parts = [tool_id, version, arguments if arguments is not None else arguments_json]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).digest()
