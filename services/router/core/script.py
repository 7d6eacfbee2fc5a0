"""The builtin provider's scripts; a reply is a function of the messages of the request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from services.content.model import Message, Role, ToolResult

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


class FaultKind(Enum):
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNAUTHORIZED = "unauthorized"
    INVALID_REQUEST = "invalid_request"
    CUT = "cut"
    STALL = "stall"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    tool_id: str
    arguments_json: str = "{}"


@dataclass(frozen=True, slots=True)
class Reply:
    text: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure.

    Attributes:
        retry_after_s: The hint that comes with a rate limit or an overload.
        after_deltas: Number of deltas of ``text`` that are sent before a cut, a stall or garbage.
        text: The text of those deltas; for the other kinds the provider's error text.
    """

    kind: FaultKind
    retry_after_s: float | None = None
    after_deltas: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One rule; it matches when every condition that is set holds.

    Attributes:
        matches: Searched in the newest message's text; None always matches.
        tool_results: Number of tool results after the newest user message; None is any.
        upstream_model: Empty is any.
    """

    outcome: Reply | Fault
    matches: re.Pattern[str] | None = None
    tool_results: int | None = None
    upstream_model: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """The first step that matches answers; without one the newest user text is echoed.

    Attributes:
        delta_interval_s: Pause between two deltas.
    """

    steps: tuple[Step, ...] = ()
    delta_interval_s: float = 0.0


def outcome_of(script: Script, messages: Sequence[Message], upstream_model: str) -> Reply | Fault:
    """The reply or fault of the script for a request."""
    newest = _newest_text(messages)
    results = _results_since_user(messages)
    for step in script.steps:
        if step.upstream_model and step.upstream_model != upstream_model:
            continue
        if step.tool_results is not None and step.tool_results != results:
            continue
        if step.matches is None:
            return step.outcome
        found = step.matches.search(newest)
        if found is not None:
            return _substituted(step.outcome, found.groupdict(default=""))
    return Reply(text=_newest_user_text(messages))


def words(text: str) -> list[str]:
    """Split ``text`` before the space of each word; joined, the pieces are ``text`` again."""
    return re.findall(r"\s*\S+|\s+", text)


def _newest_text(messages: Sequence[Message]) -> str:
    if not messages:
        return ""
    newest = messages[-1]
    results = [part.content for part in newest.parts if isinstance(part, ToolResult)]
    return "\n".join(results) if results else newest.text


def _newest_user_text(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role is Role.USER:
            return message.text
    return ""


def _results_since_user(messages: Sequence[Message]) -> int:
    count = 0
    for message in reversed(messages):
        if message.role is Role.USER:
            break
        count += sum(isinstance(part, ToolResult) for part in message.parts)
    return count


def _substituted(outcome: Reply | Fault, groups: Mapping[str, str]) -> Reply | Fault:
    if not groups:
        return outcome
    plain = _substitution(groups, lambda value: value)
    if isinstance(outcome, Fault):
        return replace(outcome, text=plain(outcome.text))
    # A quote or a line break in the value must not end the JSON string.
    escaped = _substitution(groups, lambda value: json.dumps(value, ensure_ascii=False)[1:-1])
    calls = tuple(
        ScriptedCall(plain(call.tool_id), escaped(call.arguments_json))
        for call in outcome.tool_calls
    )
    return Reply(plain(outcome.text), calls, plain(outcome.reasoning))


def _substitution(groups: Mapping[str, str], render: Callable[[str], str]) -> Callable[[str], str]:
    def substitute(text: str) -> str:
        return _PLACEHOLDER.sub(
            lambda name: render(groups[name[1]]) if name[1] in groups else name[0], text
        )

    return substitute
