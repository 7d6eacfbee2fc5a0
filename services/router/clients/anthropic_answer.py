"""Decodes the events of a messages answer to items."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from services.content.model import FinishReason, Usage
from services.router.clients.anthropic_blocks import BlockReader
from services.router.clients.anthropic_usage import UsageSoFar
from services.router.clients.json_leaves import object_in, objects_in, text_in
from services.router.clients.sse import Event
from services.router.clients.stream_errors import is_terminator, object_of, raise_error
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import Finished, Opened, UpstreamItem, UsageReport

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    # The answer is not at its end; it goes on when it is sent back, as after a limit.
    "pause_turn": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
    # Words of other APIs, from servers that translate.
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
}


class AnthropicReader:
    """Implements ``AnswerReader``.

    Args:
        provider_id: Who can read the state of the reasoning.
        tool_ids: The tools of the request by the name they were sent with.
        earlier_ids: Of the calls in the conversation.
        input_chars: Size of the request, to estimate its tokens if the provider does not count.
        secrets: Masked in failures, in case the provider repeats them.
    """

    def __init__(
        self,
        provider_id: str,
        tool_ids: Mapping[str, str],
        earlier_ids: Collection[str],
        input_chars: int,
        secrets: tuple[str, ...],
    ) -> None:
        self._blocks = BlockReader(provider_id, tool_ids, earlier_ids)
        self._usage = UsageSoFar()
        self._input_chars = input_chars
        self._secrets = secrets
        self._opened = False
        self._ended = False
        self._reason = ""
        self._start_reason = ""

    @property
    def complete(self) -> bool:
        return bool(self._reason)

    @property
    def counted(self) -> Usage | None:
        return self._usage.partial() if self._usage.known else None

    def take(self, event: Event, items: list[UpstreamItem]) -> None:
        data = event.data.strip()
        if self._ended or not data:
            return
        if is_terminator(data):
            self.finish(items)
            return
        found = object_of(event, self._secrets, complete=self.complete)
        for place in _places(found):
            raise_error(event.name, place, self._secrets)
        self._take_event(_kind(found, event.name), found, items)

    def finish(self, items: list[UpstreamItem]) -> None:
        if self._ended:
            return
        if not self.complete:
            raise UpstreamError(Failure(FailureClass.STREAM_TRUNCATED))
        self._end(items)

    def _take_event(self, kind: str, found: dict[str, Any], items: list[UpstreamItem]) -> None:
        match kind:
            case "message_start":
                self._start(object_in(found.get("message")), items)
            case "message":
                self._start(found, items)
                if self._start_reason:
                    self._usage.add(found.get("usage"))
                    self._stop(items)
            case "content_block_start" | "content_block_delta" | "content_block_stop":
                self._take_block(kind, found, items)
            case "message_delta":
                delta = object_in(found.get("delta"))
                reason = text_in(delta.get("stop_reason")) or text_in(found.get("stop_reason"))
                self._reason = reason or self._reason
                self._usage.add(found.get("usage"))
                self._usage.add(delta.get("usage"))
            case "message_stop":
                self._usage.add(found.get("usage"))
                self._stop(items)
            case _:
                pass

    def _start(self, message: dict[str, Any], items: list[UpstreamItem]) -> None:
        if self._blocks.begun:
            # Another answer begins within this one.
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
        self._usage.begin(message.get("usage"))
        self._start_reason = text_in(message.get("stop_reason"))
        response_id = text_in(message.get("id"))
        if response_id:
            self._open(response_id, items)
        for block in objects_in(message.get("content")):
            self._open("", items)
            self._blocks.take_whole(block, items)

    def _take_block(self, kind: str, found: dict[str, Any], items: list[UpstreamItem]) -> None:
        self._open("", items)
        if kind == "content_block_stop":
            self._blocks.stop(found, items)
            return
        # What follows the stop reason needs an end of its own.
        self._start_reason, self._reason = self._reason or self._start_reason, ""
        if kind == "content_block_start":
            self._blocks.start(found, items)
        else:
            self._blocks.delta(found, items)

    def _open(self, response_id: str, items: list[UpstreamItem]) -> None:
        if not self._opened:
            self._opened = True
            items.append(Opened(response_id))

    def _stop(self, items: list[UpstreamItem]) -> None:
        self._reason = self._reason or self._start_reason
        if not self._reason:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
        self._end(items)

    def _end(self, items: list[UpstreamItem]) -> None:
        self._open("", items)
        reason = self._finish_reason()
        self._blocks.end(reason, items)
        self._ended = True
        items.append(UsageReport(self._usage.final(self._input_chars, self._blocks.output_chars)))
        items.append(Finished(reason))

    def _finish_reason(self) -> FinishReason:
        """TOOL_CALLS if there are calls: some servers send "end_turn" with them."""
        word = self._reason.lower()
        reason = _FINISH.get(word)
        if reason is None or (reason is FinishReason.TOOL_CALLS and not self._blocks.has_calls):
            broken = FailureClass.STREAM_MALFORMED
            raise UpstreamError(Failure(FailureClass.SERVER_ERROR if word == "error" else broken))
        is_call = reason is FinishReason.STOP and self._blocks.has_calls
        return FinishReason.TOOL_CALLS if is_call else reason


def _places(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Where an event may have an error."""
    yield found
    yield object_in(found.get("message"))
    yield object_in(found.get("delta"))


def _kind(found: dict[str, Any], name: bytes) -> str:
    """The type of an event; without one its name, else what its fields say."""
    named = found.get("type")
    if isinstance(named, str) and named:
        return named
    if name and name != b"message":
        return name.decode("utf-8", "replace")
    delta = object_in(found.get("delta"))
    for kind, is_it in (
        ("content_block_start", bool(found.get("content_block"))),
        ("message_delta", "stop_reason" in delta),
        ("content_block_delta", bool(delta)),
        ("message_start", bool(found.get("message"))),
        ("message", bool(found.get("content"))),
    ):
        if is_it:
            return kind
    return ""
