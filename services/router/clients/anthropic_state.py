"""The opaque state of reasoning: what the messages API wants back with a thinking block.

The text is not repeated in the state: it is that of the reasoning.
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.content.model import Reasoning


class _Thinking(msgspec.Struct, tag="thinking"):
    """``signature`` is empty where the server signs nothing."""

    signature: str = ""


class _Redacted(msgspec.Struct, tag="redacted_thinking"):
    data: str


_DECODER = msgspec.json.Decoder(_Thinking | _Redacted)


def thinking_state(signature: str) -> bytes:
    return msgspec.json.encode(_Thinking(signature))


def redacted_state(data: str) -> bytes:
    return msgspec.json.encode(_Redacted(data))


def block_of(reasoning: Reasoning, provider_id: str) -> dict[str, Any] | None:
    """The block to send back; None for reasoning of another provider or without a state.

    Reasoning without a state broke off: the API takes it for changed.
    """
    if reasoning.provider_id != provider_id:
        return None
    try:
        state = _DECODER.decode(reasoning.opaque_state)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if isinstance(state, _Redacted):
        return {"type": "redacted_thinking", "data": state.data}
    return {"type": "thinking", "thinking": reasoning.text, "signature": state.signature}
