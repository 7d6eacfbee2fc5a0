"""Chunks of chat completions that call tools."""

from __future__ import annotations

from tests.support.fake_provider import chunk


def call_delta(
    index: int | None, arguments: str, call_id: str | None = None, name: str | None = None
) -> dict[str, object]:
    delta: dict[str, object] = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        delta["index"] = index
    if call_id is not None:
        delta |= {"id": call_id, "type": "function"}
    return delta


def calls_chunk(*deltas: dict[str, object]) -> bytes:
    return chunk({"tool_calls": deltas})
