"""Events of an Anthropic messages stream, as the vendor writes them.

An answer is ``[start(), *text_block(0, "Hel", "lo"), *end()]``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

MESSAGE_ID = "msg_1"
USAGE = {
    "input_tokens": 9,
    "cache_creation_input_tokens": 2,
    "cache_read_input_tokens": 3,
    "output_tokens": 1,
}


def named(kind: str, /, **fields: object) -> bytes:
    """An event with its name, and the name again as its type."""
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def start(**fields: object) -> bytes:
    """``message_start``; ``fields`` are of its message."""
    message = {
        "id": MESSAGE_ID,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "usage": USAGE,
        **fields,
    }
    return named("message_start", message=message)


def block(index: int, content: Mapping[str, object], *deltas: Mapping[str, object]) -> list[bytes]:
    """A content block: its start, its deltas and its stop."""
    return [
        named("content_block_start", index=index, content_block=content),
        *(named("content_block_delta", index=index, delta=delta) for delta in deltas),
        named("content_block_stop", index=index),
    ]


def text_block(index: int, *pieces: str) -> list[bytes]:
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return block(index, {"type": "text", "text": ""}, *deltas)


def thinking_block(index: int, signature: str, *pieces: str) -> list[bytes]:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    signed = {"type": "signature_delta", "signature": signature}
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signed)


def call_block(index: int, call_id: str, name: str, *fragments: str) -> list[bytes]:
    deltas = [{"type": "input_json_delta", "partial_json": each} for each in ("", *fragments)]
    return block(index, {"type": "tool_use", "id": call_id, "name": name, "input": {}}, *deltas)


def end(reason: object = "end_turn", **usage: object) -> list[bytes]:
    """``message_delta`` with the reason and the counts, and ``message_stop``."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    counts = usage or {"output_tokens": 4}
    return [named("message_delta", delta=delta, usage=counts), named("message_stop")]


PING = named("ping")
