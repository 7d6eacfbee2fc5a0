"""Read an answer of either dialect from its bytes, in given pieces."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from services.content.model import FinishReason, Usage
from services.router.clients.anthropic_answer import AnthropicReader
from services.router.clients.event_stream import AnswerReader, EventStream
from services.router.clients.openai_answer import OpenAiReader
from services.router.core.failures import FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallReady,
    UpstreamItem,
    UsageReport,
)
from tests.support.clock import ManualClock
from tests.support.joined_text import join

TOOL_IDS = {"get_weather": "weather/get", "get_time": "get_time"}


@dataclass(frozen=True)
class Answer:
    """What an answer came to: ``finish`` if it ended well, else ``failure``."""

    items: tuple[UpstreamItem, ...]
    failure: FailureClass | None

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, TextDelta))

    @property
    def thinking(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, ReasoningDelta))

    @property
    def states(self) -> list[bytes]:
        pieces = [item for item in self.items if isinstance(item, ReasoningDelta)]
        return [piece.opaque_state for piece in pieces if piece.opaque_state]

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        ready = [item.call for item in self.items if isinstance(item, ToolCallReady)]
        return [(call.call_id, call.tool_id, call.arguments_json) for call in ready]

    @property
    def finish(self) -> FinishReason | None:
        return next((item.reason for item in self.items if isinstance(item, Finished)), None)

    @property
    def usage(self) -> Usage | None:
        reports = [item.usage for item in self.items if isinstance(item, UsageReport)]
        return reports[-1] if reports else None

    @property
    def response_id(self) -> str:
        return next((item.response_id for item in self.items if isinstance(item, Opened)), "")


class _Pieces:
    """Implements ``Body``."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._left = deque(piece for piece in pieces if piece)

    async def readany(self) -> bytes:
        return self._left.popleft() if self._left else b""


async def messages_answer(*pieces: bytes, earlier_ids: Iterable[str] = ()) -> Answer:
    return await _read(AnthropicReader("claude", TOOL_IDS, set(earlier_ids), 40, ()), pieces)


async def chat_answer(*pieces: bytes, earlier_ids: Iterable[str] = ()) -> Answer:
    return await _read(OpenAiReader("vllm", TOOL_IDS, set(earlier_ids), 40, ()), pieces)


async def _read(reader: AnswerReader, pieces: Iterable[bytes]) -> Answer:
    """Read to the end, or to the failure."""
    stream = EventStream(_Pieces(pieces), b"", reader, ManualClock())
    items: list[UpstreamItem] = []
    try:
        while not items or not isinstance(items[-1], Finished):
            join(await stream.read(), items)
    except UpstreamError as error:
        return Answer(tuple(items), error.failure.kind)
    return Answer(tuple(items), None)


def cut(stream: bytes, cuts: Iterable[float]) -> list[bytes]:
    """The stream in pieces; a cut is a share of its length, 0 to 1."""
    places = sorted(math.floor(share * len(stream)) for share in cuts)
    return [stream[a:b] for a, b in pairwise([0, *places, len(stream)])]
