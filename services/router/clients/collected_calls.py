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
        """How many calls have a name."""
        return sum(bool(call.tool_id) for call in self._calls)

    def begin(self, call_id: str = "", tool_id: str = "") -> int:
        """Add a call; returns its number. Without a tool it tells nothing until ``name``."""
        self._calls.append(_Call(call_id, tool_id))
        return len(self._calls) - 1

    def name(self, index: int, call_id: str, tool_id: str, items: list[UpstreamItem]) -> None:
        """Name a call that has none, and append what it has to tell."""
        call = self._calls[index]
        if not call.tool_id:
            call.call_id, call.tool_id = call_id, tool_id
            self._tell(index, "", items)

    def tool_id(self, index: int) -> str:
        return self._calls[index].tool_id

    def arguments(self, index: int) -> str:
        """As far as they were collected."""
        return "".join(self._calls[index].arguments)

    def has_arguments(self, index: int) -> bool:
        return self._calls[index].chars > 0

    def is_closed(self, index: int) -> bool:
        """Whether the arguments are at the end of their object."""
        return self._calls[index].is_closed()

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
        if call.tool_id:
            self._tell(index, fragment, items)

    def ready(self, items: list[UpstreamItem], *, is_cut: bool = False) -> None:
        """Append the complete calls.

        Args:
            is_cut: The output limit ended the answer: what is not whole is left out.

        Raises:
            UpstreamError: The arguments of a call are two values, one after the other, or belong to
                no tool.
        """
        complete: list[UpstreamItem] = []
        for index, call in enumerate(self._calls):
            arguments = "".join(call.arguments)
            followed = index + 1 < len(self._calls) and not arguments
            if is_cut and not followed and not _is_json(arguments):
                continue
            if _is_doubled(arguments) or (arguments.strip() and not call.tool_id):
                raise UpstreamError(Failure(FailureClass.STREAM_MALFORMED))
            if call.tool_id:
                ready = ToolCall(call.call_id, call.tool_id, arguments or "{}")
                complete.append(ToolCallReady(index, ready))
        items += complete

    def _tell(self, index: int, fragment: str, items: list[UpstreamItem]) -> None:
        call = self._calls[index]
        if not call.told:
            call.told = True
            so_far = "".join(call.arguments)
            items.append(ToolCallDelta(index, so_far, call.call_id, call.tool_id))
        elif fragment:
            items.append(ToolCallDelta(index, fragment))


class _Call:
    """Attributes: ``depth`` is that of ``scanned`` fragments, in objects and lists."""

    __slots__ = (
        "arguments",
        "call_id",
        "chars",
        "closed",
        "depth",
        "escaped",
        "quoted",
        "scanned",
        "told",
        "tool_id",
    )

    def __init__(self, call_id: str, tool_id: str) -> None:
        self.call_id = call_id
        self.tool_id = tool_id
        self.arguments: list[str] = []
        self.chars = 0
        self.told = False
        self.scanned = 0
        self.depth = 0
        self.quoted = self.escaped = self.closed = False

    def is_closed(self) -> bool:
        """Each fragment is looked at once, however often this is asked."""
        for fragment in self.arguments[self.scanned :]:
            for char in fragment:
                self._scan(char)
        self.scanned = len(self.arguments)
        return self.closed

    def _scan(self, char: str) -> None:
        if self.escaped:
            self.escaped = False
        elif self.quoted:
            self.escaped = char == "\\"
            self.quoted = char != '"'
        elif char == '"':
            self.quoted = True
        elif char in "{[":
            self.depth += 1
        elif char in "}]":
            self.depth -= 1
            self.closed = self.closed or self.depth == 0


def _is_json(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True


def _is_doubled(arguments: str) -> bool:
    """Whether an object is followed by more than blanks."""
    try:
        value, end = _DECODER.raw_decode(arguments.lstrip())
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool(arguments.lstrip()[end:].strip())
