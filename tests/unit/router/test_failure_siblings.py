"""Siblings of errors: a failure has one class and one hint, wherever and however it is written."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.clients.http_failures import failure_of_document, failure_of_response
from services.router.core.failures import Failure, FailureClass
from tests.unit.router.builders import NOW
from tests.unit.router.chat_cases import HI
from tests.unit.router.read_answers import chat_answer

Json: TypeAlias = Any

# What an error says of itself, and its class with a status that leaves it open.
SAID: list[tuple[dict[str, Json], FailureClass]] = [
    ({"code": "invalid_api_key"}, FailureClass.AUTH),
    ({"type": "authentication_error"}, FailureClass.AUTH),
    ({"details": [{"reason": "API_KEY_INVALID"}]}, FailureClass.AUTH),
    ({"code": "insufficient_quota"}, FailureClass.QUOTA_EXHAUSTED),
    ({"type": "insufficient_balance_error"}, FailureClass.PAYMENT),
    ({"code": 1113}, FailureClass.PAYMENT),
    ({"message": "Your credit balance is too low"}, FailureClass.PAYMENT),
    ({"status": "RESOURCE_EXHAUSTED"}, FailureClass.RATE_LIMIT),
    ({"code": "Throttling.RateQuota"}, FailureClass.RATE_LIMIT),
    ({"message": "Too many requests"}, FailureClass.RATE_LIMIT),
    ({"type": "engine_overloaded_error"}, FailureClass.OVERLOADED),
    ({"code": "1305"}, FailureClass.OVERLOADED),
    ({"code": "context_length_exceeded"}, FailureClass.CONTEXT_LENGTH),
    ({"message": "This model's maximum context length is 8"}, FailureClass.CONTEXT_LENGTH),
    ({"code": "data_inspection_failed"}, FailureClass.CONTENT_POLICY),
]
NOISE = st.dictionaries(
    st.sampled_from(["param", "request_id", "extra", "metadata"]),
    st.none() | st.integers(0, 9) | st.just("") | st.just({"x": [1]}),
)
SECRET = "sk-very-secret"


def cased(value: Json, upper: bool) -> Json:
    """Codes and types come in any case."""
    return value.upper() if upper and isinstance(value, str) else value


@st.composite
def errors(draw: st.DrawFn) -> tuple[dict[str, Json], FailureClass]:
    said, kind = draw(st.sampled_from(SAID))
    upper = draw(st.booleans())
    noise = {name: value for name, value in draw(NOISE).items() if name not in said}
    error = {name: cased(value, upper) for name, value in said.items()} | noise
    if "message" not in said:
        error |= {"message": draw(st.sampled_from(["x", "", "it failed " + SECRET]))}
    return error, kind


PLACES = st.sampled_from(["error", "list of one", "error as a list", "top"])


def placed(error: dict[str, Json], place: str) -> Json:
    match place:
        case "error":
            return {"error": error}
        case "list of one":
            return [{"error": error}]
        case "error as a list":
            return {"error": [error]}
        case _:
            return error


@given(errors(), PLACES, st.sampled_from([400, 500]))
def test_a_refusal_has_the_class_that_its_body_says(
    said: tuple[dict[str, Json], FailureClass], place: str, status: int
) -> None:
    error, kind = said
    body = json.dumps(placed(error, place)).encode()

    found = failure_of_response(status, {}, body, (SECRET,), NOW)

    assert (found.kind, found.http_status) == (kind, status)
    assert SECRET not in found.detail + found.words


@given(errors(), PLACES.filter(lambda place: place != "top"))
def test_a_document_with_status_200_has_that_class_too(
    said: tuple[dict[str, Json], FailureClass], place: str
) -> None:
    error, kind = said
    found = failure_of_document(json.dumps(placed(error, place)).encode(), {}, (), NOW)
    assert found is not None
    assert found.kind is kind


EVENTS = st.sampled_from(["data", "error event", "error event, top", "choice", "delta", "message"])


def event_of(error: dict[str, Json], where: str) -> bytes:
    choice = {"choice": {"error": error}}
    choice |= {place: {place: {"error": error}} for place in ("delta", "message")}
    match where:
        case "data":
            return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
        case "error event":
            return b"event: error\ndata: " + json.dumps({"error": error}).encode() + b"\n\n"
        case "error event, top":
            return b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
        case _:
            return b"data: " + json.dumps({"choices": [choice[where]]}).encode() + b"\n\n"


@given(errors(), EVENTS, st.booleans())
def test_an_error_within_a_stream_has_that_class_too(
    said: tuple[dict[str, Json], FailureClass], where: str, after_text: bool
) -> None:
    error, kind = said
    wire = HI * after_text + event_of(error, where)
    assert asyncio.run(chat_answer(wire)).failure is kind


WORDS = st.sampled_from(
    [
        ("Too many requests", FailureClass.RATE_LIMIT),
        ("insufficient balance (1008)", FailureClass.PAYMENT),
        ("prompt is too long: 9 > 8", FailureClass.CONTEXT_LENGTH),
        ("top_p is wrong", FailureClass.INVALID_REQUEST),
    ]
)
FRAMES = st.sampled_from(
    [
        lambda text: text,
        json.dumps,
        lambda text: json.dumps({"error": text}),
        lambda text: json.dumps({"message": text}),
        lambda text: json.dumps({"error": {"message": text}}),
        lambda text: json.dumps({"error": {"message": [{"text": text}]}}),
        lambda text: json.dumps({"detail": text}),
        lambda text: json.dumps({"detail": [{"loc": ["body"], "msg": text}]}),
        lambda text: json.dumps({"errors": [{"message": text}]}),
        lambda text: json.dumps([{"error": {"message": text}}]),
    ]
)


@given(WORDS, FRAMES)
def test_words_are_found_in_every_frame(words: tuple[str, FailureClass], frame: Json) -> None:
    text, kind = words
    found = failure_of_response(400, {}, frame(text).encode(), (), NOW)
    assert (found.kind, found.words) == (kind, text)
    assert found.detail in {text, ""}


HINTS = st.sampled_from(
    [
        ({"retry-after": "26"}, None),
        ({"retry-after-ms": "26000"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:26 GMT"}, None),
        ({"x-ratelimit-reset-requests": "26s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "26s"}, None),
        ({}, {"details": [{"retryDelay": "26s"}]}),
        (
            {},
            {"details": {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26s"}},
        ),
    ]
)


@given(HINTS, PLACES.filter(lambda place: place != "top"), st.sampled_from([429, 503]))
def test_a_hint_is_found_wherever_it_is(
    hint: tuple[dict[str, str], dict[str, Json] | None], place: str, status: int
) -> None:
    headers, said = hint
    body = json.dumps(placed({"message": "x", **(said or {})}, place)).encode()
    assert failure_of_response(status, headers, body, (), NOW).retry_after_s == 26.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "detail", "details", "errors", "status"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("level", ["[%s]", '{"text": %s}', '{"error": %s}'])
@pytest.mark.parametrize("levels", [10, 600, 900, 60_000])
def test_a_nested_body_is_a_failure(level: str, levels: int) -> None:
    # given
    before, after = level.split("%s")
    nested = before * levels + "1" + after * levels
    body = f'{{"error": {nested}, "message": {nested}}}'.encode()

    # when, then
    assert failure_of_response(429, {}, body, (), NOW).kind is FailureClass.RATE_LIMIT
    assert asyncio.run(chat_answer(b"data: " + body + b"\n\n")).failure is not None


@given(st.integers(300, 599), JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_any_body_is_a_failure(status: int, body: bytes) -> None:
    found = failure_of_response(status, {"location": "x"}, body, (), NOW)
    assert isinstance(found, Failure)
    assert len(found.detail) <= 500
    assert len(found.words) <= 500
