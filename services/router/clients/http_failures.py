"""Maps errors of HTTP providers to failure classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from services.router.clients.credentials import masked
from services.router.clients.error_facts import (
    ErrorBody,
    ErrorFacts,
    error_body_of,
    error_facts,
)
from services.router.clients.json_leaves import MAX_LEVELS, UNDECODABLE, decoded
from services.router.clients.quota_headers import quota_windows
from services.router.clients.retry_hints import retry_after_s
from services.router.core.failures import QUOTA, Failure, FailureClass
from services.router.core.quota_windows import refused_until

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
    # Groq's "capacity exceeded".
    498: FailureClass.OVERLOADED,
    503: FailureClass.OVERLOADED,
    529: FailureClass.OVERLOADED,
}
_OF_CODE: Mapping[str, FailureClass] = {
    "authentication_error": FailureClass.AUTH,
    "invalid_api_key": FailureClass.AUTH,
    "api_key_invalid": FailureClass.AUTH,
    "permission_error": FailureClass.PERMISSION,
    "not_found_error": FailureClass.NOT_FOUND,
    "model_not_found": FailureClass.NOT_FOUND,
    "billing_error": FailureClass.PAYMENT,
    "billing_hard_limit_reached": FailureClass.PAYMENT,
    "credit_balance_exhausted": FailureClass.PAYMENT,
    "enforced_spend_limit_reached": FailureClass.PAYMENT,
    "insufficient_balance_error": FailureClass.PAYMENT,
    # Zhipu: 1113 is an account in arrears, 1302 its rate limit, 1305 a model with too many users.
    "1113": FailureClass.PAYMENT,
    "insufficient_quota": FailureClass.QUOTA_EXHAUSTED,
    "rate_limit_error": FailureClass.RATE_LIMIT,
    "rate_limit_exceeded": FailureClass.RATE_LIMIT,
    "rate_limit_reached_error": FailureClass.RATE_LIMIT,
    "resource_exhausted": FailureClass.RATE_LIMIT,
    "1302": FailureClass.RATE_LIMIT,
    "tokens": FailureClass.RATE_LIMIT,
    "requests": FailureClass.RATE_LIMIT,
    "overloaded": FailureClass.OVERLOADED,
    "overloaded_error": FailureClass.OVERLOADED,
    "engine_overloaded_error": FailureClass.OVERLOADED,
    "server_overloaded": FailureClass.OVERLOADED,
    "capacity_exceeded": FailureClass.OVERLOADED,
    "1305": FailureClass.OVERLOADED,
    "context_length_exceeded": FailureClass.CONTEXT_LENGTH,
    "request_too_large": FailureClass.CONTEXT_LENGTH,
    "content_filter": FailureClass.CONTENT_POLICY,
    "content_policy_violation": FailureClass.CONTENT_POLICY,
    "data_inspection_failed": FailureClass.CONTENT_POLICY,
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Alibaba's codes: "Throttling.RateQuota" and others.
_THROTTLING = "throttling"
# Texts say what statuses and types of these kinds leave open.
_WITH_TEXT = frozenset({400, 403, 422, 500})
_OF_TEXT: tuple[tuple[FailureClass, tuple[str, ...]], ...] = (
    (
        FailureClass.PAYMENT,
        ("credit balance is too low", "insufficient balance", "insufficient credit"),
    ),
    (
        FailureClass.CONTEXT_LENGTH,
        (
            "context length",
            "context size",
            "context window",
            "context_length",
            "exceed context limit",
            "exceeds the maximum number of tokens allowed",
            "input is too long",
            "maximum prompt length is",
            "prompt is too long",
            "reduce the length",
            "too many tokens",
        ),
    ),
    (
        FailureClass.RATE_LIMIT,
        ("too many requests", "rate limit exceeded", "rate limit reached", "rate limited"),
    ),
)


def failure_of_response(
    status: int, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], now: datetime
) -> Failure:
    """The failure behind an answer with an error status.

    Args:
        headers: A mapping whose look-up ignores case.
        secrets: Masked in the detail, in case the provider repeats them.
    """
    facts = error_facts(_error_body(body))
    failure = _failure(status, headers, facts, secrets, now)
    page = body.decode("utf-8", "replace")
    return replace(failure, words=masked(facts.message or page, secrets))


def failure_of_document(
    body: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], now: datetime
) -> Failure | None:
    """The failure behind a JSON document with status 200; None when it is no error."""
    found = _error_body(body)
    if not _is_error(found):
        return None
    facts = error_facts(found)
    return _failure(facts.status or facts.named or 500, headers, facts, secrets, now)


def page_in_place_of_answer(page: bytes, secrets: tuple[str, ...]) -> Failure:
    """The failure behind HTML with status 200, of whatever stands before the provider."""
    words = masked(page.decode("utf-8", "replace"), secrets)
    return Failure(FailureClass.STREAM_MALFORMED, 200, words=words)


def class_of_status(status: int | None) -> FailureClass | None:
    """The class that an HTTP status alone says; None for one that says no more than 4xx or 5xx."""
    return None if status is None else _OF_STATUS.get(status)


def failure_in_stream(error: ErrorBody, secrets: tuple[str, ...]) -> Failure | None:
    """The failure behind an event of a stream; None when the event is no error."""
    if not _is_error(error):
        return None
    facts = error_facts(error)
    kind = _kind(facts.status or facts.named or 500, facts)
    words = masked(facts.message, secrets)
    detail = words if kind in _WITH_DETAIL else ""
    return Failure(kind, facts.status or 0, facts.retry_after_s, detail, words=words)


def _failure(
    status: int,
    headers: Mapping[str, str],
    facts: ErrorFacts,
    secrets: tuple[str, ...],
    now: datetime,
) -> Failure:
    kind, windows = _kind(status, facts), quota_windows(headers, now)
    hint_s = retry_after_s(headers, now)
    if hint_s is None:
        hint_s = facts.retry_after_s
    if hint_s is None and kind in QUOTA and (until := refused_until(windows)) is not None:
        hint_s = (until - now).total_seconds()
    words = masked(facts.message, secrets)
    detail = words if kind in _WITH_DETAIL else ""
    if status in _REDIRECTS:
        kind, detail = FailureClass.NOT_FOUND, _redirect(headers)
    repeatable = headers.get("x-should-retry", "").lower() != "false"
    return Failure(kind, status, hint_s, detail, repeatable, words, windows)


def _redirect(headers: Mapping[str, str]) -> str:
    """Names the target: redirects are not followed, since they would carry the credential along."""
    try:
        to = urlsplit(headers.get("location", ""))
        where = f"{to.scheme}://{to.hostname}{to.path}" if to.hostname else to.path
    except ValueError:
        where = ""
    return f"it redirects to {masked(where, ()) or 'nowhere'}; change its base_url"


def _error_body(raw: bytes) -> ErrorBody:
    """The error in a body; a body that is no JSON is the text of the error, unless it is HTML."""
    try:
        return error_body_of(decoded(raw))
    except UNDECODABLE:
        text = raw.decode("utf-8", "replace").strip()
        return ErrorBody(message="" if text.startswith(("<", "{", "[")) else text)


def _is_error(body: ErrorBody) -> bool:
    return _says_something(body.error) or body.object == "error" or body.type == "error"


def _says_something(value: Any, levels: int = MAX_LEVELS) -> bool:
    """Whether a value is more than what stands for none: some servers send empty errors."""
    match value:
        case dict() if levels:
            return any(_says_something(each, levels - 1) for each in value.values())
        case list() if levels:
            return any(_says_something(each, levels - 1) for each in value)
        case _:
            return bool(value)


def _kind(status: int, facts: ErrorFacts) -> FailureClass:
    if status == 413:
        # Also said of a request that alone exceeds a rate limit: a repeat is as large.
        return FailureClass.CONTEXT_LENGTH
    said = _said_by_code(facts) or (_said_by_text(facts) if status in _WITH_TEXT else None)
    if said is not None:
        return said
    if status >= 500 and any("invalid_request" in code for code in facts.codes):
        return FailureClass.INVALID_REQUEST
    if status in _OF_STATUS:
        return _OF_STATUS[status]
    return FailureClass.INVALID_REQUEST if 400 <= status < 500 else FailureClass.SERVER_ERROR


def _said_by_code(facts: ErrorFacts) -> FailureClass | None:
    for code in facts.codes:
        if code in _OF_CODE:
            return _OF_CODE[code]
        if code.startswith(_THROTTLING):
            return FailureClass.RATE_LIMIT
    return None


def _said_by_text(facts: ErrorFacts) -> FailureClass | None:
    text = " ".join((*facts.codes, facts.message)).lower()
    return next(
        (kind for kind, phrases in _OF_TEXT if any(phrase in text for phrase in phrases)), None
    )
