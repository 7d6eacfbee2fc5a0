"""The builtin provider, in process: answers from a script, for development and tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from services.chassis.clock import Clock
from services.content.model import (
    FinishReason,
    Message,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    UsageSource,
    estimated_tokens,
)
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UpstreamItem,
    UsageReport,
)
from services.router.core.model import Builtin
from services.router.core.ports import UpstreamCall
from services.router.core.request import Prompt
from services.router.core.script import Fault, FaultKind, Reply, outcome_of, words

# Failure class and HTTP status of the faults on opening.
_ON_OPEN: Mapping[FaultKind, tuple[FailureClass, int]] = {
    FaultKind.RATE_LIMITED: (FailureClass.RATE_LIMIT, 429),
    FaultKind.OVERLOADED: (FailureClass.OVERLOADED, 503),
    FaultKind.SERVER_ERROR: (FailureClass.SERVER_ERROR, 500),
    FaultKind.UNAUTHORIZED: (FailureClass.AUTH, 401),
    FaultKind.INVALID_REQUEST: (FailureClass.INVALID_REQUEST, 400),
}
_ON_READ: Mapping[FaultKind, FailureClass] = {
    FaultKind.CUT: FailureClass.STREAM_TRUNCATED,
    FaultKind.GARBAGE: FailureClass.STREAM_MALFORMED,
}


class BuiltinAdapter:
    """Implements ``ProviderAdapter``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[BuiltinStream]:
        adapter = call.member.provider.adapter
        if not isinstance(adapter, Builtin):
            raise TypeError(f"not a builtin provider: {call.member.provider.id}")
        script, prompt = adapter.script, call.prompt
        outcome = outcome_of(script, prompt.messages, call.member.model.upstream_model)
        if isinstance(outcome, Fault) and outcome.kind in _ON_OPEN:
            kind, status = _ON_OPEN[outcome.kind]
            detail = outcome.text if kind is FailureClass.INVALID_REQUEST else ""
            raise UpstreamError(Failure(kind, status, outcome.retry_after_s, detail))
        yield BuiltinStream(outcome, prompt, script.delta_interval_s, self._clock)


class BuiltinStream:
    """Implements ``UpstreamStream``: one delta per interval; all at once if the interval is 0."""

    def __init__(
        self, outcome: Reply | Fault, prompt: Prompt, interval_s: float, clock: Clock
    ) -> None:
        self._fault: FaultKind | None = None
        if isinstance(outcome, Fault):
            self._fault = outcome.kind
            deltas = [TextDelta(word) for word in words(outcome.text)[: outcome.after_deltas]]
            self._items: list[UpstreamItem] = [Opened(), *deltas]
        else:
            self._items = _answer(outcome, prompt)
        self._next = 0
        self._interval_s = interval_s
        self._clock = clock

    @property
    def counted(self) -> Usage | None:
        """Nothing is counted, only estimated."""
        return None

    async def read(self) -> Sequence[UpstreamItem]:
        if self._next >= len(self._items):
            await self._fail()
        if self._next == 0 or self._interval_s == 0:
            # The first delta comes in the same read as ``Opened``.
            ready = self._items[self._next : 2 if self._interval_s else None]
        else:
            await self._clock.sleep(self._interval_s)
            ready = self._items[self._next : self._next + 1]
        self._next += len(ready)
        return ready

    async def _fail(self) -> None:
        if self._fault is FaultKind.STALL:
            await asyncio.Event().wait()
        kind = FailureClass.STREAM_TRUNCATED if self._fault is None else _ON_READ[self._fault]
        raise UpstreamError(Failure(kind))


def _answer(reply: Reply, prompt: Prompt) -> list[UpstreamItem]:
    items: list[UpstreamItem] = [Opened()]
    items += [ReasoningDelta(word) for word in words(reply.reasoning)]
    items += [TextDelta(word) for word in words(reply.text)]
    # Counted over the conversation, so that ids are unique in it and a repeat gets the same ones.
    calls_before = sum(len(message.tool_calls) for message in prompt.messages)
    for index, scripted in enumerate(reply.tool_calls):
        call_id = f"call_{calls_before + index + 1}"
        call = ToolCall(call_id, scripted.tool_id, scripted.arguments_json)
        items.append(ToolCallDelta(index, call.arguments_json, call_id, call.tool_id))
        items.append(ToolCallReady(index, call))
    items.append(UsageReport(estimated_usage(reply, prompt.messages)))
    items.append(Finished(FinishReason.TOOL_CALLS if reply.tool_calls else FinishReason.STOP))
    return items


def estimated_usage(reply: Reply, messages: Sequence[Message]) -> Usage:
    """What a reply to ``messages`` would cost."""
    parts = [part for message in messages for part in message.parts]
    input_chars = sum(len(part.text) for part in parts if isinstance(part, Text))
    input_chars += sum(len(part.content) for part in parts if isinstance(part, ToolResult))
    output_chars = len(reply.text) + len(reply.reasoning)
    output_chars += sum(len(call.arguments_json) for call in reply.tool_calls)
    return Usage(
        input_tokens=estimated_tokens(input_chars),
        output_tokens=estimated_tokens(output_chars),
        source=UsageSource.ESTIMATED,
    )
