"""Failures of the openai adapter: one of the failure classes, after one request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.content.model import Usage
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import TextDelta, UsageReport
from services.router.core.quota_windows import QuotaWindow
from tests.contract.router.adapter_calls import AdapterCalls, said
from tests.contract.router.openai_calls import call_delta, calls_chunk
from tests.support.fake_provider import (
    Cut,
    Move,
    Pause,
    Script,
    chunk,
    event,
    finish,
    refusal,
    stream,
    text,
)
from tests.support.stack import free_port
from tests.unit.router.builders import at

RESET = (QuotaWindow("requests", None, None, at(20), "x-ratelimit"),)
BROKEN: dict[str, tuple[Sequence[Move], FailureClass]] = {
    "end of file before the finish": ([], FailureClass.STREAM_TRUNCATED),
    "connection cut": ([Pause(), Cut()], FailureClass.STREAM_TRUNCATED),
    "garbage": ([b"data: {nonsense\n\n"], FailureClass.STREAM_MALFORMED),
    "no chunk at all": ([b"data: [1, 2]\n\n"], FailureClass.STREAM_MALFORMED),
    "nested without end": (
        [b'data: {"choices":' + b"[" * 200_000 + b"\n\n"],
        FailureClass.STREAM_MALFORMED,
    ),
    "not UTF-8": ([b"data: \xff\xfe\n\n"], FailureClass.STREAM_MALFORMED),
    "endless event": ([b"data: " + b"x" * (3 * 1024 * 1024)], FailureClass.STREAM_MALFORMED),
    "call without a name": (
        [calls_chunk(call_delta(0, "{}", "c1")), *finish("stop")],
        FailureClass.STREAM_MALFORMED,
    ),
    "call without anything": (
        [calls_chunk({}), *finish("tool_calls")],
        FailureClass.STREAM_MALFORMED,
    ),
    "an unknown finish reason": (finish("banana"), FailureClass.STREAM_MALFORMED),
    "endless arguments": (
        [
            calls_chunk(call_delta(0, "x" * 600_000, "c1", "look")),
            calls_chunk(call_delta(0, "x" * 600_000)),
        ],
        FailureClass.STREAM_MALFORMED,
    ),
    "error frame": (
        [event({"error": {"message": "down", "code": 502}})],
        FailureClass.SERVER_ERROR,
    ),
    "overloaded inside 200": (
        [event({"error": {"type": "overloaded_error", "message": "Overloaded"}})],
        FailureClass.OVERLOADED,
    ),
    "old error frame": (
        [event({"object": "error", "message": "bad", "code": 400})],
        FailureClass.INVALID_REQUEST,
    ),
    "error as text": ([event({"error": "gone"})], FailureClass.SERVER_ERROR),
}


@pytest.mark.parametrize(("moves", "kind"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_stream_fails_after_the_items_before_it(
    openai: AdapterCalls, moves: Sequence[Move], kind: FailureClass
) -> None:
    # given
    openai.provider.answers(stream(*text("a"), *moves))
    releasing = asyncio.create_task(openai.release_when_paused())

    # when
    items, failure = await openai.failure()
    releasing.cancel()
    await asyncio.wait({releasing})

    # then
    assert said(items) == "a"
    assert failure.kind is kind


async def test_usage_before_a_break_is_reported(openai: AdapterCalls) -> None:
    # given a provider that counts in every chunk and then sends an error
    counted = {"prompt_tokens": 5, "completion_tokens": 1}
    down = event({"error": {"message": "down", "code": 502}})
    openai.provider.answers(stream(chunk({"content": "a"}, usage=counted), down))

    # when
    items, failure = await openai.failure()

    # then
    assert items[1:] == [TextDelta("a"), UsageReport(Usage(5, 1))]
    assert failure.kind is FailureClass.SERVER_ERROR


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (refusal(429, retry_after="12"), Failure(FailureClass.RATE_LIMIT, 429, 12.0)),
        (refusal(503, retry_after_ms="250"), Failure(FailureClass.OVERLOADED, 503, 0.25)),
        (
            refusal(400, {"error": {"message": "bad top_p"}}),
            Failure(FailureClass.INVALID_REQUEST, 400, None, "bad top_p"),
        ),
        (refusal(401), Failure(FailureClass.AUTH, 401)),
        (refusal(500, b"<html>"), Failure(FailureClass.SERVER_ERROR, 500)),
        (
            Script((), 308, {"Location": "/elsewhere"}),
            Failure(
                FailureClass.NOT_FOUND, 308, None, "it redirects to /elsewhere; change its base_url"
            ),
        ),
        (
            refusal(500, retry_after="2", x_should_retry="false"),
            Failure(FailureClass.SERVER_ERROR, 500, 2.0, repeatable=False),
        ),
        (
            refusal(200, {"error": {"message": "no", "type": "rate_limit_error"}}),
            Failure(FailureClass.RATE_LIMIT, 500),
        ),
        *(
            (refusal(200, {"error": {"message": "x", "code": code}}), Failure(kind, code))
            for code, kind in (
                (401, FailureClass.AUTH),
                (402, FailureClass.PAYMENT),
                (429, FailureClass.RATE_LIMIT),
                (503, FailureClass.OVERLOADED),
            )
        ),
        (
            refusal(429, [{"error": {"details": [{"retryDelay": "26s"}]}}]),
            Failure(FailureClass.RATE_LIMIT, 429, 26.0),
        ),
        (
            refusal(429, x_ratelimit_reset_requests="20s"),
            Failure(FailureClass.RATE_LIMIT, 429, 20.0, windows=RESET),
        ),
        (
            stream(b'{"error": {"message": "x", "code": 429}}'),
            Failure(FailureClass.RATE_LIMIT, 429),
        ),
        (
            stream(b"<html>Please log in</html>", Content_Type="text/html"),
            Failure(FailureClass.STREAM_MALFORMED, 200),
        ),
        (
            refusal(422, {"detail": [{"msg": "Field required"}]}),
            Failure(FailureClass.INVALID_REQUEST, 422, None, "Field required"),
        ),
    ],
)
async def test_a_refusal_is_raised_on_opening(
    openai: AdapterCalls, script: Script, failure: Failure
) -> None:
    # given
    openai.provider.answers(script)

    # when
    items, found = await openai.failure()

    # then, after exactly one request
    assert (items, found) == ([], failure)
    assert len(openai.provider.requests) == 1


async def test_an_error_body_that_arrives_in_pieces_is_read_whole(openai: AdapterCalls) -> None:
    # given a body whose second half is sent once the first has been read
    body = b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'
    openai.provider.answers(Script((body[:20], Pause(), body[20:]), 400))
    releasing = asyncio.create_task(openai.release_when_paused())

    # when
    _, failure = await openai.failure()
    await releasing

    # then
    assert failure == Failure(FailureClass.CONTEXT_LENGTH, 400, None, "too long")


@pytest.mark.parametrize(
    "moves",
    [(b"x" * 1024 * 1024, Pause()), (b'{"err', Cut())],
    ids=["endless, of several reads", "cut"],
)
async def test_a_refusal_whose_error_body_does_not_end_is_still_a_refusal(
    openai: AdapterCalls, moves: tuple[Move, ...]
) -> None:
    # given
    openai.provider.answers(Script(moves, 429, {"retry-after": "3"}))

    # when
    _, failure = await openai.failure()

    # then the start of the body is enough
    assert failure == Failure(FailureClass.RATE_LIMIT, 429, 3.0)


async def test_a_provider_that_cannot_be_reached(openai: AdapterCalls) -> None:
    # when
    _, failure = await openai.failure(base_url=f"http://127.0.0.1:{free_port()}/v1")

    # then
    assert failure == Failure(FailureClass.SERVER_ERROR)


async def test_leaving_early_closes_the_connection(openai: AdapterCalls) -> None:
    # given an answer that does not end
    openai.provider.answers(stream(*text("a"), Pause(), *finish()))

    # when the reader leaves after the first delta
    async with openai.open() as upstream:
        await upstream.read()

    # then the provider sees it
    await openai.provider.until(disconnects=1)
    assert openai.provider.disconnects == 1


async def test_a_cancel_while_waiting_for_headers_closes_the_connection(
    openai: AdapterCalls,
) -> None:
    # given a provider that does not answer
    openai.provider.answers(Script((Pause(),)))
    calling = asyncio.create_task(openai.items())
    await openai.provider.until(requests=1)

    # when
    calling.cancel()
    await asyncio.wait({calling})

    # then
    await openai.provider.until(disconnects=1)
    assert calling.cancelled()
