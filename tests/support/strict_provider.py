"""What the strictest providers of chat completions refuse in a request.

Each rule is one that a provider has: no turn of one role after another, no blank turn, no user's
turn after results, no id twice, a result for each call and no other, an object as arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MAX_DEPTH = 64
_MAY_FOLLOW: Mapping[str, tuple[str, ...]] = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def faults(body: Mapping[str, Any]) -> list[str]:
    """Why a strict provider refuses the request ``body``; empty when it answers."""
    return list(_faults(body["messages"]))


def _faults(messages: list[dict[str, Any]]) -> Iterator[str]:
    before, used, open_ids = "", set[str](), set[str]()
    for index, message in enumerate(messages):
        at, role = f"messages[{index}]", message["role"]
        if role not in _MAY_FOLLOW[before]:
            yield f"{at}: {role} after {before or 'nothing'}"
        if open_ids and role != "tool":
            yield f"{at}: no result of {sorted(open_ids)}"
        calls = message.get("tool_calls") or []
        if not calls and _blank(message["content"]):
            yield f"{at}: blank"
        for call in calls:
            yield from _call_faults(call, used, at)
        open_ids |= {call["id"] for call in calls}
        if role == "tool":
            if message["tool_call_id"] not in open_ids:
                yield f"{at}: a result of no call"
            open_ids.discard(message["tool_call_id"])
        before = role
    if before not in ("user", "tool") or open_ids:
        yield f"nothing to answer after {before or 'nothing'}"


def _call_faults(call: dict[str, Any], used: set[str], at: str) -> Iterator[str]:
    if not call["id"] or call["id"] in used:
        yield f"{at}: id {call['id']!r} is empty or used"
    used.add(call["id"])
    if not call["function"]["name"]:
        yield f"{at}: a call of no tool"
    try:
        arguments = json.loads(call["function"]["arguments"], parse_constant=_refuse)
    except (ValueError, RecursionError):
        yield f"{at}: arguments that are no JSON"
        return
    if not isinstance(arguments, dict) or _depth(arguments) > MAX_DEPTH:
        yield f"{at}: arguments that are no object, or nested too deep"


def _refuse(name: str) -> None:
    raise ValueError(name)


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _blank(content: Any) -> bool:
    if isinstance(content, str):
        return not content.strip()
    return not content or any(p["type"] == "text" and not p["text"].strip() for p in content)
