"""Denials within a stream that began with 200: the class is that of the number they name, wherever
and however they name it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.clients.http_failures import failure_of_response
from services.router.core.failures import FailureClass
from tests.support import messages_events as messages
from tests.unit.router.builders import NOW
from tests.unit.router.chat_cases import HI
from tests.unit.router.read_answers import chat_answer, messages_answer

Json: TypeAlias = Any
Form: TypeAlias = Callable[[Json], Json]

NUMBERS = {
    401: FailureClass.AUTH,
    402: FailureClass.PAYMENT,
    403: FailureClass.PERMISSION,
    404: FailureClass.NOT_FOUND,
    429: FailureClass.RATE_LIMIT,
    503: FailureClass.OVERLOADED,
}
PHRASES = {
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
# How providers and what stands before them name a number.
FORMS: dict[str, Form] = {
    "OpenRouter": lambda n: {"error": {"code": n, "message": "x"}},
    "OpenRouter, of its provider": lambda n: {
        "error": {
            "code": n,
            "message": "Provider returned error",
            "metadata": {"raw": '{"type":"error"}', "provider_name": "Acme"},
        }
    },
    "OpenRouter, in the raw text": lambda n: {
        "error": {
            "message": "Provider returned error",
            "metadata": {"raw": json.dumps({"error": {"message": "x", "code": n}})},
        }
    },
    "in the metadata": lambda n: {"error": {"message": "x", "metadata": {"status_code": n}}},
    "Azure": lambda n: {"error": {"code": str(n), "message": "x"}},
    "Azure API Management": lambda n: {"statusCode": n, "message": "x"},
    "Azure, nested": lambda n: {"error": {"message": "x", "innererror": {"code": n}}},
    "Anthropic with a number": lambda n: {
        "type": "error",
        "error": {"type": "api_error", "message": "x", "status": n},
    },
    "error within an error": lambda n: {"error": {"error": {"code": n, "message": "x"}}},
    "error as JSON text": lambda n: {"error": json.dumps({"error": {"code": n, "message": "x"}})},
    "message as JSON text": lambda n: {
        "error": {"message": json.dumps({"error": {"code": n, "message": "x"}})}
    },
    "status of the error": lambda n: {"error": {"message": "x", "status": n}},
    "http_status of the error": lambda n: {"error": {"message": "x", "http_status": n}},
    "status beside the error": lambda n: {"error": {"message": "x"}, "status": n},
    "code beside the error": lambda n: {"error": "x", "code": n},
    "no error": lambda n: {"code": n, "message": "x"},
    "a problem": lambda n: {"title": "x", "status": n, "detail": "y"},
    "an old vLLM": lambda n: {"object": "error", "message": "x", "code": n},
    "openai-python's words": lambda n: {"error": f"Error code: {n} - {{'error': 'x'}}"},
    "words of HTTP": lambda n: {"error": {"message": f"upstream answered HTTP {n}"}},
    "status in words": lambda n: {"error": {"message": f"Request failed with status code {n}"}},
    "number before the words": lambda n: {"error": {"message": f"{n} from upstream"}},
    "words": lambda n: {"error": PHRASES[int(n)]},
    "words as code": lambda n: {
        "error": {"message": "x", "code": PHRASES[int(n)].lower().replace(" ", "_")}
    },
    "words as type": lambda n: {"error": {"type": PHRASES[int(n)].replace(" ", "")}},
}
# Siblings of a number.
KINDS: dict[str, Form] = {"number": int, "text": str, "float": float}


def event(value: Json, name: str) -> bytes:
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {json.dumps(value)}\n\n".encode()


def failures(value: Json, name: str, *, begun: bool) -> list[FailureClass | None]:
    """What an event is in either dialect."""
    denied = event(value, name)
    start = messages.start() + b"".join(messages.text_block(0, "a")[:2])
    return [
        asyncio.run(chat_answer(HI * begun + denied)).failure,
        asyncio.run(messages_answer(start * begun + denied)).failure,
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_found_where_providers_put_it(number: int, form: str) -> None:
    kind = NUMBERS[number]
    assert failure_of_response(number, {}, b"", (), NOW).kind is kind
    for begun in (False, True):
        assert failures(FORMS[form](number), "", begun=begun) == [kind, kind]


def text_of(value: Json) -> Json:
    return json.dumps(value)


@given(
    number=st.sampled_from(list(NUMBERS)),
    form=st.sampled_from(list(FORMS)),
    kind=st.sampled_from(list(KINDS)),
    wraps=st.sampled_from(["", "list", "error event"]),
    noise=st.dictionaries(
        st.sampled_from(["param", "request_id", "user_id", "provider"]),
        st.none() | st.integers(400, 599) | st.just("") | st.just("500"),
    ),
    begun=st.booleans(),
)
def test_and_its_siblings_too(
    number: int, form: str, kind: str, wraps: str, noise: dict[str, Json], begun: bool
) -> None:
    value = {**noise, **FORMS[form](KINDS[kind](number))}
    if wraps == "list":
        value = [value]
    name = "error" if wraps == "error event" else ""
    assert failures(value, name, begun=begun) == [NUMBERS[number]] * 2


# What says something else than the number beside it, and answers that are no denial.
OTHER: dict[str, tuple[Json, FailureClass | None]] = {
    "a code goes before its number": (
        {"error": {"code": 429, "type": "insufficient_quota", "message": "x"}},
        FailureClass.QUOTA_EXHAUSTED,
    ),
    "a code of the provider behind": (
        {"error": {"code": 429, "metadata": {"raw": '{"error":{"code":"insufficient_quota"}}'}}},
        FailureClass.QUOTA_EXHAUSTED,
    ),
    "the outer number": (
        {"error": {"code": 502, "metadata": {"raw": '{"error":{"code":429}}'}}},
        FailureClass.SERVER_ERROR,
    ),
    "a number that is none of HTTP": ({"error": {"code": 1402}}, FailureClass.SERVER_ERROR),
    "a count in the words": (
        {"error": {"message": "took 429 ms, 402 tokens"}},
        FailureClass.SERVER_ERROR,
    ),
    "words of a person": (
        {"error": {"message": "the tool said 'forbidden fruit'"}},
        FailureClass.SERVER_ERROR,
    ),
    "a gateway's words": ({"error": {"message": "502 Bad Gateway"}}, FailureClass.SERVER_ERROR),
    "a truth": ({"error": {"code": True, "message": "x"}}, FailureClass.SERVER_ERROR),
}


@pytest.mark.parametrize(("value", "kind"), OTHER.values(), ids=OTHER)
def test_what_names_no_number_of_http_keeps_its_class(value: Json, kind: FailureClass) -> None:
    assert failures(value, "", begun=True) == [kind, kind]


def test_the_words_of_the_provider_behind_are_kept() -> None:
    # given OpenRouter's own words, and those of the provider behind it
    raw = {"error": {"message": "Acme is tired", "code": 429}}
    error = {"code": 429, "message": "Provider returned error", "metadata": {"raw": raw}}

    # when
    found = failure_of_response(429, {}, json.dumps({"error": error}).encode(), (), NOW)

    # then
    assert found.words == "Provider returned error; Acme is tired"


@pytest.mark.parametrize("delta", [{"code": 429}, {"status": "402", "message": "x"}])
def test_a_chunk_of_an_answer_is_no_denial(delta: dict[str, Json]) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], **delta}
    assert asyncio.run(chat_answer(event(chunk, ""))).failure is FailureClass.STREAM_TRUNCATED
