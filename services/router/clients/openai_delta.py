"""Decodes what a choice of a chat completion says: text, reasoning and calls of tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.content.model import FinishReason
from services.router.clients.call_ids import CallIds
from services.router.clients.json_leaves import all_objects_in, object_in, objects_in, text_in
from services.router.clients.openai_calls import CallReader
from services.router.clients.openai_state import THINKING_PART, reasoning_state
from services.router.core.items import ReasoningDelta, UpstreamItem, add_text

# Where servers say reasoning; some say the same in two of them.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
_DETAILS = "reasoning_details"


class DeltaReader:
    """Appends the items of choices.

    Attributes:
        output_chars: Size of what they have said.
    """

    def __init__(self, provider_id: str, tool_ids: Mapping[str, str], call_ids: CallIds) -> None:
        self._provider_id = provider_id
        self._calls = CallReader(provider_id, tool_ids, call_ids)
        self._text_chars = 0
        self._has_deltas = False
        self._reasoning_field = ""

    @property
    def output_chars(self) -> int:
        return self._text_chars + self._calls.output_chars

    @property
    def has_calls(self) -> bool:
        return self._calls.has_calls

    def take(self, choice: dict[str, Any], items: list[UpstreamItem]) -> bool:
        """Append the items of a choice; False if it says nothing.

        A ``message`` stands in place of deltas. Beside them it repeats what they have said.
        """
        if self._take_delta(object_in(choice.get("delta")), items):
            self._has_deltas = True
            return True
        if self._has_deltas:
            return False
        whole = object_in(choice.get("message")) or {"content": choice.get("text")}
        return self._take_delta(whole, items)

    def take_text(self, text: str, items: list[UpstreamItem]) -> None:
        """Append the text of a delta that says nothing else."""
        self._has_deltas = True
        self._say(text, items)

    def end(self, reason: FinishReason, items: list[UpstreamItem]) -> None:
        """Append what is left when the answer has ended: the state of its reasoning, its calls."""
        if self._reasoning_field:
            state = reasoning_state(self._reasoning_field)
            items.append(ReasoningDelta("", self._provider_id, state))
        self._calls.end(reason, items)

    def _take_delta(self, delta: dict[str, Any], items: list[UpstreamItem]) -> bool:
        before = len(items)
        self._take_reasoning(delta, items)
        self._take_content(delta.get("content"), items)
        self._say(text_in(delta.get("refusal")), items)
        return self._take_calls(delta, items) or len(items) > before

    def _take_calls(self, delta: dict[str, Any], items: list[UpstreamItem]) -> bool:
        said = False
        for call in all_objects_in(delta.get("tool_calls")):
            said = self._calls.take(call, items) or said
        old = object_in(delta.get("function_call"))
        return (bool(old) and self._calls.take_old(old, items)) or said

    def _take_reasoning(self, delta: dict[str, Any], items: list[UpstreamItem]) -> None:
        for field in _REASONING:
            text = text_in(delta.get(field))
            if text:
                self._think(field, text, items)
                return
        for detail in all_objects_in(delta.get(_DETAILS)):
            text = text_in(detail.get("text")) or text_in(detail.get("summary"))
            self._think("reasoning", text, items)

    def _take_content(self, content: Any, items: list[UpstreamItem]) -> None:
        if not isinstance(content, dict | list):
            self._say(text_in(content), items)
            return
        for part in objects_in(content):
            thought = part.get("thinking", part.get("reasoning"))
            if thought or part.get("type") in {"thinking", "reasoning"}:
                text = text_in(thought) or text_in(part.get("text"))
                self._think(THINKING_PART, text, items)
            else:
                self._say(text_in(part.get("refusal")) or text_in(part), items)

    def _say(self, text: str, items: list[UpstreamItem]) -> None:
        if text:
            self._text_chars += len(text)
            add_text(text, items)

    def _think(self, field: str, text: str, items: list[UpstreamItem]) -> None:
        if text:
            self._text_chars += len(text)
            self._reasoning_field = self._reasoning_field or field
            items.append(ReasoningDelta(text, self._provider_id))
