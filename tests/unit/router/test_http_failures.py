from __future__ import annotations

import json

import pytest

from services.router.clients.error_facts import ErrorBody, error_body_of
from services.router.clients.http_failures import failure_in_stream, failure_of_response
from services.router.clients.retry_hints import retry_after_s
from services.router.core.failures import Failure, FailureClass
from tests.unit.router.builders import NOW


def failure(status: int, body: object, secrets: tuple[str, ...] = (), **headers: str) -> Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure_of_response(status, headers, raw, secrets, NOW)


def vendor(message: str = "no", kind: str | None = None, code: object = None) -> object:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, vendor(), FailureClass.INVALID_REQUEST),
        (400, vendor(code="context_length_exceeded"), FailureClass.CONTEXT_LENGTH),
        (400, vendor("prompt is too long: 9 > 8"), FailureClass.CONTEXT_LENGTH),
        (400, vendor("exceeds the available context size"), FailureClass.CONTEXT_LENGTH),
        (400, vendor(code="content_filter"), FailureClass.CONTENT_POLICY),
        (401, vendor(), FailureClass.AUTH),
        (402, vendor(), FailureClass.PAYMENT),
        (403, vendor(), FailureClass.PERMISSION),
        (404, vendor(), FailureClass.NOT_FOUND),
        (404, vendor(code="model_not_found"), FailureClass.NOT_FOUND),
        (408, vendor(), FailureClass.SERVER_ERROR),
        (409, vendor(), FailureClass.SERVER_ERROR),
        (413, vendor(), FailureClass.CONTEXT_LENGTH),
        (418, vendor(), FailureClass.INVALID_REQUEST),
        (422, vendor(), FailureClass.INVALID_REQUEST),
        (429, vendor(), FailureClass.RATE_LIMIT),
        (429, vendor(code="rate_limit_exceeded"), FailureClass.RATE_LIMIT),
        (429, vendor(code="insufficient_quota"), FailureClass.QUOTA_EXHAUSTED),
        (429, vendor(code="billing_hard_limit_reached"), FailureClass.PAYMENT),
        (500, vendor("generate failed at a high rate"), FailureClass.SERVER_ERROR),
        (502, b"<html>bad gateway</html>", FailureClass.SERVER_ERROR),
        (503, vendor("Loading model", "unavailable_error", 503), FailureClass.OVERLOADED),
        (504, b"", FailureClass.SERVER_ERROR),
        (529, vendor(kind="overloaded_error"), FailureClass.OVERLOADED),
        (302, b"", FailureClass.NOT_FOUND),
        (401, [1, 2], FailureClass.AUTH),
        (400, [vendor("Too many requests")], FailureClass.RATE_LIMIT),
        (400, vendor("Your credit balance is too low"), FailureClass.PAYMENT),
        (500, vendor("insufficient balance (1008)"), FailureClass.PAYMENT),
        (400, vendor(code="data_inspection_failed"), FailureClass.CONTENT_POLICY),
        (498, vendor(code="capacity_exceeded"), FailureClass.OVERLOADED),
        (498, b"", FailureClass.OVERLOADED),
        (413, vendor("TPM: Limit 8000, Requested 42084", "tokens"), FailureClass.CONTEXT_LENGTH),
        (400, vendor("exceeds the maximum number of tokens allowed"), FailureClass.CONTEXT_LENGTH),
        (400, vendor("The maximum prompt length is 8"), FailureClass.CONTEXT_LENGTH),
        (400, vendor("`max_tokens` exceed context limit: 9"), FailureClass.CONTEXT_LENGTH),
        (400, {"detail": "This model's maximum context length is 8"}, FailureClass.CONTEXT_LENGTH),
        (400, b"This model's maximum context length is 8", FailureClass.CONTEXT_LENGTH),
        (
            400,
            {"error": {"message": "no", "details": [{"reason": "API_KEY_INVALID"}]}},
            FailureClass.AUTH,
        ),
        (
            429,
            {"error": {"details": {"error_code": "enforced_spend_limit_reached"}}},
            FailureClass.PAYMENT,
        ),
        (
            429,
            {"error": {"details": {"error_code": "ramp_limit_exceeded"}}},
            FailureClass.RATE_LIMIT,
        ),
        (429, b'{"error":' + b"[" * 60_000, FailureClass.RATE_LIMIT),
        (400, vendor(code="9" * 5000), FailureClass.INVALID_REQUEST),
    ],
)
def test_a_status_and_its_body_name_the_failure(
    status: int, body: object, kind: FailureClass
) -> None:
    found = failure(status, body)
    assert (found.kind, found.http_status) == (kind, status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "30", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT"}, 60.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:00 -0000"}, 60.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "nan", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "1e300", "retry-after": "2"}, 2.0),
        ({"retry-after": "31622400"}, 31_622_400.0),
        ({"retry-after": "31622401"}, None),
        ({"retry-after": "1e300"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_hints_are_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


RESET = "2026-01-01T00:00:40Z"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"tokens-remaining": "0", "tokens-reset": RESET}, 40.0),
        ({"tokens-remaining": "0", "tokens-reset": "2026-01-01t00:00:40+00:00"}, 40.0),
        ({"tokens-remaining": "1", "tokens-reset": RESET}, None),
        ({"tokens-remaining": "-1", "tokens-reset": RESET}, 40.0),
        ({"tokens-remaining": "0", "tokens-reset": "soon"}, None),
        ({"tokens-remaining": "0"}, None),
        ({"tokens-reset": RESET}, 40.0),
        (
            {
                "requests-remaining": "0",
                "requests-reset": "2026-01-01T00:00:05Z",
                "input-tokens-remaining": "0",
                "input-tokens-reset": RESET,
                "output-tokens-remaining": "7",
                "output-tokens-reset": "2026-01-01T09:00:00Z",
            },
            40.0,
        ),
    ],
)
def test_an_exhausted_window_hints_at_its_reset(
    headers: dict[str, str], seconds: float | None
) -> None:
    named = {f"anthropic-ratelimit-{name}": value for name, value in headers.items()}
    assert failure(429, vendor(), (), **named).retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "3"}, 3.0),
        (400, {}, None),
    ],
)
def test_a_hint_to_repeat_goes_before_a_window(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    window = {
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": RESET,
    }
    assert failure(status, vendor(), (), **window, **headers).retry_after_s == seconds


def test_a_reset_may_be_a_duration() -> None:
    window = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0.5s"}
    assert failure(429, vendor(), (), **window).retry_after_s == 60.5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"reset-requests": "20s"}, 20.0),
        ({"reset-requests": "20s", "reset-tokens": "6m0s"}, 20.0),
        ({"reset-requests": "20s", "remaining-requests": "5"}, None),
        ({"reset-requests": "20s", "remaining-tokens": "0", "reset-tokens": "6m0s"}, 360.0),
        ({"reset-requests": "soon"}, None),
    ],
)
def test_a_reset_without_a_count_is_a_hint(headers: dict[str, str], seconds: float | None) -> None:
    named = {f"x-ratelimit-{name}": value for name, value in headers.items()}
    assert failure(429, vendor(), (), **named).retry_after_s == seconds


def test_a_body_may_have_the_hint() -> None:
    body = [{"error": {"code": 429, "details": [{"x": 1}, {"retryDelay": "26s"}]}}]
    assert failure(429, body).retry_after_s == 26.0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([{"error": {"message": "bad"}}], "bad"),
        ({"detail": [{"msg": "Field required"}]}, "Field required"),
        ({"detail": "Field required"}, "Field required"),
        ({"errors": [{"message": "bad"}]}, "bad"),
        (b"bad", "bad"),
        (b"<html>bad</html>", ""),
        (b'{"error": {"mess', ""),
    ],
)
def test_the_words_of_a_provider_are_found_in_every_shape(body: object, words: str) -> None:
    assert failure(422, body).detail == words


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://api.example/v2/chat?key=sk-1", "https://api.example/v2/chat"),
        ("https://user:pw@api.example/v2", "https://api.example/v2"),
        ("/v2/chat", "/v2/chat"),
        ("http://[", "nowhere"),
        ("", "nowhere"),
    ],
)
def test_a_redirect_is_named_and_final(location: str, target: str) -> None:
    found = failure(308, b"", location=location)
    assert found.kind is FailureClass.NOT_FOUND
    assert found.detail == f"it redirects to {target}; change its base_url"


@pytest.mark.parametrize(
    ("said", "repeatable"), [("false", False), ("False", False), ("true", True), ("", True)]
)
def test_a_provider_may_refuse_repeats(said: str, repeatable: bool) -> None:
    assert failure(500, vendor(), (), **{"x-should-retry": said}).repeatable is repeatable


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (vendor("Incorrect key sk-secret"), "Incorrect key ***"),
        (b"<html><title>Bad gateway</title>", "<html><title>Bad gateway</title>"),
        (b"", ""),
    ],
)
def test_the_words_of_any_refusal_are_kept_for_the_log(body: object, words: str) -> None:
    assert failure(502, body, ("sk-secret",)).words == words


def test_the_detail_of_an_invalid_request_is_kept() -> None:
    # given an error text with a line break, beyond any sensible length
    found = failure(400, vendor("top_p\nis wrong " + "x" * 600))

    # then
    assert found.detail.startswith("top_p is wrong xxx")
    assert len(found.detail) == 500


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_the_detail_of_an_operators_error_is_left_out(status: int) -> None:
    assert failure(status, vendor("Incorrect API key provided: sk-1234")).detail == ""


def test_a_secret_that_the_provider_repeats_is_masked() -> None:
    # given
    body = vendor("header sk-secret is not allowed here")

    # when, then
    assert failure(400, body, ("sk-secret",)).detail == "header *** is not allowed here"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (error_body_of({"error": {"message": "x", "code": 502}}), FailureClass.SERVER_ERROR, 502),
        (error_body_of({"error": {"message": "x", "code": "429"}}), FailureClass.RATE_LIMIT, 429),
        (error_body_of({"error": {"type": "overloaded_error"}}), FailureClass.OVERLOADED, 0),
        (
            error_body_of({"error": {"type": "invalid_request_error"}}),
            FailureClass.INVALID_REQUEST,
            0,
        ),
        (
            error_body_of({"error": {"message": "maximum context length"}}),
            FailureClass.CONTEXT_LENGTH,
            0,
        ),
        (error_body_of({"error": "went wrong"}), FailureClass.SERVER_ERROR, 0),
        (
            error_body_of({"object": "error", "message": "no", "code": 400}),
            FailureClass.INVALID_REQUEST,
            400,
        ),
        (error_body_of({"error": {"code": 12}}), FailureClass.SERVER_ERROR, 0),
        (error_body_of({"error": 17}), FailureClass.SERVER_ERROR, 0),
        (
            error_body_of({"type": "error", "message": "Too many requests"}),
            FailureClass.RATE_LIMIT,
            0,
        ),
        (error_body_of({"error": "Too many requests"}), FailureClass.RATE_LIMIT, 0),
        (
            error_body_of(
                {"error": {"type": "invalid_request_error", "message": "Too many requests"}}
            ),
            FailureClass.RATE_LIMIT,
            0,
        ),
        (
            error_body_of(
                {"object": "error", "code": "Throttling.AllocationQuota", "message": "x"}
            ),
            FailureClass.RATE_LIMIT,
            0,
        ),
        (
            error_body_of({"error": {"type": "rate_limit_reached_error"}}),
            FailureClass.RATE_LIMIT,
            0,
        ),
        (error_body_of({"error": {"type": "engine_overloaded_error"}}), FailureClass.OVERLOADED, 0),
        (error_body_of({"error": {"type": "insufficient_balance_error"}}), FailureClass.PAYMENT, 0),
        (error_body_of({"error": {"status": "RESOURCE_EXHAUSTED"}}), FailureClass.RATE_LIMIT, 0),
        (error_body_of({"error": {"code": 1302}}), FailureClass.RATE_LIMIT, 0),
        (error_body_of({"error": {"code": "1305"}}), FailureClass.OVERLOADED, 0),
        (error_body_of({"error": {"code": "1113"}}), FailureClass.PAYMENT, 0),
    ],
)
def test_an_error_inside_a_stream_is_classified(
    body: ErrorBody, kind: FailureClass, status: int
) -> None:
    found = failure_in_stream(body, ())
    assert found is not None
    assert (found.kind, found.http_status) == (kind, status)


@pytest.mark.parametrize(
    "error", [None, "", {}, [], False, [{}], {"message": "", "code": None}, {"details": [{}]}]
)
def test_an_ordinary_chunk_is_no_error(error: object) -> None:
    assert (
        failure_in_stream(error_body_of({"error": error, "object": "chat.completion.chunk"}), ())
        is None
    )
