"""The anthropic adapter against an HTTP server: answers, failures and hang-ups."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.content.model import FinishReason, ToolCall, Usage
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UsageReport,
)
from services.router.core.quota_windows import QuotaWindow
from tests.contract.router.adapter_calls import ASK, LOOK, AdapterCalls, said
from tests.support.fake_provider import Cut, Move, Pause, Script, refusal, stream
from tests.support.messages_events import (
    MESSAGE_ID,
    PING,
    USAGE,
    block,
    call_block,
    end,
    named,
    start,
    text_block,
    thinking_block,
)
from tests.support.stack import free_port
from tests.unit.router.builders import at

HELLO = [start(), *text_block(0, "Hel", "lo"), *end()]
# Of USAGE and of the 4 tokens at the end.
COUNTED = Usage(14, 4, 3, 2)


@pytest.mark.parametrize("end_of_url", ["", "/", "/messages"])
async def test_an_answer_becomes_items(anthropic: AdapterCalls, end_of_url: str) -> None:
    # given
    anthropic.provider.answers(stream(PING, *HELLO))

    # when
    items = await anthropic.items(base_url=anthropic.provider.base_url + end_of_url)

    # then the counts of the start and of the end belong together
    assert items == [
        Opened(MESSAGE_ID),
        TextDelta("Hello"),
        UsageReport(COUNTED),
        Finished(FinishReason.STOP),
    ]
    assert anthropic.provider.requests[0].path == "/v1/messages"


async def test_the_version_may_be_missing_in_the_base_url(anthropic: AdapterCalls) -> None:
    # given
    anthropic.provider.answers(stream(*HELLO))

    # when
    await anthropic.items(base_url=anthropic.provider.base_url.removesuffix("/v1"))

    # then
    assert anthropic.provider.requests[0].path == "/v1/messages"


async def test_calls_of_tools_are_assembled(anthropic: AdapterCalls) -> None:
    # given two calls, one of which has no arguments
    calls = [
        *call_block(0, "toolu_1", "look", '{"a":', "1}"),
        *call_block(1, "toolu_2", "look"),
    ]
    anthropic.provider.answers(stream(start(), *calls, *end("tool_use")))

    # when
    items = await anthropic.items(replace(ASK, tools=(LOOK,)))

    # then
    assert items[1:7] == [
        ToolCallDelta(0, "", "toolu_1", "look"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(0, "1}"),
        ToolCallDelta(1, "", "toolu_2", "look"),
        ToolCallReady(0, ToolCall("toolu_1", "look", '{"a":1}')),
        ToolCallReady(1, ToolCall("toolu_2", "look", "{}")),
    ]
    assert items[-1] == Finished(FinishReason.TOOL_CALLS)


async def test_thinking_comes_with_its_state(anthropic: AdapterCalls) -> None:
    # given two blocks of thinking, one of them withheld
    blocks = [
        *thinking_block(0, "c2ln", "h", "m"),
        *block(1, {"type": "redacted_thinking", "data": "ZGF0YQ=="}),
        *text_block(2, "ok"),
    ]
    anthropic.provider.answers(stream(start(), *blocks, *end()))

    # when
    items = await anthropic.items()

    # then
    assert items[1:6] == [
        ReasoningDelta("h", "vllm"),
        ReasoningDelta("m", "vllm"),
        ReasoningDelta("", "vllm", b'{"type":"thinking","signature":"c2ln"}'),
        ReasoningDelta("", "vllm", b'{"type":"redacted_thinking","data":"ZGF0YQ=="}'),
        TextDelta("ok"),
    ]


OVERLOADED = named("error", error={"type": "overloaded_error", "message": "Overloaded"})
BROKEN: dict[str, tuple[Sequence[Move], FailureClass]] = {
    "end of file": ([], FailureClass.STREAM_TRUNCATED),
    "connection cut": ([Pause(), Cut()], FailureClass.STREAM_TRUNCATED),
    "an error in the stream": ([OVERLOADED], FailureClass.OVERLOADED),
    "garbage": ([b"data: {nonsense\n\n"], FailureClass.STREAM_MALFORMED),
    "endless event": ([b"data: " + b"x" * (3 * 1024 * 1024)], FailureClass.STREAM_MALFORMED),
}


@pytest.mark.parametrize(("moves", "kind"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_stream_fails_after_the_items_before_it(
    anthropic: AdapterCalls, moves: Sequence[Move], kind: FailureClass
) -> None:
    # given
    anthropic.provider.answers(stream(start(), *text_block(0, "a"), *moves))
    releasing = asyncio.create_task(anthropic.release_when_paused())

    # when
    items, failure = await anthropic.failure()
    releasing.cancel()
    await asyncio.wait({releasing})

    # then the counts so far are told
    assert said(items) == "a"
    assert items[-1] == UsageReport(Usage(14, 1, 3, 2))
    assert failure.kind is kind


def vendor(kind: str, message: str = "no") -> object:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


CREDIT = "Your credit balance is too low to access the Anthropic API."
LONG = "prompt is too long: 200001 tokens > 200000 maximum"
LIMIT = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"
WINDOW = {
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:20Z",
}
EXHAUSTED = (QuotaWindow("requests", None, 0, at(20), "anthropic-ratelimit"),)


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (
            refusal(400, vendor("invalid_request_error", "bad top_p")),
            Failure(FailureClass.INVALID_REQUEST, 400, None, "bad top_p"),
        ),
        (
            refusal(400, vendor("invalid_request_error", LONG)),
            Failure(FailureClass.CONTEXT_LENGTH, 400, None, LONG),
        ),
        (
            refusal(400, vendor("invalid_request_error", LIMIT)),
            Failure(FailureClass.CONTEXT_LENGTH, 400, None, LIMIT),
        ),
        (
            refusal(400, vendor("invalid_request_error", CREDIT)),
            Failure(FailureClass.PAYMENT, 400),
        ),
        (refusal(401, vendor("authentication_error")), Failure(FailureClass.AUTH, 401)),
        (refusal(402, vendor("billing_error")), Failure(FailureClass.PAYMENT, 402)),
        (refusal(403, vendor("permission_error")), Failure(FailureClass.PERMISSION, 403)),
        (refusal(404, vendor("not_found_error")), Failure(FailureClass.NOT_FOUND, 404)),
        (
            refusal(413, vendor("request_too_large", "too large")),
            Failure(FailureClass.CONTEXT_LENGTH, 413, None, "too large"),
        ),
        (
            refusal(429, vendor("rate_limit_error"), retry_after="12", **WINDOW),
            Failure(FailureClass.RATE_LIMIT, 429, 12.0, windows=EXHAUSTED),
        ),
        (
            refusal(429, vendor("rate_limit_error"), **WINDOW),
            Failure(FailureClass.RATE_LIMIT, 429, 20.0, windows=EXHAUSTED),
        ),
        (refusal(500, vendor("api_error")), Failure(FailureClass.SERVER_ERROR, 500)),
        (refusal(504, vendor("timeout_error")), Failure(FailureClass.SERVER_ERROR, 504)),
        (refusal(529, vendor("overloaded_error")), Failure(FailureClass.OVERLOADED, 529)),
        (refusal(200, vendor("overloaded_error")), Failure(FailureClass.OVERLOADED, 500)),
        (refusal(200, {"error": {"code": 401}}), Failure(FailureClass.AUTH, 401)),
    ],
)
async def test_a_refusal_is_raised_on_opening(
    anthropic: AdapterCalls, script: Script, failure: Failure
) -> None:
    # given
    anthropic.provider.answers(script)

    # when
    items, found = await anthropic.failure()

    # then, after exactly one request
    assert (items, found) == ([], failure)
    assert len(anthropic.provider.requests) == 1


async def test_a_provider_that_cannot_be_reached(anthropic: AdapterCalls) -> None:
    # when
    _, failure = await anthropic.failure(base_url=f"http://127.0.0.1:{free_port()}")

    # then
    assert failure == Failure(FailureClass.SERVER_ERROR)


WHOLE = {
    "id": MESSAGE_ID,
    "type": "message",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {**USAGE, "output_tokens": 4},
}


@pytest.mark.parametrize(
    "script",
    [
        stream(*HELLO, Content_Type="application/json"),
        refusal(200, json.dumps(WHOLE, indent=1).encode()),
        stream(*HELLO[:-1]),
        stream(*HELLO[:-1], Cut()),
    ],
    ids=["events labelled as json", "a document", "no message_stop", "cut after the stop reason"],
)
async def test_a_whole_answer_is_taken_in_every_form(
    anthropic: AdapterCalls, script: Script
) -> None:
    # given
    anthropic.provider.answers(script)

    # when
    items = await anthropic.items()

    # then
    assert said(items) == "Hello"
    assert items[-2:] == [UsageReport(COUNTED), Finished(FinishReason.STOP)]


async def test_blanks_before_a_document_are_read_over(anthropic: AdapterCalls) -> None:
    # given a server that sends blanks until it has its answer
    document = json.dumps(WHOLE).encode()
    json_type = {"Content-Type": "application/json"}
    anthropic.provider.answers(Script((b"\n", Pause(), document), headers=json_type))
    releasing = asyncio.create_task(anthropic.release_when_paused())

    # when
    items = await anthropic.items()
    await releasing

    # then
    assert said(items) == "Hello"


async def test_a_complete_answer_waits_a_second_for_its_end(anthropic: AdapterCalls) -> None:
    # given a provider that sends only pings after the stop reason
    anthropic.provider.answers(stream(*HELLO[:-1], PING, Pause()))
    calling = asyncio.create_task(anthropic.items())
    await anthropic.until_waiting()

    # when less than a second passes, then a whole one
    anthropic.clock.advance(0.9)
    early, _ = await asyncio.wait({calling}, timeout=0.01)
    anthropic.clock.advance(0.1)
    items = await calling

    # then
    assert not early
    assert items[-1] == Finished(FinishReason.STOP)


async def test_leaving_early_closes_the_connection(anthropic: AdapterCalls) -> None:
    # given an answer that does not end
    anthropic.provider.answers(stream(start(), Pause(), *end()))

    # when the reader leaves after the first item
    async with anthropic.open() as upstream:
        await upstream.read()

    # then the provider sees it
    await anthropic.provider.until(disconnects=1)
    assert anthropic.provider.disconnects == 1


@pytest.mark.parametrize("before", [[], HELLO[:3], HELLO[:-1]], ids=["headers", "text", "the end"])
async def test_a_cancel_closes_the_connection(anthropic: AdapterCalls, before: list[bytes]) -> None:
    # given a provider that does not go on
    script = stream(*before, Pause()) if before else Script((Pause(),))
    anthropic.provider.answers(script)
    calling = asyncio.create_task(anthropic.items())
    await anthropic.provider.until(pauses=1)

    # when
    calling.cancel()
    await asyncio.wait({calling})

    # then
    await anthropic.provider.until(disconnects=1)
    assert calling.cancelled()


async def test_one_connection_serves_one_answer_after_the_other(anthropic: AdapterCalls) -> None:
    # given answers whose last byte comes with their end
    anthropic.provider.always(stream(b"".join(HELLO)))

    # when
    for _ in range(3):
        await anthropic.items()

    # then
    assert len({request.peer for request in anthropic.provider.requests}) == 1
