"""The headers in which providers tell of their limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.clients.quota_headers import quota_windows
from services.router.core.quota_windows import QuotaWindow
from tests.unit.router.builders import NOW, at

X, ANTHROPIC, IETF = "x-ratelimit", "anthropic-ratelimit", "ratelimit"
# NOW is 2026-01-01T00:00:00Z.
NOW_MS = 1_767_225_600_000

CORPUS: dict[str, tuple[dict[str, str], list[QuotaWindow]]] = {
    "OpenAI": (
        {
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-limit-tokens": "30000",
            "x-ratelimit-remaining-requests": "499",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-requests": "120ms",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        [
            QuotaWindow("requests", 500, 499, at(0.12), X),
            QuotaWindow("tokens", 30_000, 0, at(360), X),
        ],
    ),
    "Groq": (
        {
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-remaining-tokens": "17997",
            "x-ratelimit-reset-tokens": "7.66s",
        },
        [
            QuotaWindow("requests", 14_400, 14_370, at(179.56), X),
            QuotaWindow("tokens", None, 17_997, at(7.66), X),
        ],
    ),
    "Azure, which does not know": (
        {
            "x-ratelimit-remaining-requests": "-1",
            "x-ratelimit-remaining-tokens": "-1",
            "x-ratelimit-limit-tokens": "0",
        },
        [QuotaWindow("tokens", 0, None, None, X)],
    ),
    "Azure": (
        {
            "X-Ratelimit-Remaining-Requests": "3",
            "X-Ratelimit-Limit-Requests": "10",
            "X-Ratelimit-Reset-Requests": "60",
        },
        [QuotaWindow("requests", 10, 3, at(60), X)],
    ),
    "Anthropic": (
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:02Z",
            "anthropic-ratelimit-input-tokens-limit": "30000",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:01:00+00:00",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-tokens-remaining": "8000",
        },
        [
            QuotaWindow("requests", 50, 49, at(2), ANTHROPIC),
            QuotaWindow("input-tokens", 30_000, 0, at(60), ANTHROPIC),
            QuotaWindow("output-tokens", None, 8_000, None, ANTHROPIC),
            QuotaWindow("tokens", None, 8_000, None, ANTHROPIC),
        ],
    ),
    "OpenRouter, in milliseconds since 1970": (
        {
            "X-RateLimit-Limit": "20",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(NOW_MS + 30_000),
        },
        [QuotaWindow("requests", 20, 0, at(30), X)],
    ),
    "in seconds since 1970": (
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW_MS // 1000 + 30)},
        [QuotaWindow("requests", None, 0, at(30), X)],
    ),
    "IETF": (
        {
            "ratelimit-policy": '"burst";q=100;w=60,"daily";q=1000;w=86400',
            "ratelimit": '"burst";r=0;t=30, "daily";r=12',
        },
        [
            QuotaWindow("burst", 100, 0, at(30), IETF),
            QuotaWindow("daily", 1_000, 12, None, IETF),
        ],
    ),
    "IETF, earlier drafts": (
        {
            "ratelimit-limit": "100, 100;w=60",
            "ratelimit-remaining": "50",
            "ratelimit-reset": "30",
        },
        [QuotaWindow("requests", 100, 50, at(30), IETF)],
    ),
    "a reset that has passed": (
        {
            "x-ratelimit-remaining-a": "0",
            "x-ratelimit-reset-a": "1700000000",
            "x-ratelimit-remaining-b": "0",
            "x-ratelimit-reset-b": "2025-12-31T00:00:00Z",
        },
        [QuotaWindow("a", None, 0, NOW, X), QuotaWindow("b", None, 0, NOW, X)],
    ),
    "numbers that are none": (
        {
            "x-ratelimit-remaining-a": "many",
            "x-ratelimit-reset-a": "soon",
            "x-ratelimit-over-limit": "no",
            "x-ratelimit-remaining-b": "nan",
            "x-ratelimit-limit-b": "1e300",
            "x-ratelimit-reset-b": "1e300",
            "x-ratelimit-reset-c": "",
        },
        [],
    ),
    "a reset that cannot be meant": (
        {"x-ratelimit-remaining-a": "0", "x-ratelimit-reset-a": "99999999"},
        [QuotaWindow("a", None, 0, None, X)],
    ),
    "a part of a request": (
        {"x-ratelimit-remaining-requests": "0.4"},
        [QuotaWindow("requests", None, 1, None, X)],
    ),
    "other headers": ({"content-type": "text/event-stream", "x-request-id": "ratelimit-1"}, []),
}


@pytest.mark.parametrize(("headers", "windows"), CORPUS.values(), ids=CORPUS)
def test_windows_of_every_dialect(headers: dict[str, str], windows: list[QuotaWindow]) -> None:
    assert quota_windows(headers, NOW) == tuple(windows)


def test_as_many_windows_are_read_as_are_kept() -> None:
    headers = {f"x-ratelimit-remaining-{'k' * 100}{n}": "1" for n in range(20)}
    many = {f"x-ratelimit-remaining-k{n}": "1" for n in range(20)}

    assert [each.kind for each in quota_windows(headers, NOW)] == ["k" * 64]
    assert len(quota_windows(many, NOW)) == 16


@given(
    st.dictionaries(
        st.sampled_from(
            [
                f"{source}-{what}{kind}"
                for source in ("x-ratelimit", "ratelimit")
                for what in ("limit", "remaining", "reset")
                for kind in ("", "-requests")
            ]
            + ["ratelimit", "ratelimit-policy", "anthropic-ratelimit-tokens-reset"]
        ),
        st.text(max_size=30) | st.floats().map(str) | st.integers().map(str),
    )
)
def test_whatever_a_header_says_can_be_told(headers: dict[str, str]) -> None:
    """Counts fit their field, and instants are within a year from now."""
    for window in quota_windows(headers, NOW):
        for count in (window.limit, window.remaining):
            assert count is None or 0 <= count < 2**63
        assert window.reset_at is None or NOW <= window.reset_at <= NOW + timedelta(days=366)


def test_the_corpus_counts_from_now() -> None:
    assert datetime.fromtimestamp(NOW_MS / 1000, UTC) == NOW
