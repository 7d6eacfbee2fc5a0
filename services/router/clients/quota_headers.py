"""Reads the rate windows of a provider from the headers of an answer.

``x-ratelimit-{limit,remaining,reset}-KIND`` of OpenAI and many others, without kind of OpenRouter;
``anthropic-ratelimit-KIND-{limit,remaining,reset}``; ``ratelimit`` with ``ratelimit-policy``, and
``ratelimit-{limit,remaining,reset}``, of the IETF's drafts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from services.router.clients.retry_hints import MAX_RETRY_AFTER_S, duration_s, until_instant_s
from services.router.core.quota_windows import MAX_WINDOWS, QuotaWindow

# Where the provider does not say what is limited.
REQUESTS = "requests"
MAX_KIND_CHARS = 64

_NAME = re.compile(
    r"(?P<source>x-ratelimit|anthropic(?:-priority)?-ratelimit|ratelimit)"
    r"(?:-(?P<before>.+))?-(?P<what>limit|remaining|reset)(?:-(?P<after>.+))?"
)
_ITEM = re.compile(r'"(?P<kind>[^"]+)"(?P<parameters>[^",]*)')
_PARAMETER = re.compile(r";\s*(?P<name>[qrt])=(?P<value>\d{1,19})")
_WHAT = {"q": "limit", "r": "remaining", "t": "reset"}
# Smaller numbers are seconds from now, larger ones instants: those of milliseconds begin in 1973.
_FIRST_INSTANT_S = 1e9
_FIRST_INSTANT_MS = 1e11
_MAX_COUNT = 2**63 - 1

_Values = dict[str, str]


def quota_windows(headers: Mapping[str, str], now: datetime) -> tuple[QuotaWindow, ...]:
    """The windows of which something is known, at most 16."""
    found: dict[tuple[str, str], _Values] = {}
    for source, kind, what, value in _told({k.lower(): v for k, v in headers.items()}):
        found.setdefault((source, kind[:MAX_KIND_CHARS]), {})[what] = value
    windows = (_window(source, kind, values, now) for (source, kind), values in found.items())
    return tuple(filter(None, windows))[:MAX_WINDOWS]


def _told(headers: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Source, kind, what is told of it, and the value."""
    for header, value in headers.items():
        if "ratelimit" not in header:
            continue
        if header in {"ratelimit", "ratelimit-policy"}:
            yield from _items(value)
        elif name := _NAME.fullmatch(header):
            kind = name["before"] or name["after"] or REQUESTS
            yield name["source"], kind, name["what"], value


def _items(value: str) -> Iterator[tuple[str, str, str, str]]:
    for item in _ITEM.finditer(value):
        for parameter in _PARAMETER.finditer(item["parameters"]):
            yield "ratelimit", item["kind"], _WHAT[parameter["name"]], parameter["value"]


def _window(source: str, kind: str, values: _Values, now: datetime) -> QuotaWindow | None:
    limit, remaining = _count(values.get("limit")), _count(values.get("remaining"))
    reset_at = _instant(values.get("reset", ""), now)
    if limit is None and remaining is None and reset_at is None:
        return None
    return QuotaWindow(kind, limit, remaining, reset_at, source)


def _count(text: str | None) -> int | None:
    """None for what is no number, and for -1, with which Azure says that it does not know."""
    number = _number(re.split("[,;]", text or "", maxsplit=1)[0])
    return math.ceil(number) if number is not None and 0 <= number <= _MAX_COUNT else None


def _instant(text: str, now: datetime) -> datetime | None:
    """None for what cannot be read, and for what is too far away to be meant."""
    text, number = text.strip(), _number(text)
    if number is None:
        left_s = duration_s(text) if text[-1:].isalpha() else None
        left_s = until_instant_s(text, now) if left_s is None else left_s
    elif number < _FIRST_INSTANT_S:
        left_s = number
    else:
        instant_s = number if number < _FIRST_INSTANT_MS else number / 1000
        left_s = max(0.0, instant_s - now.timestamp())
    if left_s is None or not 0 <= left_s <= MAX_RETRY_AFTER_S:
        return None
    return now + timedelta(seconds=left_s)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
