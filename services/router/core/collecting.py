"""The answer that ``Generate`` returns: the items of a stream in one message."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.content.assembling import PartialMessage
from services.content.model import FinishReason, Reasoning, Usage
from services.router.core.decision import RouteDecision
from services.router.core.items import (
    Finished,
    Item,
    ReasoningDelta,
    TextDelta,
    ToolCallReady,
    UsageReport,
)


@dataclass(frozen=True, slots=True)
class Collected:
    """What has arrived so far; ``finish_reason`` is set once it is complete.

    Attributes:
        decision: How the call was routed; set with ``finish_reason``.
    """

    content: PartialMessage = field(default_factory=PartialMessage)
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    decision: RouteDecision | None = None


def collect(collected: Collected, item: Item) -> Collected:
    """With one more item; those without content of their own change nothing."""
    content = collected.content
    match item:
        case TextDelta(text):
            return replace(collected, content=content.add_text(text))
        case ReasoningDelta(text, provider_id, state):
            piece = Reasoning(text, provider_id, state)
            return replace(collected, content=content.add_reasoning(piece))
        case ToolCallReady(call=call):
            return replace(collected, content=content.add_call(call))
        case UsageReport(usage):
            return replace(collected, usage=usage)
        case Finished(reason, decision):
            return replace(collected, finish_reason=reason, decision=decision)
        case _:
            return collected
