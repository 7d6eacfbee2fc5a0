"""Collects the fragments of an answer's tool calls."""

from __future__ import annotations

import json
from json.decoder import JSONDecoder

from services.content.model import ToolCall
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import ToolCallDelta, ToolCallReady, UpstreamItem

# A complete call must fit one message.
MAX_ARGUMENTS_CHARS = 1024 * 1024

_DECODER = JSONDecoder()


class CollectedCalls:
    """The tool calls of one answer, numbered from 0 in the order in which they begin."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def ids(self) -> list[str]:
        return [call.call_id for call in self._calls]

    def begin(self, call_id: str, tool_id: str) -> int:
        """Add a call; returns its number."""
        self._calls.append(_Call(call_id, tool_id))
        return len(self._calls) - 1

    def has_arguments(self, index: int) -> bool:
        return self._calls[index].chars > 0

    def add(self, index: int, fragment: str, items: list[UpstreamItem]) -> None:
        """Append a fragment of arguments, and its item unless there is nothing to tell.

        Raises:
            UpstreamError: The arguments are too long.
        """
        call = self._calls[index]
        call.arguments.append(fragment)
        call.chars += len(fragment)
        if call.chars > MAX_ARGUMENTS_CHARS:
            raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
        if not call.told:
            call.told = True
            items.append(ToolCallDelta(index, fragment, call.call_id, call.tool_id))
        elif fragment:
            items.append(ToolCallDelta(index, fragment))

    def is_whole(self, index: int) -> bool:
        """Whether the arguments are one JSON value."""
        try:
            json.loads("".join(self._calls[index].arguments))
        except (ValueError, RecursionError):
            return False
        return True

    def ready(self, items: list[UpstreamItem], but: int | None = None) -> None:
        """Append the complete calls, all ``but`` one.

        Raises:
            UpstreamError: The arguments of a call are two values, one after the other.
        """
        complete: list[UpstreamItem] = []
        for index, call in enumerate(self._calls):
            if index != but:
                arguments = "".join(call.arguments)
                if _is_doubled(arguments):
                    raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
                ready = ToolCall(call.call_id, call.tool_id, arguments or "{}")
                complete.append(ToolCallReady(index, ready))
        items += complete


class _Call:
    __slots__ = ("arguments", "call_id", "chars", "told", "tool_id")

    def __init__(self, call_id: str, tool_id: str) -> None:
        self.call_id = call_id
        self.tool_id = tool_id
        self.arguments: list[str] = []
        self.chars = 0
        self.told = False


def _is_doubled(arguments: str) -> bool:
    """Whether an object is followed by more than blanks."""
    try:
        value, end = _DECODER.raw_decode(arguments.lstrip())
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool(arguments.lstrip()[end:].strip())
