"""Reads when to repeat a request from the headers of a refusal, and such times in any form."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Longer hints are ignored; the largest would not fit a Duration.
MAX_RETRY_AFTER_S = 366 * 86_400.0

_UNITS_S: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PIECE.pattern})+")


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The provider's hint when to repeat: ``retry-after-ms``, else ``retry-after`` in seconds or as
    a date. None for negative, infinite, too long or malformed values.
    """
    text = headers.get("retry-after")
    millis = _number(headers.get("retry-after-ms"))
    hints = (None if millis is None else millis / 1000, _number(text), _until(text, now))
    return next((s for s in hints if s is not None and s <= MAX_RETRY_AFTER_S), None)


def duration_s(text: object) -> float | None:
    """Seconds of a duration such as ``26s`` or ``1m0.5s``; None for anything else."""
    if not isinstance(text, str) or len(text) > 64 or not _DURATION.fullmatch(text):
        return None
    seconds = sum(float(count) * _UNITS_S[unit] for count, unit in _PIECE.findall(text))
    return seconds if seconds <= MAX_RETRY_AFTER_S else None


def until_instant_s(text: str, now: datetime) -> float | None:
    """Seconds until an instant of RFC 3339, 0 for one that has passed; None for anything else."""
    try:
        return _seconds_until(datetime.fromisoformat(text.upper()), now)
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(text: str | None, now: datetime) -> float | None:
    try:
        return _seconds_until(parsedate_to_datetime(text or ""), now)
    except ValueError:
        return None


def _seconds_until(instant: datetime, now: datetime) -> float:
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return max(0.0, (instant - now).total_seconds())
