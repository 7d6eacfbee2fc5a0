from __future__ import annotations

import json

import pytest

from services.router.clients.http_failures import (
    ErrorBody,
    failure_in_stream,
    failure_of_response,
    retry_after_s,
)
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
        (302, b"", FailureClass.SERVER_ERROR),
        (401, [1, 2], FailureClass.AUTH),
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
        (ErrorBody(error={"message": "x", "code": 502}), FailureClass.SERVER_ERROR, 502),
        (ErrorBody(error={"message": "x", "code": "429"}), FailureClass.RATE_LIMIT, 429),
        (ErrorBody(error={"type": "overloaded_error"}), FailureClass.OVERLOADED, 0),
        (ErrorBody(error={"type": "invalid_request_error"}), FailureClass.INVALID_REQUEST, 0),
        (ErrorBody(error={"message": "maximum context length"}), FailureClass.CONTEXT_LENGTH, 0),
        (ErrorBody(error="went wrong"), FailureClass.SERVER_ERROR, 0),
        (ErrorBody(object="error", message="no", code=400), FailureClass.INVALID_REQUEST, 400),
        (ErrorBody(error={"code": 12}), FailureClass.SERVER_ERROR, 0),
        (ErrorBody(error=17), FailureClass.SERVER_ERROR, 0),
    ],
)
def test_an_error_inside_a_stream_is_classified(
    body: ErrorBody, kind: FailureClass, status: int
) -> None:
    found = failure_in_stream(body, ())
    assert found is not None
    assert (found.kind, found.http_status) == (kind, status)


def test_an_ordinary_chunk_is_no_error() -> None:
    assert failure_in_stream(ErrorBody(object="chat.completion.chunk"), ()) is None
