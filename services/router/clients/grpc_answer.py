"""Decodes the messages of ``runyard.provider.v1`` to items."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from runyard.provider.v1 import provider_pb2 as pb
from runyard.provider.v1 import provider_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.content.convert import FINISH_REASONS, usage_from_pb
from services.content.model import FinishReason, Usage, UsageSource, estimated_tokens
from services.router.clients.collected_calls import CollectedCalls
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    UpstreamItem,
    UsageReport,
)


class GrpcReader:
    """Tolerates what leaves the meaning of an answer alone; contradictions are malformed.

    Args:
        provider_id: Of the registry; opaque state is bound to it.
        earlier_ids: Of the calls of the conversation; a call that comes without an id gets another.
        input_chars: Size of the request, to estimate its tokens if the provider does not count.

    Attributes:
        complete: The provider has said why the answer ended; what follows is ignored.
        counted: The last usage that the provider has sent; None before that.
    """

    def __init__(self, provider_id: str, earlier_ids: set[str], input_chars: int) -> None:
        self.complete = False
        self.counted: Usage | None = None
        self._provider_id = provider_id
        self._earlier_ids = earlier_ids
        self._answered_ids: set[str] = set()
        self._input_chars = input_chars
        self._output_chars = 0
        self._opened = False
        self._calls = CollectedCalls()
        # By the index that the provider gave the call.
        self._ids: dict[int, tuple[int, str]] = {}

    def take(self, message: bytes) -> Iterator[UpstreamItem]:
        """The items of one message.

        Raises:
            UpstreamError: It is malformed.
        """
        try:
            items = rpc.InferResponse.FromString(message).items
        except DecodeError:
            raise _malformed() from None
        for item in items:
            if not self.complete:
                yield from self._items(item)

    def _items(self, item: pb.InferenceItem) -> Iterator[UpstreamItem]:
        kind = item.WhichOneof("item")
        if kind == "started":
            self._opened = True
            yield Opened(item.started.response_id, item.started.upstream_model)
        elif not self._opened:
            self._opened = True
            yield Opened()
        match kind:
            case "text_delta" if item.text_delta.text:
                self._output_chars += len(item.text_delta.text)
                yield TextDelta(item.text_delta.text)
            case "reasoning_delta":
                yield from self._reasoning(item.reasoning_delta)
            case "tool_call_delta":
                yield from self._delta(item.tool_call_delta)
            case "tool_call_ready":
                yield from self._ready(item.tool_call_ready)
            case "usage":
                yield from self._count(item.usage)
            case "finished":
                yield from self._finish(item.finished)

    def _reasoning(self, delta: pb.ReasoningDelta) -> Iterator[UpstreamItem]:
        """The state is this provider's, under whichever id it knows itself."""
        self._output_chars += len(delta.text)
        if delta.text or delta.opaque_state:
            owner = self._provider_id if delta.opaque_state else ""
            yield ReasoningDelta(delta.text, owner, delta.opaque_state)

    def _delta(self, delta: pb.ToolCallDelta) -> Iterator[UpstreamItem]:
        call = content.ToolCall(call_id=delta.call_id, tool_id=delta.tool_id)
        return self._add(self._call(delta.index, call), delta.arguments_json)

    def _ready(self, ready: pb.ToolCallReady) -> Iterator[UpstreamItem]:
        """A call that came without deltas gets one."""
        number = self._call(ready.index, ready.call)
        collected, whole = self._calls.arguments(number), ready.call.arguments_json
        if not collected:
            yield from self._add(number, whole)
        elif collected != whole:
            raise _malformed()

    def _call(self, index: int, call: content.ToolCall) -> int:
        """The number of the call at ``index``, which begins if there is none."""
        number, call_id = self._ids.get(index, (-1, ""))
        if number < 0:
            if not call.tool_id:
                raise _malformed()
            number = self._calls.begin(self._free_id(call.call_id), call.tool_id)
            self._ids[index] = number, call.call_id
        elif call.call_id not in {"", call_id} or call.tool_id not in {
            "",
            self._calls.tool_id(number),
        }:
            raise _malformed()
        return number

    def _free_id(self, said: str) -> str:
        free = said
        if said in {"", *self._answered_ids}:
            taken = self._earlier_ids | self._answered_ids
            number = len(taken)
            while (free := f"call_{number}") in taken:
                number += 1
        self._answered_ids.add(free)
        return free

    def _add(self, number: int, fragment: str) -> Iterator[UpstreamItem]:
        items: list[UpstreamItem] = []
        self._output_chars += len(fragment)
        self._calls.add(number, fragment, items)
        yield from items

    def _count(self, usage: content.Usage) -> Iterator[UpstreamItem]:
        counted = usage_from_pb(usage)
        if counted.input_tokens > 0 and counted.output_tokens >= 0:
            self.counted = counted
            yield UsageReport(counted)

    def _finish(self, finished: pb.Finished) -> Iterator[UpstreamItem]:
        reason = FINISH_REASONS.from_pb.get(finished.reason)
        called = len(self._calls) > 0
        if reason is FinishReason.STOP and called:
            reason = FinishReason.TOOL_CALLS
        if reason is None or (reason is FinishReason.TOOL_CALLS and not called):
            raise _malformed()
        self.complete = True
        items: list[UpstreamItem] = []
        self._calls.ready(items, is_cut=reason is FinishReason.LENGTH)
        yield from items
        if self.counted is None:
            yield UsageReport(self._estimate())
        yield Finished(reason)

    def _estimate(self) -> Usage:
        return Usage(
            input_tokens=estimated_tokens(self._input_chars),
            output_tokens=estimated_tokens(self._output_chars),
            source=UsageSource.ESTIMATED,
        )


def _malformed() -> UpstreamError:
    return UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
