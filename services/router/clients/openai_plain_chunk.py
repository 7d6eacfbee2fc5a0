"""Decodes what nearly all chunks of a chat completion are: the vendor's form of a piece of text.

It takes a third of the time of reading a chunk of any form. What differs in anything that could
matter is no plain chunk.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from services.router.clients.json_leaves import UNDECODABLE


class _Delta(msgspec.Struct, forbid_unknown_fields=True):
    content: str
    role: Any = None
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: None = None
    function_call: None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    delta: _Delta
    index: Literal[0] = 0
    finish_reason: None = None
    logprobs: Any = None
    content_filter_results: Any = None


class _Chunk(msgspec.Struct):
    object: Literal["chat.completion.chunk"]
    choices: tuple[_Choice]
    id: str = ""
    error: None = None
    usage: None = None
    type: None = None
    x_groq: None = None
    base_resp: None = None


_DECODER = msgspec.json.Decoder(_Chunk)


def plain_text(data: bytes) -> tuple[str, str] | None:
    """The id and the text of a plain chunk; None for any other, and for what is no chunk."""
    try:
        chunk = _DECODER.decode(data)
    except UNDECODABLE:
        return None
    return chunk.id, chunk.choices[0].delta.content
