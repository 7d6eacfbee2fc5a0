"""The opaque state of reasoning: what a chat completions server wants back, and where.

Servers differ in the field that has their reasoning. A state says which one it was, so that the
text goes back under the same name; the text itself is that of the reasoning. What a server attaches
to a call of a tool is kept as it came, by the id of the call.
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.content.model import Message, Reasoning

# In place of a field, reasoning that was a part of the content.
THINKING_PART = "content"


class _Said(msgspec.Struct, tag="chat_reasoning"):
    """Reasoning in a field of the message."""

    field: str


class _OfCall(msgspec.Struct, tag="chat_call"):
    call_id: str
    extra_content: dict[str, Any]


_DECODER = msgspec.json.Decoder(_Said | _OfCall)


def reasoning_state(field: str) -> bytes:
    return msgspec.json.encode(_Said(field))


def call_state(call_id: str, extra_content: dict[str, Any]) -> bytes:
    return msgspec.json.encode(_OfCall(call_id, extra_content))


class OwnReasoning:
    """The reasoning of a message that its provider can read; all other is left out.

    Attributes:
        fields: Text by the field that it was said in.
        extra_content: By the id of a call.
    """

    def __init__(self, message: Message, provider_id: str) -> None:
        self.fields: dict[str, str] = {}
        self.extra_content: dict[str, dict[str, Any]] = {}
        for part in message.parts:
            if isinstance(part, Reasoning) and part.provider_id == provider_id:
                self._add(part)

    def _add(self, part: Reasoning) -> None:
        try:
            state = _DECODER.decode(part.opaque_state)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if isinstance(state, _OfCall):
            self.extra_content[state.call_id] = state.extra_content
        else:
            self.fields[state.field] = self.fields.get(state.field, "") + part.text
