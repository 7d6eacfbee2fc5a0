"""Reads when to repeat a request from the headers and the body of a refusal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Longer hints are ignored; the largest would not fit a Duration.
MAX_RETRY_AFTER_S = 366 * 86_400.0

_UNITS_S: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PIECE.pattern})+")
_RESET = "x-ratelimit-reset-"
_REMAINING = re.compile(r"(?:anthropic(?:-priority)?|x)-ratelimit-(?:.+-)?remaining(?:-.+)?")


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The provider's hint when to repeat: ``retry-after-ms``, else ``retry-after`` in seconds or as
    a date. None for negative, infinite, too long or malformed values.
    """
    text = headers.get("retry-after")
    millis = _number(headers.get("retry-after-ms"))
    hints = (None if millis is None else millis / 1000, _number(text), _until(text, now))
    return next((s for s in hints if s is not None and s <= MAX_RETRY_AFTER_S), None)


def window_reset_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """When the last of the exhausted rate windows is reset, of those whose ``remaining`` is 0.

    ``anthropic-ratelimit-*-reset`` has an instant of RFC 3339, ``x-ratelimit-reset-*`` a duration
    such as ``6m0s``. Of windows that come without ``remaining`` it may be any: the first counts.
    """
    exhausted = max(_resets(headers, now), default=None)
    return min(_lone_resets(headers), default=None) if exhausted is None else exhausted


def duration_s(text: object) -> float | None:
    """Seconds of a duration such as ``26s`` or ``1m0.5s``; None for anything else."""
    if not isinstance(text, str) or len(text) > 64 or not _DURATION.fullmatch(text):
        return None
    seconds = sum(float(count) * _UNITS_S[unit] for count, unit in _PIECE.findall(text))
    return seconds if seconds <= MAX_RETRY_AFTER_S else None


def _resets(headers: Mapping[str, str], now: datetime) -> Iterator[float]:
    for name, value in headers.items():
        if not _REMAINING.fullmatch(name.lower()) or _number(value) != 0:
            continue
        text = headers.get(name.lower().replace("remaining", "reset"))
        seconds = duration_s(text) if text and text[-1:].isalpha() else None
        if seconds is None:
            seconds = _until_instant(text, now)
        if seconds is not None and seconds <= MAX_RETRY_AFTER_S:
            yield seconds


def _lone_resets(headers: Mapping[str, str]) -> Iterator[float]:
    for name, value in headers.items():
        low = name.lower()
        if low.startswith(_RESET) and low.replace("reset", "remaining") not in headers:
            seconds = duration_s(value)
            if seconds is not None:
                yield seconds


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


def _until_instant(text: str | None, now: datetime) -> float | None:
    try:
        return _seconds_until(datetime.fromisoformat((text or "").upper()), now)
    except ValueError:
        return None


def _seconds_until(instant: datetime, now: datetime) -> float:
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return max(0.0, (instant - now).total_seconds())
