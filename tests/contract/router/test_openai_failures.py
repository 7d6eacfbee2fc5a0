"""How the openai adapter fails: always in the router's own words, and after one request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.content.model import Usage
from services.router.clients.openai import OpenAiAdapter
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import TextDelta, UsageReport
from services.router.core.ports import UpstreamCall
from tests.contract.router.openai_rig import (
    ASK,
    call_delta,
    failure_of,
    items_of,
    member,
    said,
)
from tests.support.fake_provider import (
    Cut,
    FakeProvider,
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

BROKEN: dict[str, tuple[Sequence[Move], FailureClass]] = {
    "end of file before the finish": (text("a"), FailureClass.STREAM_TRUNCATED),
    "connection cut": ([*text("a"), Pause(), Cut()], FailureClass.STREAM_TRUNCATED),
    "garbage": ([*text("a"), b"data: {nonsense\n\n"], FailureClass.STREAM_MALFORMED),
    "no chunk at all": ([*text("a"), b"data: [1, 2]\n\n"], FailureClass.STREAM_MALFORMED),
    "nested without end": (
        [*text("a"), b'data: {"choices":' + b"[" * 200_000 + b"\n\n"],
        FailureClass.STREAM_MALFORMED,
    ),
    "not UTF-8": (
        [*text("a"), b'data: {"id": "\xff\xfe"}\n\n'],
        FailureClass.STREAM_MALFORMED,
    ),
    "endless event": (
        [*text("a"), b"data: " + b"x" * (3 * 1024 * 1024)],
        FailureClass.STREAM_MALFORMED,
    ),
    "call without a name": (
        [*text("a"), chunk({"tool_calls": [call_delta(0, "{}", "c1")]})],
        FailureClass.STREAM_MALFORMED,
    ),
    "call without anything": (
        [*text("a"), chunk({"tool_calls": [{}]})],
        FailureClass.STREAM_MALFORMED,
    ),
    "endless arguments": (
        [
            *text("a"),
            chunk({"tool_calls": [call_delta(0, "x" * 600_000, "c1", "look")]}),
            chunk({"tool_calls": [call_delta(0, "x" * 600_000)]}),
        ],
        FailureClass.STREAM_MALFORMED,
    ),
    "error frame": (
        [*text("a"), event({"error": {"message": "down", "code": 502}})],
        FailureClass.SERVER_ERROR,
    ),
    "overloaded inside 200": (
        [*text("a"), event({"error": {"type": "overloaded_error", "message": "Overloaded"}})],
        FailureClass.OVERLOADED,
    ),
    "old error frame": (
        [*text("a"), event({"object": "error", "message": "bad", "code": 400})],
        FailureClass.INVALID_REQUEST,
    ),
    "error as text": ([*text("a"), event({"error": "gone"})], FailureClass.SERVER_ERROR),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_that_breaks_says_so_after_what_came_before(
    provider: FakeProvider, adapter: OpenAiAdapter, name: str
) -> None:
    # given
    moves, kind = BROKEN[name]
    provider.answers(stream(*moves))
    releasing = asyncio.create_task(_release_when_paused(provider))

    # when
    items, failure = await failure_of(adapter, member(provider.base_url))
    releasing.cancel()
    await asyncio.wait({releasing})

    # then
    assert said(items) == "a"
    assert failure.kind is kind


async def test_what_was_counted_before_a_break_is_told(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a provider that counts in every chunk and then sends an error
    counted = {"prompt_tokens": 5, "completion_tokens": 1}
    down = event({"error": {"message": "down", "code": 502}})
    provider.answers(stream(chunk({"content": "a"}, usage=counted), down))

    # when
    items, failure = await failure_of(adapter, member(provider.base_url))

    # then
    assert items[1:] == [TextDelta("a"), UsageReport(Usage(5, 1))]
    assert failure.kind is FailureClass.SERVER_ERROR


async def _release_when_paused(provider: FakeProvider) -> None:
    await provider.until(pauses=1)
    provider.go_on()


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (
            refusal(429, retry_after="12"),
            Failure(FailureClass.RATE_LIMIT, 429, 12.0),
        ),
        (
            refusal(503, retry_after_ms="250"),
            Failure(FailureClass.OVERLOADED, 503, 0.25),
        ),
        (
            refusal(400, {"error": {"message": "bad top_p"}}),
            Failure(FailureClass.INVALID_REQUEST, 400, None, "bad top_p"),
        ),
        (refusal(401), Failure(FailureClass.AUTH, 401)),
        (refusal(500, b"<html>"), Failure(FailureClass.SERVER_ERROR, 500)),
        (Script((), 302, {"Location": "/elsewhere"}), Failure(FailureClass.SERVER_ERROR, 302)),
        (
            refusal(200, {"error": {"message": "no", "type": "rate_limit_error"}}),
            Failure(FailureClass.RATE_LIMIT, 500),
        ),
    ],
)
async def test_a_refusal_is_raised_on_opening(
    provider: FakeProvider, adapter: OpenAiAdapter, script: Script, failure: Failure
) -> None:
    # given
    provider.answers(script)

    # when
    items, found = await failure_of(adapter, member(provider.base_url))

    # then, after exactly one request
    assert (items, found) == ([], failure)
    assert len(provider.requests) == 1


async def test_an_error_body_that_arrives_in_pieces_is_read_whole(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a body whose second half is sent once the first has been read
    body = b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'
    provider.answers(Script((body[:20], Pause(), body[20:]), 400))
    releasing = asyncio.create_task(_release_when_paused(provider))

    # when
    _, failure = await failure_of(adapter, member(provider.base_url))
    await releasing

    # then
    assert failure == Failure(FailureClass.CONTEXT_LENGTH, 400, None, "too long")


async def test_of_an_endless_error_body_only_the_beginning_is_read(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a body of several reads that never ends
    provider.answers(Script((b"x" * 1024 * 1024, Pause()), 429, {"retry-after": "3"}))

    # when
    _, failure = await failure_of(adapter, member(provider.base_url))

    # then
    assert failure == Failure(FailureClass.RATE_LIMIT, 429, 3.0)


async def test_an_error_body_that_is_cut_is_still_a_refusal(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given
    provider.answers(Script((b'{"err', Cut()), 429, {"retry-after": "3"}))

    # when
    _, failure = await failure_of(adapter, member(provider.base_url))

    # then
    assert failure == Failure(FailureClass.RATE_LIMIT, 429, 3.0)


async def test_a_provider_that_is_not_there(adapter: OpenAiAdapter) -> None:
    # when
    _, failure = await failure_of(adapter, member(f"http://127.0.0.1:{free_port()}/v1"))

    # then
    assert failure == Failure(FailureClass.SERVER_ERROR)


async def test_leaving_early_closes_the_connection(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given an answer that goes on
    provider.answers(stream(*text("a"), Pause(), *finish()))

    # when the reader leaves after the first delta
    async with adapter.open(UpstreamCall(member(provider.base_url), ASK, "")) as upstream:
        await upstream.read()

    # then the provider sees it
    await provider.until(disconnects=1)
    assert provider.disconnects == 1


async def test_a_cancel_while_waiting_for_headers_closes_the_connection(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a provider that does not answer
    provider.answers(Script((Pause(),)))
    calling = asyncio.create_task(items_of(adapter, member(provider.base_url)))
    await provider.until(requests=1)

    # when
    calling.cancel()
    await asyncio.wait({calling})

    # then
    await provider.until(disconnects=1)
    assert calling.cancelled()
