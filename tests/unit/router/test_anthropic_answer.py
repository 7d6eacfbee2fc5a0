"""Wire cases of the messages API: odd answers that servers send, and what they mean.

The letters are those of a list of kinds: a wrong answer reported as success (A), a usable answer
thrown away (B), a wrong class of failure (C), wrong counts (E).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest

from services.content.model import FinishReason, Usage, UsageSource
from services.router.core.failures import FailureClass
from tests.support.messages_events import (
    PING,
    call_block,
    end,
    named,
    start,
    text_block,
    thinking_block,
)
from tests.unit.router.read_answers import Answer
from tests.unit.router.read_answers import messages_answer as answer

START, HI = start(), b"".join(text_block(0, "hi"))
DELTA, STOP = end()
ROME, TZ = '{"city":"Rome"}', '{"tz":"UTC"}'
PROVIDER = Usage(14, 4, 3, 2)
TRUNCATED, MALFORMED = FailureClass.STREAM_TRUNCATED, FailureClass.STREAM_MALFORMED


@dataclass(frozen=True)
class Case:
    """The bytes of an answer, and what it is; ``text`` and ``thinking`` also if it fails."""

    wire: bytes
    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    finish: FinishReason | None = FinishReason.STOP
    failure: FailureClass | None = None
    usage: Usage | None = PROVIDER
    states: tuple[bytes, ...] = ()


def whole(*parts: bytes, reason: object = "end_turn") -> bytes:
    return b"".join([START, *parts, *end(reason)])


def tool(index: int, call_id: str, name: str, *fragments: str) -> bytes:
    return b"".join(call_block(index, call_id, name, *fragments))


def data(text: str) -> bytes:
    return b"data: " + text.encode() + b"\n\n"


def fails(kind: FailureClass, *parts: bytes, text: str = "hi", usage: Usage | None = None) -> Case:
    """An answer of which ``text`` and the counts of the start have arrived."""
    counted = usage or Usage(14, 1, 3, 2)
    return Case(START + HI + b"".join(parts), text, finish=None, failure=kind, usage=counted)


def with_calls(*calls: tuple[str, str, str], wire: bytes) -> Case:
    return Case(wire, calls=calls, finish=FinishReason.TOOL_CALLS)


def block_event(kind: str, rest: str) -> bytes:
    return (
        f'event: content_block_{kind}\ndata: {{"type":"content_block_{kind}",{rest}}}\n\n'.encode()
    )


WEATHER = ("t1", "weather/get", ROME)
OPEN_WEATHER = '"content_block":{"type":"tool_use","id":"t1","name":"get_weather","input":'

CASES = {
    # A: a wrong answer reported as success
    "A1 two calls of one tool, each with index 0": with_calls(
        WEATHER,
        ("t2", "weather/get", TZ),
        wire=whole(
            tool(0, "t1", "get_weather", ROME), tool(0, "t2", "get_weather", TZ), reason="tool_use"
        ),
    ),
    "A1 calls that end with end_turn": with_calls(
        WEATHER, wire=whole(tool(0, "t1", "get_weather", ROME))
    ),
    "A2 two calls with the same id": with_calls(
        WEATHER,
        ("t1_1", "get_time", TZ),
        wire=whole(
            tool(0, "t1", "get_weather", ROME), tool(1, "t1", "get_time", TZ), reason="tool_use"
        ),
    ),
    "A5 a start that is repeated": with_calls(
        WEATHER,
        wire=whole(
            block_event("start", f'"index":0,{OPEN_WEATHER}{{}}}}'),
            block_event("start", f'"index":0,{OPEN_WEATHER}{{}}}}'),
            block_event(
                "delta",
                '"index":0,"delta":{"type":"input_json_delta",'
                '"partial_json":"{\\"city\\":\\"Rome\\"}"}',
            ),
            reason="tool_use",
        ),
    ),
    "A7 the answer within message_start": Case(
        start(content=[{"type": "text", "text": "hi"}]) + DELTA + STOP, "hi"
    ),
    "A8 the stop reason error": fails(FailureClass.SERVER_ERROR, *end("error"), usage=PROVIDER),
    "A8 an error beside the stop reason": fails(
        FailureClass.SERVER_ERROR,
        named("message_delta", delta={"stop_reason": "end_turn", "error": {"message": "down"}}),
    ),
    "A8 an error between stop reason and end": fails(
        FailureClass.OVERLOADED,
        DELTA,
        named("error", error={"type": "overloaded_error"}),
        usage=PROVIDER,
    ),
    "A10 sensitive": Case(whole(reason="sensitive"), finish=FinishReason.CONTENT_FILTER),
    "A10 SAFETY": Case(whole(reason="SAFETY"), finish=FinishReason.CONTENT_FILTER),
    "A10 an unknown stop reason": fails(MALFORMED, *end("eos"), usage=PROVIDER),
    "A12 tool_use without a call": fails(MALFORMED, *end("tool_use"), usage=PROVIDER),
    "A15 the arguments twice": fails(
        MALFORMED,
        tool(1, "t1", "get_weather", ROME, ROME),
        *end("tool_use"),
        usage=PROVIDER,
    ),
    "no stop reason": fails(MALFORMED, STOP),
    "an empty stop reason": fails(MALFORMED, *end(""), usage=PROVIDER),
    "no end": fails(TRUNCATED),
    "no end but [DONE]": fails(TRUNCATED, data("[DONE]")),
    "an end that is cut": fails(TRUNCATED, named("message_delta", delta={}, usage={})),
    "content after the stop reason, without an end": fails(
        TRUNCATED, DELTA, *text_block(1, " there"), text="hi there", usage=PROVIDER
    ),
    "a second answer within the first": fails(MALFORMED, START, HI, DELTA, STOP),
    "arguments of no call": fails(
        MALFORMED,
        block_event("delta", '"index":7,"delta":{"type":"input_json_delta","partial_json":"{}"}'),
    ),
    "a call without a name": fails(
        MALFORMED,
        block_event("start", '"index":1,"content_block":{"type":"tool_use","id":"t1"}'),
    ),
    "a list in place of an event": fails(MALFORMED, data("[1,2]")),
    "a call that the output limit cut": Case(
        whole(
            tool(0, "t1", "get_weather", ROME),
            tool(1, "t2", "get_time", '{"tz":'),
            reason="max_tokens",
        ),
        calls=(WEATHER,),
        finish=FinishReason.LENGTH,
    ),
    "a call that the output limit cut at its start": Case(
        whole(tool(0, "t1", "get_weather"), reason="max_tokens"), finish=FinishReason.LENGTH
    ),
    "a call of an answer that was withheld": Case(
        whole(tool(0, "t1", "get_weather", ROME), reason="refusal"),
        finish=FinishReason.CONTENT_FILTER,
    ),
    # B: a usable answer thrown away
    "B3 an object in place of a fragment": with_calls(
        WEATHER,
        wire=whole(
            block_event("start", f'"index":0,{OPEN_WEATHER}{{}}}}'),
            block_event(
                "delta",
                '"index":0,"delta":{"type":"input_json_delta","partial_json":{"city":"Rome"}}',
            ),
            reason="tool_use",
        ),
    ),
    "B3 the arguments with the start": with_calls(
        WEATHER,
        wire=whole(block_event("start", f'"index":0,{OPEN_WEATHER}{ROME}}}'), reason="tool_use"),
    ),
    "B3 the arguments with the start, as text": with_calls(
        WEATHER,
        wire=whole(
            block_event(
                "start",
                '"index":0,"content_block":{"type":"tool_use","id":"t1","name":"get_weather",'
                '"input":"{\\"city\\":\\"Rome\\"}"}',
            ),
            reason="tool_use",
        ),
    ),
    "B7 thinking in parts": Case(
        whole(
            block_event(
                "delta",
                '"index":0,"delta":{"type":"thinking_delta",'
                '"thinking":[{"type":"text","text":"hm"}]}',
            ),
            block_event(
                "delta",
                '"index":1,"delta":{"type":"text_delta","text":[{"type":"text","text":"hi"}]}',
            ),
        ),
        "hi",
        "hm",
        states=(b'{"type":"thinking","signature":""}',),
    ),
    "a signature after the stop": Case(
        whole(
            block_event("start", '"index":0,"content_block":{"type":"thinking","thinking":"hm"}'),
            block_event("stop", '"index":0'),
            block_event("delta", '"index":0,"delta":{"type":"signature_delta","signature":"c2ln"}'),
            HI,
        ),
        "hi",
        "hm",
        states=(b'{"type":"thinking","signature":"c2ln"}',),
    ),
    "B9 half a character": Case(
        START + HI.replace(b'"hi"', b'"h\xe6\xad"') + DELTA + STOP, "h\ufffd"
    ),
    "B9 half a surrogate pair": Case(
        START + HI.replace(b'"hi"', b'"h\\ud83d"') + DELTA + STOP, "h\ufffd"
    ),
    "B11 numbers as text, text as numbers": Case(
        whole(
            block_event("start", '"index":"0","content_block":{"type":"text","text":""}'),
            block_event("delta", '"index":"0","delta":{"type":"text_delta","text":17}'),
        ),
        "17",
    ),
    "B11 an id that is a number": with_calls(
        ("17", "get_time", "{}"),
        wire=whole(
            block_event(
                "start",
                '"index":0,"content_block":{"type":"tool_use","id":17,"name":"get_time"}',
            ),
            reason="tool_use",
        ),
    ),
    "B11 no id": with_calls(
        ("call_0", "get_time", "{}"),
        ("call_1", "get_time", "{}"),
        wire=whole(tool(0, "", "get_time"), tool(1, "", "get_time"), reason="tool_use"),
    ),
    "B11 a list of one": Case(
        whole(
            block_event("start", '"index":0,"content_block":[{"type":"text","text":"h"}]'),
            block_event("delta", '"index":0,"delta":[{"type":"text_delta","text":"i"}]'),
        ),
        "hi",
    ),
    "B13 empty data": Case(START + b"data:\n\n" + HI + DELTA + b"data:\n\n" + STOP, "hi"),
    "no blank lines": Case((START + HI + DELTA + STOP).replace(b"\n\n", b"\n"), "hi"),
    "B15 [DONE] as text": Case(START + HI + DELTA + data('"[DONE]"'), "hi"),
    "B15 [DONE]": Case(START + HI + DELTA + STOP + data("[DONE]"), "hi"),
    "B16 pings after the stop reason": Case(START + HI + DELTA + PING * 3, "hi"),
    "B18 a whole message as one event": Case(
        data(
            '{"type":"message","id":"msg_1","content":[{"type":"text","text":"hi"},'
            '{"type":"tool_use","id":"t1","name":"get_weather","input":{"city":"Rome"}}],'
            '"stop_reason":"tool_use","usage":{"input_tokens":14,"output_tokens":4}}'
        ),
        "hi",
        calls=(WEATHER,),
        finish=FinishReason.TOOL_CALLS,
        usage=Usage(14, 4),
    ),
    "B21 an empty error": Case(
        START + HI.replace(b'"index"', b'"error": {}, "index"') + DELTA + STOP, "hi"
    ),
    "H end of file after the stop reason": Case(START + HI + DELTA, "hi"),
    "garbage after the stop reason": Case(START + HI + DELTA + data("{nonsense") + STOP, "hi"),
    "events without names": Case(
        b"\n".join(line for line in whole(HI).split(b"\n") if not line.startswith(b"event:")),
        "hi",
    ),
    "data without types": Case(whole(HI).replace(b'"type"', b'"kind"'), "hi"),
    "neither": Case(
        b"\n".join(
            line
            for line in whole(HI).replace(b'"type"', b'"kind"').split(b"\n")
            if not line.startswith(b"event:")
        ),
        "hi",
        # Without any type, message_stop is an empty event; the answer is complete before it.
    ),
    "no message_start": Case(
        HI + b"".join(end(input_tokens=14, output_tokens=4)), "hi", usage=Usage(14, 4)
    ),
    "no starts and stops of blocks": Case(
        whole(named("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})),
        "hi",
    ),
    "an unknown block, delta and event": Case(
        whole(
            named("content_block_start", index=5, content_block={"type": "server_tool_use"}),
            named(
                "content_block_delta",
                index=5,
                delta={"type": "input_json_delta", "partial_json": "{}"},
            ),
            HI,
            named("content_block_delta", index=0, delta={"type": "citations_delta"}),
            named("future_event", anything=[1]),
        ),
        "hi",
    ),
    "thinking": Case(
        whole(*thinking_block(0, "c2ln", "h", "m"), *text_block(1, "hi")),
        "hi",
        "hm",
        states=(b'{"type":"thinking","signature":"c2ln"}',),
    ),
    "max_tokens": Case(whole(HI, reason="max_tokens"), "hi", finish=FinishReason.LENGTH),
    "stop_sequence": Case(whole(HI, reason="stop_sequence"), "hi"),
    "pause_turn": Case(whole(HI, reason="pause_turn"), "hi", finish=FinishReason.LENGTH),
    "context window": Case(
        whole(HI, reason="model_context_window_exceeded"), "hi", finish=FinishReason.LENGTH
    ),
    "refusal": Case(whole(reason="refusal"), finish=FinishReason.CONTENT_FILTER),
    # C: a wrong class of failure
    "C1 an error with a number": fails(
        FailureClass.RATE_LIMIT, data('{"error":{"message":"x","code":429}}')
    ),
    "C3 a code in an error event": fails(
        FailureClass.RATE_LIMIT,
        b'event:error\ndata:{"code":"Throttling.AllocationQuota","message":"x"}\n\n',
    ),
    "C4 a text in an error event": fails(
        FailureClass.RATE_LIMIT, b"event: error\ndata: Too many requests\n\n"
    ),
    "C4 a JSON text in an error event": fails(
        FailureClass.RATE_LIMIT, b'event: error\ndata: "Too many requests"\n\n'
    ),
    "C4 an error event without words": fails(
        FailureClass.SERVER_ERROR, b"event: error\ndata: {}\n\n"
    ),
    "C6 a credit balance": fails(
        FailureClass.PAYMENT,
        named(
            "error",
            error={"type": "invalid_request_error", "message": "credit balance is too low"},
        ),
    ),
    "C18 a type that says less than its text": fails(
        FailureClass.RATE_LIMIT,
        named("error", error={"type": "invalid_request_error", "message": "Too many requests"}),
    ),
    # E: wrong counts
    "E2 usage within the delta": Case(
        START
        + HI
        + named("message_delta", delta={"stop_reason": "end_turn", "usage": {"output_tokens": 4}}),
        "hi",
    ),
    "E6 no usage": Case(
        start(usage={}) + HI + b"".join(end(output_tokens=-1)),
        "hi",
        usage=Usage(10, 1, source=UsageSource.ESTIMATED),
    ),
    "E6 counts of another type": Case(
        start(usage={"input_tokens": "9", "cache_read_input_tokens": 5.0, "cache_creation": []})
        + HI
        + b"".join(end(output_tokens="4")),
        "hi",
        usage=Usage(14, 4, 5),
    ),
    "E6 no count of the output but that of the start": Case(
        START + HI + named("message_delta", delta={"stop_reason": "end_turn"}) + STOP,
        "hi",
        usage=Usage(14, 1, 3, 2, source=UsageSource.ESTIMATED),
    ),
    "E a lower count at the end": Case(
        START + HI + b"".join(end(input_tokens=4, output_tokens=4)), "hi", usage=Usage(9, 4, 3, 2)
    ),
    "E6 the input at the end only": Case(
        start(usage={"input_tokens": 0, "output_tokens": 0})
        + HI
        + b"".join(end(input_tokens=14, output_tokens=4)),
        "hi",
        usage=Usage(14, 4),
    ),
    "E cache writes by lifetime, and thinking": Case(
        start(usage={"input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 5}})
        + HI
        + b"".join(end(output_tokens=4, output_tokens_details={"thinking_tokens": 3})),
        "hi",
        usage=Usage(14, 4, 0, 5, 3),
    ),
}


def check(found: Answer, case: Case) -> None:
    assert (found.text, found.thinking) == (case.text, case.thinking)
    assert tuple(found.calls) == case.calls
    assert (found.finish, found.failure) == (case.finish, case.failure)
    assert found.usage == case.usage
    assert tuple(found.states) == case.states


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_wire_case(case: Case) -> None:
    check(await answer(case.wire), case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_an_answer_does_not_depend_on_where_reads_end(case: Case) -> None:
    # given the answer in one read
    in_one = await answer(case.wire)

    # when it comes byte by byte, and in two reads with every end of the first
    size = len(case.wire)
    pieces = [[case.wire[a:b] for a, b in pairwise(range(size + 1))]]
    pieces += [[case.wire[:n], case.wire[n:]] for n in range(1, size)]

    # then
    for each in pieces:
        assert await answer(*each) == in_one


async def test_ids_of_calls_are_unique_in_a_conversation() -> None:
    # given a provider that begins its ids anew in every turn
    wire = whole(tool(0, "call_0", "get_time"), tool(1, "", "get_time"), reason="tool_use")

    # when
    found = await answer(wire, earlier_ids=["call_0", "call_1"])

    # then
    first, second = [call_id for call_id, _, _ in found.calls]
    assert len({first, second, "call_0", "call_1"}) == 4


async def test_arguments_have_a_limit() -> None:
    # given
    half = "x" * 600_000

    # when, then
    found = await answer(START, tool(0, "t1", "get_time", half, half))
    assert found.failure is MALFORMED


async def test_the_first_id_that_is_told_is_kept() -> None:
    # given a start without an id before the one that has it
    found = await answer(start(id=None), START, HI, DELTA, STOP)

    # then
    assert (found.response_id, found.text) == ("msg_1", "hi")
