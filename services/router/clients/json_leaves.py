"""Reads values of foreign JSON leniently: what has a sibling type is taken for what it means."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

# What decoding raises; RecursionError for JSON that is nested too deeply.
UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)

MAX_LEVELS = 16


def decoded(data: bytes) -> Any:
    """The value of a JSON text; bytes that are no UTF-8 and lone surrogates become U+FFFD.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = json.loads(data.decode("utf-8", "replace"), strict=False)
    text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(text.decode("utf-16", "replace"))


def object_in(value: Any) -> dict[str, Any]:
    """An object, or the only one of a list; empty for anything else."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return value if isinstance(value, dict) else {}


def all_objects_in(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; one object counts as a list of one."""
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; one object counts as a list of one, a text as a part of that text."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield each
        elif isinstance(each, str):
            yield {"type": "text", "text": each}


def text_in(value: Any, levels: int = MAX_LEVELS) -> str:
    """A text, a number as text, the joined texts of parts; empty for anything else.

    Args:
        levels: How deep parts may lie within parts.
    """
    match value:
        case str():
            return value
        case bool():
            return ""
        case int() | float():
            return str(value)
        case list() if levels:
            return "".join(text_in(each, levels - 1) for each in value)
        case {"text": inner} if levels:
            return text_in(inner, levels - 1)
        case _:
            return ""


def count_in(value: Any) -> int | None:
    """A count that is not negative, also as text; None for anything else."""
    if type(value) is int:
        return value if 0 <= value < 1 << 63 else None
    if isinstance(value, str) and len(value) <= 20:
        value = int(value) if value.strip().isdecimal() else None
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def json_text_in(value: Any) -> str:
    """JSON text: a text as it is, an object serialised; empty for null and what is empty."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode() if value else ""
