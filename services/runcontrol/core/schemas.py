"""The digest of a tool's argument schema, by which workers and runs name it.

``ServedTool.schema_digest`` of the contract defines it; ``runyard_worker`` computes the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from decimal import Decimal
from functools import lru_cache
from typing import Any

# Of a number without an exponent: digits before the point, and the place of the first one after it.
_MOST_DIGITS = 21
_LEAST_POINT = -6


@lru_cache(maxsize=1024)
def schema_digest(json_schema: str) -> str:
    """SHA-256 of a schema in hexadecimal; empty for a text that RFC 8785 has no form for."""
    try:
        return hashlib.sha256(_written(json.loads(json_schema or "{}")).encode()).hexdigest()
    except (ValueError, OverflowError, RecursionError):
        return ""


def _written(value: Any) -> str:
    """A JSON value in the form of RFC 8785."""
    if isinstance(value, dict):
        # By UTF-16 code units, as JavaScript sorts.
        names = sorted(value, key=lambda name: str(name).encode("utf-16-be"))
        return "{" + ",".join(f"{_written(name)}:{_written(value[name])}" for name in names) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(float(value))
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """A number as JavaScript writes it: the fewest digits that read back as the same number."""
    if not math.isfinite(value):
        raise ValueError("JSON has no such number")
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    minus = "-" if sign and value else ""
    point = len(text) + int(exponent)
    if not value:
        return "0"
    if len(text) <= point <= _MOST_DIGITS:
        return minus + text.ljust(point, "0")
    if 0 < point <= _MOST_DIGITS:
        return f"{minus}{text[:point]}.{text[point:]}"
    if _LEAST_POINT < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
    return f"{minus}{mantissa}e{point - 1:+d}"
