"""The message of an assistant, assembled from the pieces of a streamed answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.content.model import Message, Part, Reasoning, Role, Text, ToolCall


@dataclass(frozen=True, slots=True)
class PartialMessage:
    """What has arrived so far."""

    text: str = ""
    reasoning: tuple[Reasoning, ...] = ()
    calls: tuple[ToolCall, ...] = ()

    def add_text(self, text: str) -> PartialMessage:
        return replace(self, text=self.text + text)

    def add_call(self, call: ToolCall) -> PartialMessage:
        return replace(self, calls=(*self.calls, call))

    def add_reasoning(self, piece: Reasoning) -> PartialMessage:
        """Join it to the last reasoning if that is the same provider's and not sealed."""
        last = self.reasoning[-1] if self.reasoning else None
        if last is None or last.opaque_state or last.provider_id != piece.provider_id:
            return replace(self, reasoning=(*self.reasoning, piece))
        joined = replace(piece, text=last.text + piece.text)
        return replace(self, reasoning=(*self.reasoning[:-1], joined))

    def message(self) -> Message:
        """With a single empty text when there is no content."""
        text: tuple[Part, ...] = (Text(self.text),) if self.text or not self.calls else ()
        return Message(Role.ASSISTANT, (*self.reasoning, *text, *self.calls))
