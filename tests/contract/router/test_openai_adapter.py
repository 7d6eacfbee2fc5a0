"""The openai adapter against a real HTTP server that behaves as badly as real ones do."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from services.content.model import (
    FinishReason,
    Image,
    Message,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    UsageSource,
)
from services.router.clients.openai import OpenAiAdapter, open_session
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    UpstreamItem,
    UsageReport,
)
from services.router.core.model import Credential, Header, Member, Model, OpenAi, Provider
from services.router.core.ports import UpstreamCall
from services.router.core.request import (
    JsonObject,
    JsonSchema,
    Prompt,
    ReasoningEffort,
    Sampling,
    ToolChoice,
    ToolChoiceMode,
)
from tests.support.clock import ManualClock
from tests.support.fake_provider import (
    CHUNK_ID,
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
from tests.support.stack import exported, free_port

ASK = Prompt((Message(Role.USER, (Text("hi"),)),))
LOOK = ToolDefinition("look", "Looks.", '{"type": "object"}')


@pytest.fixture
async def adapter() -> AsyncIterator[OpenAiAdapter]:
    async with open_session() as session:
        yield OpenAiAdapter(session, ManualClock())


def member(base_url: str, credential: Credential | None = None, **options: object) -> Member:
    api = replace(OpenAi(base_url), **options)  # type: ignore[arg-type]  # fields by name
    served = Provider("vllm", api, credential)
    return Member(Model("m1", "vllm", "gpt"), served)


async def items_of(adapter: OpenAiAdapter, to: Member, prompt: Prompt = ASK) -> list[UpstreamItem]:
    """The whole answer."""
    items: list[UpstreamItem] = []
    async with adapter.open(UpstreamCall(to, prompt, "session")) as upstream:
        while not items or not isinstance(items[-1], Finished):
            items += await upstream.read()
    return items


async def failure_of(
    adapter: OpenAiAdapter, to: Member, prompt: Prompt = ASK
) -> tuple[list[UpstreamItem], Failure]:
    """What came before the failure, and the failure."""
    items: list[UpstreamItem] = []
    with pytest.raises(UpstreamError) as raised:  # noqa: PT012  # the reads before it are the point
        async with adapter.open(UpstreamCall(to, prompt, "")) as upstream:
            while True:
                items += await upstream.read()
    return items, raised.value.failure


def said(items: list[UpstreamItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))


async def test_an_answer_becomes_items(provider: FakeProvider, adapter: OpenAiAdapter) -> None:
    # given a provider that streams, counts and finishes
    counted = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    provider.answers(stream(*text("Hel", "lo"), *finish(usage=counted)))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert items == [
        Opened(CHUNK_ID),
        TextDelta("Hel"),
        TextDelta("lo"),
        UsageReport(Usage(9, 4, 3, 0, 1)),
        Finished(FinishReason.STOP),
    ]
    (request,) = provider.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "authorization" not in request.headers


async def test_tokens_are_estimated_when_nobody_counts(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a provider that refuses to be asked for counts
    provider.answers(stream(*text("12345678"), *finish()))

    # when
    items = await items_of(adapter, member(provider.base_url, stream_usage=False))

    # then eight characters make two tokens
    (report,) = [item for item in items if isinstance(item, UsageReport)]
    assert report.usage.output_tokens == 2
    assert report.usage.input_tokens > 0
    assert report.usage.source is UsageSource.ESTIMATED
    assert "stream_options" not in provider.requests[0].body


async def test_the_last_of_many_counts_is_the_one(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given usage on every chunk
    chunks = [
        chunk({"content": str(n)}, usage={"prompt_tokens": 5, "completion_tokens": n})
        for n in (1, 2)
    ]
    provider.answers(stream(*chunks, *finish()))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert [item.usage for item in items if isinstance(item, UsageReport)] == [Usage(5, 2)]


SPLIT = b"".join([*text("gr\u00fc\u00df", "\U0001f680"), *finish()])


@pytest.mark.parametrize(
    "moves",
    [
        [SPLIT.replace(b"\n", b"\r\n")],
        [SPLIT.replace(b"\n", b"\r")],
        [SPLIT[:-2]],
        [SPLIT.removesuffix(b"data: [DONE]\n\n")],
        [SPLIT + b'data: {"broken\n\n'],
        [b"\xef\xbb\xbf" + SPLIT],
        [b": keep-alive\n\n" + SPLIT.replace(b"\n\n", b"\n\n: OPENROUTER PROCESSING\n\n")],
        [event({"id": CHUNK_ID, "choices": []}) + SPLIT],
        [b"event: ping\ndata: {}\n\n" + SPLIT],
        [SPLIT.replace(b'"object"', b'"obfuscation": "xyz", "timings": {"n": 1}, "object"')],
        [SPLIT.replace(b"data: [DONE]", chunk({}, finish_reason="stop") + b"data: [DONE]")],
        [SPLIT[:90], SPLIT[90:-1], SPLIT[-1:]],
        [SPLIT[n : n + 1] for n in range(len(SPLIT))],
    ],
    ids=[
        "crlf",
        "cr",
        "no final blank line",
        "no [DONE]",
        "data after [DONE]",
        "byte order mark",
        "keep-alive comments",
        "empty choices",
        "foreign event",
        "unknown fields",
        "two finish chunks",
        "three writes",
        "byte by byte",
    ],
)
async def test_quirks_that_make_no_difference(
    provider: FakeProvider, adapter: OpenAiAdapter, moves: list[bytes]
) -> None:
    # given
    provider.answers(stream(*moves))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert said(items) == "grüß🚀"
    assert items[-1] == Finished(FinishReason.STOP)
    assert sum(isinstance(item, Opened) for item in items) == 1


async def test_a_compressed_stream_is_read(provider: FakeProvider, adapter: OpenAiAdapter) -> None:
    # given a server that compresses although it was told not to
    provider.answers(stream(gzip.compress(SPLIT), Content_Encoding="gzip"))

    # when, then
    assert said(await items_of(adapter, member(provider.base_url))) == "grüß🚀"
    assert provider.requests[0].headers["accept-encoding"] == "identity"


async def test_an_event_of_1_mib_passes(provider: FakeProvider, adapter: OpenAiAdapter) -> None:
    # given
    provider.answers(stream(*text("x" * 1024 * 1024), *finish()))

    # when, then
    assert len(said(await items_of(adapter, member(provider.base_url)))) == 1024 * 1024


async def test_what_arrives_together_is_read_together(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given twenty deltas in one write
    provider.answers(stream(b"".join(text(*"abcdefghijklmnopqrst"))))

    # when
    async with adapter.open(UpstreamCall(member(provider.base_url), ASK, "")) as upstream:
        items = await upstream.read()

    # then
    assert said(list(items)) == "abcdefghijklmnopqrst"


def call_delta(
    index: int | None, arguments: str, call_id: str | None = None, name: str | None = None
) -> dict[str, object]:
    delta: dict[str, object] = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        delta["index"] = index
    if call_id is not None:
        delta |= {"id": call_id, "type": "function"}
    return delta


async def test_interleaved_tool_calls_are_put_together_by_index(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given two calls whose arguments arrive in turns, and a finish that says "stop"
    deltas = [
        [call_delta(0, "", "c1", "look"), call_delta(1, "", "c2", "look")],
        [call_delta(0, '{"a":')],
        [call_delta(1, '{"b":2}')],
        [call_delta(0, "1}")],
    ]
    provider.answers(stream(*(chunk({"tool_calls": d}) for d in deltas), *finish("stop")))

    # when
    items = await items_of(adapter, member(provider.base_url), replace(ASK, tools=(LOOK,)))

    # then
    assert items[1:7] == [
        ToolCallDelta(0, "", "c1", "look"),
        ToolCallDelta(1, "", "c2", "look"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(1, '{"b":2}'),
        ToolCallDelta(0, "1}"),
        ToolCallReady(0, ToolCall("c1", "look", '{"a":1}')),
    ]
    assert items[7] == ToolCallReady(1, ToolCall("c2", "look", '{"b":2}'))
    assert items[-1] == Finished(FinishReason.TOOL_CALLS)


@pytest.mark.parametrize("index", [None, 0], ids=["no index", "always index 0"])
async def test_whole_calls_with_a_poor_index_are_told_apart_by_id(
    provider: FakeProvider, adapter: OpenAiAdapter, index: int | None
) -> None:
    # given two complete calls in one chunk
    calls = [call_delta(index, "{}", "c1", "look"), call_delta(index, "", "c2", "look")]
    provider.answers(stream(chunk({"tool_calls": calls}), *finish("stop")))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    ready = [item for item in items if isinstance(item, ToolCallReady)]
    assert ready == [
        ToolCallReady(0, ToolCall("c1", "look", "{}")),
        ToolCallReady(1, ToolCall("c2", "look", "{}")),
    ]


async def test_a_function_call_of_old_servers_is_a_tool_call(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given
    function = {"function_call": {"name": "look", "arguments": "{}"}}
    provider.answers(stream(chunk(function), *finish("function_call")))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then an id is made for it
    assert ToolCallReady(0, ToolCall("call_0", "look", "{}")) in items


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_under_either_name(
    provider: FakeProvider, adapter: OpenAiAdapter, field: str
) -> None:
    # given
    provider.answers(stream(chunk({field: "hm"}), *text("ok"), *finish()))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert items[1:3] == [ReasoningDelta("hm"), TextDelta("ok")]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("eos_token", FinishReason.STOP),
    ],
)
async def test_finish_reasons(
    provider: FakeProvider, adapter: OpenAiAdapter, reason: str, expected: FinishReason
) -> None:
    # given
    provider.answers(stream(chunk({"refusal": "I'd rather not"}), *finish(reason)))

    # when
    items = await items_of(adapter, member(provider.base_url))

    # then
    assert items[-1] == Finished(expected)
    assert said(items) == "I'd rather not"


BROKEN: dict[str, tuple[Sequence[Move], FailureClass]] = {
    "end of file before the finish": (text("a"), FailureClass.STREAM_TRUNCATED),
    "connection cut": ([*text("a"), Pause(), Cut()], FailureClass.STREAM_TRUNCATED),
    "garbage": ([*text("a"), b"data: {nonsense\n\n"], FailureClass.STREAM_MALFORMED),
    "no chunk at all": ([*text("a"), b"data: [1, 2]\n\n"], FailureClass.STREAM_MALFORMED),
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
    released = asyncio.create_task(_release_when_asked(provider))

    # when
    items, failure = await failure_of(adapter, member(provider.base_url))
    await released

    # then
    assert said(items) == "a"
    assert failure.kind is kind


async def _release_when_asked(provider: FakeProvider) -> None:
    await provider.until(requests=1)
    for _ in range(50):
        await asyncio.sleep(0)
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


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("sk-from-file\n")
    return file


async def test_credentials_are_read_at_the_time_of_the_call(
    provider: FakeProvider, adapter: OpenAiAdapter, secret_file: Path
) -> None:
    # given a key in a variable, another one in a file, and a header from a file
    provider.always(stream(*text("a"), *finish()))
    by_env = member(provider.base_url, Credential(env="TEST_ROUTER_KEY"))
    extra = (Header("X-Team", "blue"), Header("X-Key", secret=Credential(file=str(secret_file))))
    by_file = member(
        provider.base_url,
        Credential(file=str(secret_file)),
        headers=extra,
        organization="org",
        project="prj",
    )

    # when, with a change of the variable in between
    with exported({"TEST_ROUTER_KEY": "sk-one"}):
        await items_of(adapter, by_env)
    with exported({"TEST_ROUTER_KEY": "sk-two"}):
        await items_of(adapter, by_env)
    await items_of(adapter, by_file)

    # then
    sent = [request.headers["authorization"] for request in provider.requests]
    assert sent == ["Bearer sk-one", "Bearer sk-two", "Bearer sk-from-file"]
    last = provider.requests[-1].headers
    assert (last["x-team"], last["x-key"]) == ("blue", "sk-from-file")
    assert (last["openai-organization"], last["openai-project"]) == ("org", "prj")


@pytest.mark.parametrize(
    "credential", [Credential(env="TEST_ROUTER_ABSENT"), Credential(file="/nowhere/key")]
)
async def test_without_its_credential_nothing_is_sent(
    provider: FakeProvider,
    adapter: OpenAiAdapter,
    credential: Credential,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # when
    _, failure = await failure_of(adapter, member(provider.base_url, credential))

    # then the operator learns which one
    assert failure == Failure(FailureClass.AUTH)
    assert provider.requests == []
    (record,) = caplog.records
    assert "holds no credential" in str(record.__dict__["credential"])


async def test_a_secret_is_neither_logged_nor_told(
    provider: FakeProvider, adapter: OpenAiAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    # given a provider that repeats the key in its error
    provider.answers(refusal(400, {"error": {"message": "key sk-very-secret is odd"}}))

    # when
    with exported({"TEST_ROUTER_KEY": "sk-very-secret"}):
        to = member(provider.base_url, Credential(env="TEST_ROUTER_KEY"))
        _, failure = await failure_of(adapter, to)

    # then
    assert failure.detail == "key *** is odd"
    assert "sk-very-secret" not in caplog.text


async def test_a_conversation_as_the_provider_sees_it(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given every kind of message, and a tool whose id is no legal function name
    odd = ToolDefinition("files/read one", "Reads.", "")
    call = ToolCall("c1", "files/read one", '{"a": 1}')
    prompt = Prompt(
        messages=(
            Message(Role.SYSTEM, (Text("be nice"),)),
            Message(
                Role.USER,
                (
                    Text("what is this?"),
                    Image(url="https://x/y.png"),
                    Image(data=b"\x01", media_type="image/png"),
                ),
            ),
            Message(Role.ASSISTANT, (Reasoning("hm"), Text("let me see"), call)),
            Message(Role.TOOL, (ToolResult("c1", "a cat"), ToolResult("c2", "no", is_error=True))),
            Message(Role.ASSISTANT, (call,)),
            Message(Role.ASSISTANT, (Reasoning("hm"),)),
        ),
        tools=(LOOK, odd),
        tool_choice=ToolChoice(ToolChoiceMode.TOOL, "files/read one"),
        sampling=Sampling(0.5, 0.9, 100, ("END",), 7, ReasoningEffort.LOW),
        response_format=JsonSchema("answer", '{"type": "object"}', strict=True),
    )
    provider.answers(stream(chunk({"tool_calls": [call_delta(0, "{}", "c9", "look")]}), *finish()))

    # when
    to = member(provider.base_url, output_limit_field="max_completion_tokens")
    await items_of(adapter, to, prompt)

    # then
    body = provider.requests[0].body
    name = body["tools"][1]["function"]["name"]
    assert name.startswith("files_read_one_")
    assert len(name) <= 64
    sent_call = {
        "id": "c1",
        "type": "function",
        "function": {"name": name, "arguments": '{"a": 1}'},
    }
    assert body["messages"] == [
        {"role": "system", "content": "be nice"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}},
            ],
        },
        {"role": "assistant", "content": "let me see", "tool_calls": [sent_call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": "no"},
        {"role": "assistant", "content": None, "tool_calls": [sent_call]},
        {"role": "assistant", "content": ""},
    ]
    assert body["tools"][0]["function"] == {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object"},
    }
    assert body["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert body["tool_choice"] == {"type": "function", "function": {"name": name}}
    assert body["max_completion_tokens"] == 100
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.5, 0.9, 7)
    assert (body["stop"], body["reasoning_effort"]) == (["END"], "low")
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }
    assert "prompt_cache_key" not in body


async def test_a_stand_in_name_leads_back_to_its_tool(
    provider: FakeProvider, adapter: OpenAiAdapter
) -> None:
    # given a first request that shows the stand-in
    prompt = replace(ASK, tools=(ToolDefinition("a/b", "", ""),))
    provider.answers(stream(*text("x"), *finish()))
    await items_of(adapter, member(provider.base_url), prompt)
    name = provider.requests[0].body["tools"][0]["function"]["name"]

    # when the model calls it
    provider.answers(stream(chunk({"tool_calls": [call_delta(0, "{}", "c1", name)]}), *finish()))
    items = await items_of(adapter, member(provider.base_url), prompt)

    # then
    assert ToolCallReady(0, ToolCall("c1", "a/b", "{}")) in items


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        (ToolChoiceMode.AUTO, None),
        (ToolChoiceMode.NONE, "none"),
        (ToolChoiceMode.REQUIRED, "required"),
    ],
)
async def test_tool_choices(
    provider: FakeProvider, adapter: OpenAiAdapter, mode: ToolChoiceMode, sent: str | None
) -> None:
    # given
    provider.answers(stream(*text("x"), *finish()))
    prompt = Prompt(ASK.messages, (LOOK,), ToolChoice(mode), response_format=JsonObject())

    # when
    await items_of(adapter, member(provider.base_url), prompt)

    # then
    body = provider.requests[0].body
    assert body.get("tool_choice") == sent
    assert body["response_format"] == {"type": "json_object"}
