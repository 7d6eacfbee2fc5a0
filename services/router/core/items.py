"""Items of a stream, from an adapter to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.content.model import FinishReason, ToolCall, Usage
from services.router.core.decision import RouteDecision
from services.router.core.failures import FailureClass
from services.router.core.quota_windows import QuotaWindow

# Text that is this long gets no more from the same read, so that joining stays cheap.
MAX_JOINED_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Opened:
    """The provider accepted the request. Adapters send it first; it is not sent to callers.

    Attributes:
        upstream_model: The model that answers, as the provider names it; empty when it does not.
        windows: What the answer tells of the provider's limits.
    """

    response_id: str = ""
    upstream_model: str = ""
    windows: tuple[QuotaWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More reasoning; only the provider ``provider_id`` can read ``opaque_state``."""

    text: str
    provider_id: str = ""
    opaque_state: bytes = b""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of the call number ``index``; only its first delta has the ids."""

    index: int
    arguments_json: str = ""
    call_id: str = ""
    tool_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallReady:
    index: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Tokens of the answer so far."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete.

    Attributes:
        decision: How the call was routed; adapters leave it to the engine.
    """

    reason: FinishReason
    decision: RouteDecision | None = None


@dataclass(frozen=True, slots=True)
class Started:
    decision: RouteDecision
    response_id: str


@dataclass(frozen=True, slots=True)
class StreamReset:
    """What was sent does not count: after ``reason`` another member starts the answer over."""

    reason: FailureClass
    decision: RouteDecision
    response_id: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The answer broke off.

    Attributes:
        committed_bytes: UTF-8 length of the text that was sent since the start or the last reset.
        resumable: A repeat may succeed.
    """

    reason: FailureClass
    partial_usage: Usage | None
    committed_bytes: int
    resumable: bool
    decision: RouteDecision


# What an adapter yields, and what a caller receives.
UpstreamItem: TypeAlias = (
    Opened | TextDelta | ReasoningDelta | ToolCallDelta | ToolCallReady | UsageReport | Finished
)
Item: TypeAlias = (
    Started
    | TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | ToolCallReady
    | UsageReport
    | StreamReset
    | Finished
    | Interrupted
)


def add_text(text: str, items: list[UpstreamItem]) -> None:
    """Append text to what one read has brought: its deltas in a row are one item.

    An item costs the router, gRPC and the caller the same, however little it says.
    """
    last = items[-1] if items else None
    if isinstance(last, TextDelta) and len(last.text) < MAX_JOINED_CHARS:
        items[-1] = TextDelta(last.text + text)
    else:
        items.append(TextDelta(text))


def commits(item: UpstreamItem) -> bool:
    """Whether the item is content; once sent, no other member takes over unseen."""
    return not isinstance(item, Opened | UsageReport)


def size_bytes(item: UpstreamItem | Item) -> int:
    """The approximate size of the item in a message."""
    match item:
        case Opened(response_id, upstream_model):
            return len(response_id) + len(upstream_model) + 64
        case TextDelta(text):
            return len(text) + 8
        case ReasoningDelta(text, _, state):
            return len(text) + len(state) + 16
        case ToolCallDelta(arguments_json=arguments):
            return len(arguments) + 32
        case ToolCallReady(call=call):
            return len(call.arguments_json) + 64
        case _:
            return 64
