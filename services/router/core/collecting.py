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
    StreamReset,
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
    """With one more item; a reset discards what came before, and what has no content of its own
    changes nothing.
    """
    content = collected.content
    match item:
        case TextDelta(text):
            collected = replace(collected, content=content.add_text(text))
        case ReasoningDelta(text, provider_id, state):
            piece = Reasoning(text, provider_id, state)
            collected = replace(collected, content=content.add_reasoning(piece))
        case ToolCallReady(call=call):
            collected = replace(collected, content=content.add_call(call))
        case UsageReport(usage):
            collected = replace(collected, usage=usage)
        case StreamReset():
            collected = Collected()
        case Finished(reason, decision):
            collected = replace(collected, finish_reason=reason, decision=decision)
        case _:
            pass
    return collected
