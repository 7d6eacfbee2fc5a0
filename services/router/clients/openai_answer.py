"""Decodes the chunks of a chat completions stream to items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from services.content.model import FinishReason, Usage, UsageSource, estimated_tokens
from services.router.clients.collected_calls import CollectedCalls
from services.router.clients.http_failures import ErrorBody, failure_in_stream
from services.router.clients.json_leaves import UNDECODABLE
from services.router.clients.sse import Event
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    UpstreamItem,
    UsageReport,
)

DONE = b"[DONE]"

_FINISH: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[_ToolDelta] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    # In place of ``delta`` where a whole answer is sent at once.
    message: _Delta | None = None
    finish_reason: str | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Chunk(ErrorBody):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


_DECODER = msgspec.json.Decoder(_Chunk)


class OpenAiReader:
    """Implements ``AnswerReader``.

    Args:
        tool_ids: The tools of the request by the name they were sent with.
        input_chars: Size of the request, to estimate its tokens if the provider does not count.
        secrets: Masked in failures, in case the provider repeats them.

    Attributes:
        ended: The terminator was read; later events are ignored.
    """

    def __init__(
        self, tool_ids: Mapping[str, str], input_chars: int, secrets: tuple[str, ...]
    ) -> None:
        self.ended = False
        self._tool_ids = tool_ids
        self._input_chars = input_chars
        self._output_chars = 0
        self._secrets = secrets
        self._opened = False
        self._finish: str | None = None
        self._usage: _Usage | None = None
        self._calls = CollectedCalls()
        self._position_of: dict[int, int] = {}

    @property
    def complete(self) -> bool:
        return self._finish is not None

    def take(self, event: Event, items: list[UpstreamItem]) -> None:
        data = event.data
        if self.ended:
            return
        if data.startswith(DONE):
            self._end(items)
            return
        try:
            chunk = _DECODER.decode(data)
        except UNDECODABLE:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED)) from None
        failure = failure_in_stream(chunk, self._secrets)
        if failure is not None:
            raise UpstreamError(failure)
        self._take_chunk(chunk, items)

    def finish(self, items: list[UpstreamItem]) -> None:
        if self.ended:
            return
        if self._finish is None:
            raise UpstreamError(Failure(FailureClass.STREAM_TRUNCATED))
        self._end(items)

    def add_final_usage(self, items: list[UpstreamItem]) -> None:
        if self._usage is not None:
            items.append(UsageReport(self._usage_so_far()))

    def _take_chunk(self, chunk: _Chunk, items: list[UpstreamItem]) -> None:
        if not self._opened:
            self._opened = True
            items.append(Opened(chunk.id or ""))
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            for delta in filter(None, (choice.delta, choice.message)):
                self._take_delta(delta, items)
            if choice.finish_reason:
                self._finish = choice.finish_reason

    def _take_delta(self, delta: _Delta, items: list[UpstreamItem]) -> None:
        text = delta.content or delta.refusal
        if text:
            self._output_chars += len(text)
            items.append(TextDelta(text))
        for reasoning in (delta.reasoning_content, delta.reasoning):
            if isinstance(reasoning, str) and reasoning:
                self._output_chars += len(reasoning)
                items.append(ReasoningDelta(reasoning))
                break
        for call in delta.tool_calls or ():
            self._take_call(call, items)
        if delta.function_call is not None:
            self._take_call(_ToolDelta(index=0, function=delta.function_call), items)

    def _take_call(self, delta: _ToolDelta, items: list[UpstreamItem]) -> None:
        function = delta.function or _Function()
        fragment = function.arguments or ""
        self._output_chars += len(fragment)
        self._calls.add(self._call_of(delta, function), fragment, items)

    def _call_of(self, delta: _ToolDelta, function: _Function) -> int:
        """The position of the call that a delta belongs to, which may be a new one."""
        index = self._known_call(delta, function)
        if index is not None:
            return index
        if not function.name:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
        tool_id = self._tool_ids.get(function.name, function.name)
        index = self._calls.begin(delta.id or f"call_{len(self._calls)}", tool_id)
        if delta.index is not None:
            self._position_of[delta.index] = index
        return index

    def _known_call(self, delta: _ToolDelta, function: _Function) -> int | None:
        """The position of the call that a delta continues; None for a new call.

        Some servers send index 0 for every call: there another id is another call. Some send no
        index: then the id identifies the call. Without an id, a name starts a call, and a delta
        without both continues the last one.
        """
        ids = self._calls.ids
        if delta.index is not None:
            index = self._position_of.get(delta.index)
            other = index is not None and delta.id and delta.id != ids[index]
            return None if other else index
        if delta.id:
            return ids.index(delta.id) if delta.id in ids else None
        return None if function.name or not self._calls else len(self._calls) - 1

    def _end(self, items: list[UpstreamItem]) -> None:
        self.ended = True
        self._calls.ready(items)
        items.append(UsageReport(self._usage_so_far()))
        items.append(Finished(self._reason()))

    def _reason(self) -> FinishReason:
        """TOOL_CALLS if there are calls: some servers send "stop" with them."""
        reason = _FINISH.get(self._finish or "", FinishReason.STOP)
        return FinishReason.TOOL_CALLS if self._calls and reason is FinishReason.STOP else reason

    def _usage_so_far(self) -> Usage:
        usage = self._usage
        if usage is None:
            return Usage(
                input_tokens=estimated_tokens(self._input_chars),
                output_tokens=estimated_tokens(self._output_chars),
                source=UsageSource.ESTIMATED,
            )
        input_details = usage.prompt_tokens_details or _InputDetails()
        output_details = usage.completion_tokens_details or _OutputDetails()
        return Usage(
            input_tokens=usage.prompt_tokens or 0,
            output_tokens=usage.completion_tokens or 0,
            cache_read_input_tokens=input_details.cached_tokens or 0,
            cache_write_input_tokens=input_details.cache_write_tokens or 0,
            reasoning_output_tokens=output_details.reasoning_tokens or 0,
        )
