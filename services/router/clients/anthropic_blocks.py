"""Decodes the content blocks of a messages answer: text, thinking and calls of tools."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from services.content.model import FinishReason
from services.router.clients.anthropic_state import redacted_state, thinking_state
from services.router.clients.call_ids import CallIds
from services.router.clients.collected_calls import CollectedCalls
from services.router.clients.json_leaves import count_in, json_text_in, object_in, text_in
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import ReasoningDelta, UpstreamItem, add_text

# What a block or delta without a type is, by the field it has.
_BLOCK_OF_FIELD = {
    "name": "tool_use",
    "thinking": "thinking",
    "data": "redacted_thinking",
    "text": "text",
}
_DELTA_OF_FIELD = {
    "partial_json": "input_json_delta",
    "thinking": "thinking_delta",
    "signature": "signature_delta",
    "text": "text_delta",
}


class _Block:
    """A content block that has begun.

    Attributes:
        said_id: The id as the provider wrote it.
        call: The number of its call; None unless it is one.
        whole_input: Arguments that came with the start; they count unless fragments follow.
        sealed: Its state was sent.
    """

    __slots__ = ("call", "kind", "said_id", "sealed", "signature", "stopped", "whole_input")

    def __init__(self, kind: str, said_id: str = "") -> None:
        self.kind = kind
        self.said_id = said_id
        self.call: int | None = None
        self.whole_input = ""
        self.signature = ""
        self.sealed = False
        self.stopped = False


class BlockReader:
    """Appends the items of blocks.

    Attributes:
        begun: A block has begun.
        output_chars: Size of what the blocks have said.
    """

    def __init__(
        self, provider_id: str, tool_ids: Mapping[str, str], earlier_ids: Collection[str]
    ) -> None:
        self.begun = False
        self.output_chars = 0
        self._provider_id = provider_id
        self._tool_ids = tool_ids
        self._call_ids = CallIds(earlier_ids)
        self._calls = CollectedCalls()
        self._by_index: dict[int, _Block] = {}
        self._all: list[_Block] = []

    @property
    def has_calls(self) -> bool:
        return len(self._calls) > 0

    def start(self, found: dict[str, Any], items: list[UpstreamItem]) -> None:
        index = count_in(found.get("index"))
        content = object_in(found.get("content_block"))
        self._begin(len(self._all) if index is None else index, content, items)

    def take_whole(self, content: dict[str, Any], items: list[UpstreamItem]) -> None:
        """A block that is not sent in pieces."""
        self._stop(self._begin(len(self._all), content, items), items)

    def delta(self, found: dict[str, Any], items: list[UpstreamItem]) -> None:
        """Append the items of a delta.

        Raises:
            UpstreamError: It has arguments of no call.
        """
        delta = object_in(found.get("delta"))
        block = self._block_of(found)
        self.begun = True
        match _type_of(delta, _DELTA_OF_FIELD):
            case "text_delta":
                self._say(text_in(delta.get("text")), items)
            case "thinking_delta":
                self._think(text_in(delta.get("thinking")), items)
                self._thinking_block(block, found)
            case "signature_delta":
                signature = text_in(delta.get("signature"))
                self._thinking_block(block, found).signature = signature
            case "input_json_delta":
                self._add_input(block, json_text_in(delta.get("partial_json")), items)
            case _:
                pass

    def stop(self, found: dict[str, Any], items: list[UpstreamItem]) -> None:
        block = self._block_of(found)
        if block is not None:
            self._stop(block, items)

    def end(self, reason: FinishReason, items: list[UpstreamItem]) -> None:
        """Append what is left when the answer has ended: states, and the calls that are complete.

        A call that the output limit cut is not, and none is of an answer that was withheld.
        """
        self._seal_all(items)
        for block in self._all:
            self._complete_input(block, items)
        if reason is FinishReason.CONTENT_FILTER:
            return
        self._calls.ready(items, is_cut=reason is FinishReason.LENGTH)

    def _begin(self, index: int, content: dict[str, Any], items: list[UpstreamItem]) -> _Block:
        kind, said_id = _type_of(content, _BLOCK_OF_FIELD), text_in(content.get("id"))
        before = self._by_index.get(index)
        if before is not None and self._is_repeated(before, kind, said_id):
            return before
        self.begun = True
        self._seal_all(items)
        block = self._add(index, _Block(kind, said_id))
        self._take_content(block, content, items)
        return block

    def _add(self, index: int, block: _Block) -> _Block:
        self._by_index[index] = block
        self._all.append(block)
        return block

    def _take_content(
        self, block: _Block, content: dict[str, Any], items: list[UpstreamItem]
    ) -> None:
        """What a block has at its start."""
        match block.kind:
            case "text":
                self._say(text_in(content.get("text")), items)
            case "thinking":
                self._think(text_in(content.get("thinking")), items)
                block.signature = text_in(content.get("signature"))
            case "redacted_thinking":
                block.sealed = True
                state = redacted_state(text_in(content.get("data")))
                items.append(ReasoningDelta("", self._provider_id, state))
            case "tool_use":
                self._begin_call(block, content, items)
            case _:
                pass

    def _is_repeated(self, before: _Block, kind: str, said_id: str) -> bool:
        """Whether a start says once more what is already there: the call has not gone on."""
        same = before.call is not None and kind == before.kind and said_id == before.said_id
        if not same or not said_id or before.stopped:
            return False
        return not self._calls.has_arguments(before.call or 0)

    def _begin_call(
        self, block: _Block, content: dict[str, Any], items: list[UpstreamItem]
    ) -> None:
        name = text_in(content.get("name"))
        if not name:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
        call_id = self._call_ids.unused(block.said_id)
        block.call = self._calls.begin(call_id, self._tool_ids.get(name, name))
        block.whole_input = json_text_in(content.get("input"))
        self._calls.add(block.call, "", items)

    def _block_of(self, found: dict[str, Any]) -> _Block | None:
        """The block of an index; without one, the last."""
        index = count_in(found.get("index"))
        if index is None:
            return self._all[-1] if self._all else None
        return self._by_index.get(index)

    def _thinking_block(self, block: _Block | None, found: dict[str, Any]) -> _Block:
        """The block that thinks; a new one where its start is missing."""
        if block is None or block.kind != "thinking":
            block = self._add(count_in(found.get("index")) or 0, _Block("thinking"))
        return block

    def _add_input(self, block: _Block | None, fragment: str, items: list[UpstreamItem]) -> None:
        if block is None or block.kind in {"text", "thinking"}:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
        if block.call is not None:
            self.output_chars += len(fragment)
            self._calls.add(block.call, fragment, items)

    def _complete_input(self, block: _Block, items: list[UpstreamItem]) -> None:
        if block.call is not None and not self._calls.has_arguments(block.call):
            self._add_input(block, block.whole_input, items)

    def _stop(self, block: _Block, items: list[UpstreamItem]) -> None:
        block.stopped = True
        if block.signature:
            self._seal(block, items)

    def _seal_all(self, items: list[UpstreamItem]) -> None:
        for block in self._all[-1:]:
            self._seal(block, items)

    def _seal(self, block: _Block, items: list[UpstreamItem]) -> None:
        """Send the state of a block that thought; servers that sign nothing want it back too."""
        if block.kind == "thinking" and not block.sealed:
            block.sealed = True
            state = thinking_state(block.signature)
            items.append(ReasoningDelta("", self._provider_id, state))

    def _say(self, text: str, items: list[UpstreamItem]) -> None:
        if text:
            self.output_chars += len(text)
            add_text(text, items)

    def _think(self, text: str, items: list[UpstreamItem]) -> None:
        if text:
            self.output_chars += len(text)
            items.append(ReasoningDelta(text, self._provider_id))


def _type_of(content: dict[str, Any], by_field: Mapping[str, str]) -> str:
    named = content.get("type")
    if isinstance(named, str) and named:
        return named
    return next((kind for field, kind in by_field.items() if field in content), "")
