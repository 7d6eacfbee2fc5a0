"""Maps errors of HTTP providers to failure classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from services.router.core.failures import Failure, FailureClass

MAX_DETAIL_CHARS = 500
# Longer hints are ignored; the largest would not fit a Duration.
MAX_RETRY_AFTER_S = 366 * 86_400.0

# The caller can correct these, so it gets the text of the provider.
_WITH_DETAIL = frozenset({FailureClass.INVALID_REQUEST, FailureClass.CONTEXT_LENGTH})
_OF_STATUS: Mapping[int, FailureClass] = {
    401: FailureClass.AUTH,
    402: FailureClass.PAYMENT,
    403: FailureClass.PERMISSION,
    404: FailureClass.NOT_FOUND,
    408: FailureClass.SERVER_ERROR,
    409: FailureClass.SERVER_ERROR,
    413: FailureClass.CONTEXT_LENGTH,
    429: FailureClass.RATE_LIMIT,
    503: FailureClass.OVERLOADED,
    529: FailureClass.OVERLOADED,
}
_OF_CODE: Mapping[str, FailureClass] = {
    "authentication_error": FailureClass.AUTH,
    "invalid_api_key": FailureClass.AUTH,
    "permission_error": FailureClass.PERMISSION,
    "not_found_error": FailureClass.NOT_FOUND,
    "model_not_found": FailureClass.NOT_FOUND,
    "billing_error": FailureClass.PAYMENT,
    "billing_hard_limit_reached": FailureClass.PAYMENT,
    "credit_balance_exhausted": FailureClass.PAYMENT,
    "insufficient_quota": FailureClass.QUOTA_EXHAUSTED,
    "rate_limit_error": FailureClass.RATE_LIMIT,
    "rate_limit_exceeded": FailureClass.RATE_LIMIT,
    "tokens": FailureClass.RATE_LIMIT,
    "requests": FailureClass.RATE_LIMIT,
    "overloaded": FailureClass.OVERLOADED,
    "overloaded_error": FailureClass.OVERLOADED,
    "server_overloaded": FailureClass.OVERLOADED,
    "context_length_exceeded": FailureClass.CONTEXT_LENGTH,
    "request_too_large": FailureClass.CONTEXT_LENGTH,
    "content_filter": FailureClass.CONTENT_POLICY,
    "content_policy_violation": FailureClass.CONTENT_POLICY,
}
_CONTEXT_TEXTS = (
    "context length",
    "context size",
    "context window",
    "context_length",
    "input is too long",
    "prompt is too long",
    "reduce the length",
    "too many tokens",
)


class ErrorBody(msgspec.Struct):
    """An error body: ``{"error": {…}}``, ``{"error": "…"}``, or the fields at the top."""

    error: Any = None
    object: Any = None
    message: Any = None
    type: Any = None
    code: Any = None


_DECODER = msgspec.json.Decoder(ErrorBody)
# What decoding raises; RecursionError for JSON that is nested too deeply.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def failure_of_response(
    status: int, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], now: datetime
) -> Failure:
    """The failure behind an answer with an error status.

    Args:
        headers: A mapping whose look-up ignores case.
        secrets: Masked in the detail, in case the provider repeats them.
    """
    try:
        facts = _facts(_DECODER.decode(body))
    except UNDECODABLE:
        facts = _Facts("", "", None)
    kind = _kind(status, facts)
    detail = _masked(facts.message, secrets) if kind in _WITH_DETAIL else ""
    return Failure(kind, status, retry_after_s(headers, now), detail)


def failure_in_stream(error: ErrorBody, secrets: tuple[str, ...]) -> Failure | None:
    """The failure behind an event of a stream; None when the event is no error."""
    if error.error is None and error.object != "error":
        return None
    facts = _facts(error)
    kind = _kind(facts.status or 500, facts)
    detail = _masked(facts.message, secrets) if kind in _WITH_DETAIL else ""
    return Failure(kind, facts.status or 0, None, detail)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The provider's hint when to repeat: ``retry-after-ms``, else ``retry-after`` in seconds or as
    a date. None for negative, infinite, too long or malformed values.
    """
    text = headers.get("retry-after")
    millis = _number(headers.get("retry-after-ms"))
    hints = (None if millis is None else millis / 1000, _number(text), _until(text, now))
    return next((s for s in hints if s is not None and s <= MAX_RETRY_AFTER_S), None)


class _Facts(msgspec.Struct):
    """Attributes: ``codes`` joined by spaces, lower case; ``status`` when the code is a number."""

    codes: str
    message: str
    status: int | None


def _facts(body: ErrorBody) -> _Facts:
    inner = body.error if body.error is not None else body.message
    code, kind, message = body.code, body.type, inner
    if isinstance(inner, dict):
        code, kind, message = inner.get("code"), inner.get("type"), inner.get("message")
    status = _status(code)
    codes = " ".join(text.lower() for text in (code, kind) if isinstance(text, str))
    return _Facts(codes, message if isinstance(message, str) else "", status)


def _status(code: object) -> int | None:
    if isinstance(code, str) and len(code) == 3 and code.isdecimal():
        code = int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _kind(status: int, facts: _Facts) -> FailureClass:
    for code in facts.codes.split():
        if code in _OF_CODE:
            return _OF_CODE[code]
    text = f"{facts.codes} {facts.message}".lower()
    if status in {400, 422, 500} and any(phrase in text for phrase in _CONTEXT_TEXTS):
        return FailureClass.CONTEXT_LENGTH
    if "invalid_request" in facts.codes and status >= 500:
        return FailureClass.INVALID_REQUEST
    if status in _OF_STATUS:
        return _OF_STATUS[status]
    return FailureClass.INVALID_REQUEST if 400 <= status < 500 else FailureClass.SERVER_ERROR


def _masked(message: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        message = message.replace(secret, "***")
    printable = "".join(char if char.isprintable() else " " for char in message)
    return printable[:MAX_DETAIL_CHARS].strip()


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(text: str | None, now: datetime) -> float | None:
    try:
        instant = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return max(0.0, (instant - now).total_seconds())
