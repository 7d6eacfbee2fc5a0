"""Wire cases of chat completions: odd answers that servers send, and what they mean.

The letters are those of a list of kinds: a wrong answer reported as success (A), a usable answer
thrown away (B), a wrong class of failure (C), wrong counts and metadata (E).
"""

from __future__ import annotations

import json

import pytest

from services.content.model import FinishReason, Usage
from services.router.core.failures import FailureClass
from tests.unit.router.chat_cases import (
    AS_PART,
    BY_NAME,
    CALLED,
    COUNTED,
    DONE,
    ESTIMATED,
    HI,
    MALFORMED,
    TRUNCATED,
    WEATHER,
    Case,
    check,
    check_pieces,
    chunk,
    data,
    end,
    fails,
    say,
    says,
)
from tests.unit.router.read_answers import chat_answer as answer

MESSAGE = {"role": "assistant", "content": "hi"}
WHOLE = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}
COUNTS = {"prompt_tokens": 9, "completion_tokens": 4}

CASES = {
    "A7 a message for a delta": says(data({"id": "x", **WHOLE, "usage": COUNTS}) + DONE),
    "A7 messages for deltas": says(
        data({"choices": [{"message": {"content": "h"}}]}),
        data(
            {"choices": [{"message": {"content": "i"}, "finish_reason": "stop"}], "usage": COUNTS}
        ),
    ),
    "A7 a message that repeats the deltas": says(
        data({"choices": [{"delta": {"content": "h"}, "message": {"content": "h"}}]}),
        data({"choices": [{"delta": {"content": "i"}, "message": {"content": "hi"}}]}),
        data({"choices": [{"message": MESSAGE, "finish_reason": "stop"}]}),
        end(),
    ),
    "A7 a text for a delta": says(
        data({"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": COUNTS}), DONE
    ),
    "A7 a message with a call": Case(
        data({"choices": [{"message": {"content": None, "tool_calls": [CALLED]}}]})
        + end("tool_calls"),
        calls=(WEATHER,),
        finish=FinishReason.TOOL_CALLS,
    ),
    "A8 the finish reason error": fails(FailureClass.SERVER_ERROR, end("error"), usage=COUNTED),
    "A8 an error beside it": fails(
        FailureClass.RATE_LIMIT, chunk(finish_reason="error", error={"code": 429, "message": "x"})
    ),
    "A8 an error beside a finish reason that is none": fails(
        FailureClass.OVERLOADED, chunk(finish_reason="stop", error={"code": 503})
    ),
    "A8 an error in a delta": fails(FailureClass.RATE_LIMIT, chunk({"error": {"code": "429"}})),
    "A8 an error beside text": fails(
        FailureClass.RATE_LIMIT, chunk({"content": "!"}, top_error={"code": 429})
    ),
    "A8 an error after the finish": fails(
        FailureClass.OVERLOADED,
        chunk(finish_reason="stop"),
        data({"error": {"type": "overloaded_error"}}),
    ),
    "A8 the finish reason network_error": fails(
        FailureClass.SERVER_ERROR, end("network_error"), usage=COUNTED
    ),
    "A8 the finish reason insufficient_system_resource": fails(
        FailureClass.OVERLOADED, end("insufficient_system_resource"), usage=COUNTED
    ),
    "A8 the finish reason abort": fails(FailureClass.SERVER_ERROR, end("abort"), usage=COUNTED),
    "an unknown finish reason": fails(MALFORMED, end("banana"), usage=COUNTED),
    "a list of finish reasons": fails(MALFORMED, end(["stop", "length"]), usage=COUNTED),
    "an empty finish reason": fails(TRUNCATED, end(""), usage=COUNTED),
    "no end": fails(TRUNCATED),
    "no end but [DONE]": fails(TRUNCATED, DONE),
    "text after the finish reason, without an end": fails(
        TRUNCATED, chunk(finish_reason="stop"), say(" there"), text="hi there"
    ),
    "text after the finish reason": says(
        HI, chunk(finish_reason="stop"), say(" there"), end(), text="hi there"
    ),
    "text after the finish reason, then [DONE]": says(
        HI,
        chunk(finish_reason="stop", usage=COUNTS),
        say(" there"),
        DONE,
        text="hi there",
    ),
    "the finish reason beside the last text": says(
        chunk({"content": "hi"}, finish_reason="stop"), data({"usage": COUNTS})
    ),
    "A14 a second choice in chunks of its own": says(HI, HI.replace(b": 0,", b": 1,"), end()),
    "A14 a second choice": says(
        data(
            {
                "choices": [
                    {"index": 0, "delta": {"content": "hi"}},
                    {"index": 1, "delta": {"content": "ho"}, "finish_reason": "length"},
                ]
            }
        ),
        data({"choices": [{"index": 1, "delta": {"content": "ho"}, "error": {"code": 500}}]}),
        end(),
    ),
    "A14 a second choice without an index": says(
        data({"choices": [{"delta": {"content": "hi"}}, {"delta": {"content": "ho"}}]}), end()
    ),
    "choices that are counted from 1": says(
        data({"choices": [{"index": 1, "delta": {"content": "hi"}, "finish_reason": "stop"}]}),
        data({"usage": COUNTS}),
    ),
    "B7 thinking in parts": Case(
        say([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}])
        + say([{"type": "text", "text": "hi"}])
        + end(),
        "hi",
        "hm",
        states=(AS_PART,),
    ),
    "B7 one part for a list": says(say({"type": "text", "text": "hi"}), end()),
    "B7 texts for parts": says(say(["h", "i"]), end()),
    "B7 a part that refuses": says(say([{"type": "refusal", "refusal": "hi"}]), end()),
    "B7 a part of a kind that has no place": says(
        say([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "hi"}]),
        end(),
    ),
    "reasoning in a field": Case(
        chunk({"reasoning_content": "h"}) + chunk({"reasoning_content": "m"}) + HI + end(),
        "hi",
        "hm",
        states=(BY_NAME,),
    ),
    "reasoning in two fields": Case(
        chunk({"reasoning_content": "hm", "reasoning": "hm"}) + HI + end(),
        "hi",
        "hm",
        states=(BY_NAME,),
    ),
    "reasoning in details only": Case(
        chunk({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}) + HI + end(),
        "hi",
        "hm",
        states=(b'{"type":"chat_reasoning","field":"reasoning"}',),
    ),
    "reasoning of another type": says(chunk({"reasoning": {}, "content": "hi"}), end()),
    "a refusal": says(chunk({"content": None, "refusal": "hi"}), end()),
    "B9 half a character": says(HI.replace(b'"hi"', b'"h\xe6\xad"') + end(), text="h\ufffd"),
    "B9 half a surrogate pair": says(HI.replace(b'"hi"', b'"h\\ud83d"') + end(), text="h\ufffd"),
    "B11 sibling types of leaves": says(
        data({"id": 123, "choices": {"index": "0", "delta": [{"content": "hi"}]}}),
        data({"id": 123, "choices": [{"index": "0", "delta": [], "finish_reason": ["stop"]}]}),
        data(
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": "9",
                    "completion_tokens": 4.0,
                    "prompt_tokens_details": [],
                    "completion_tokens_details": "",
                },
            }
        ),
    ),
    "B11 a number for a text": says(say(17), end(), text="17"),
    "B11 a list of one for a chunk": says(data([json.loads(HI[6:])]), end()),
    "B11 nulls": says(data({"id": None, "choices": None, "usage": None, "error": None}), HI, end()),
    "B13 empty data": says(b"data:\n\n", HI, b"data:\n\n", end()),
    "B13 null": says(data("null"), HI, data("{}"), end()),
    "no blank lines": says((HI + end()).replace(b"\n\n", b"\n")),
    "JSON of several lines": says(
        b"data: {\n" + HI.removeprefix(b"data: {").replace(b'"choices"', b'\ndata: "choices"'),
        end(),
    ),
    "B15 [DONE] as text": says(HI, chunk(finish_reason="stop", usage=COUNTS), data('"[DONE]"')),
    "B16 heartbeats after the end": says(
        HI, chunk(finish_reason="stop", usage=COUNTS), b": ping\n\n", data({"choices": []})
    ),
    "garbage after the finish": says(
        HI, chunk(finish_reason="stop", usage=COUNTS), data("{nonsense")
    ),
    "end of file after the finish": says(HI, chunk(finish_reason="stop", usage=COUNTS)),
    "B21 an empty error": says(chunk({"content": "hi"}, error={}), end()),
    "B21 an error that is an empty text": says(data({"error": "", **json.loads(HI[6:])}), end()),
    "B21 an error without words": says(
        data({"error": {"message": "", "code": None}, **json.loads(HI[6:])}), end()
    ),
    "length": Case(HI + end("length"), "hi", finish=FinishReason.LENGTH),
    "a word in capitals": Case(HI + end("MAX_TOKENS"), "hi", finish=FinishReason.LENGTH),
    "eos_token": says(HI, end("eos_token")),
    **{
        f"A10 {word}": Case(HI + end(word), "hi", finish=FinishReason.CONTENT_FILTER)
        for word in ("sensitive", "SAFETY", "content_filter", "RECITATION", "refusal")
    },
    # C: a wrong class of failure
    "C1 an error with a number": fails(
        FailureClass.RATE_LIMIT, data({"error": {"message": "x", "code": 429}})
    ),
    "C3 a code in an error event": fails(
        FailureClass.RATE_LIMIT,
        b'event:error\ndata:{"code":"Throttling.AllocationQuota","message":"x"}\n\n',
    ),
    "C4 a text in an error event": fails(
        FailureClass.RATE_LIMIT, b"event: error\ndata: Too many requests\n\n"
    ),
    "C4 a text of two lines in an error event": fails(
        FailureClass.RATE_LIMIT, b"event: error\ndata: Sorry,\ndata: too many requests\n\n"
    ),
    "C4 an error event without words": fails(
        FailureClass.SERVER_ERROR, b"event: error\ndata: {}\n\n"
    ),
    "an error of Groq": fails(
        FailureClass.RATE_LIMIT, chunk({"content": "!"}, x_groq={"error": "Too many requests"})
    ),
    "C7 an error of MiniMax": fails(
        FailureClass.PAYMENT,
        chunk(
            {"content": "!"},
            base_resp={"status_code": 1008, "status_msg": "insufficient balance"},
        ),
    ),
    "no error of MiniMax": says(
        chunk({"content": "hi"}, base_resp={"status_code": 0, "status_msg": ""}), end()
    ),
    "C18 a type that says less than its text": fails(
        FailureClass.RATE_LIMIT,
        data({"error": {"type": "invalid_request_error", "message": "Too many requests"}}),
    ),
    "garbage": fails(MALFORMED, data("{nonsense")),
    "a list in place of a chunk": fails(MALFORMED, data("[1,2]")),
    # E: wrong counts
    "E1 reasoning beside the output": says(
        HI,
        end(
            usage={
                "prompt_tokens": 10120,
                "completion_tokens": 1499,
                "total_tokens": 14428,
                "completion_tokens_details": {"reasoning_tokens": 2809},
            }
        ),
        usage=Usage(10120, 4308, reasoning_output_tokens=2809),
    ),
    "E1 reasoning within the output": says(
        HI,
        end(
            usage={
                "prompt_tokens": 10,
                "completion_tokens": 30,
                "total_tokens": 40,
                "completion_tokens_details": {"reasoning_tokens": 20},
            }
        ),
        usage=Usage(10, 30, reasoning_output_tokens=20),
    ),
    "E2 usage in the choice": says(HI, chunk(finish_reason="stop", usage=COUNTS), DONE),
    "E2 usage of Groq": says(HI, chunk(finish_reason="stop", x_groq={"usage": COUNTS}), DONE),
    "E4 the cache of DeepSeek": says(
        HI,
        end(usage={**COUNTS, "prompt_tokens": 90, "prompt_cache_hit_tokens": 64}),
        usage=Usage(90, 4, 64),
    ),
    "E6 an empty usage": says(HI, end(usage={}), usage=Usage(10, 1, source=ESTIMATED)),
    "E6 counts of -1": says(
        HI,
        end(usage={"prompt_tokens": -1, "completion_tokens": -1}),
        usage=Usage(10, 1, source=ESTIMATED),
    ),
    "E6 no count of the output": says(
        HI, end(usage={"prompt_tokens": 9}), usage=Usage(9, 1, source=ESTIMATED)
    ),
    "E6 an empty usage after the counts": says(
        HI, chunk(finish_reason="stop", usage=COUNTS), data({"usage": {}})
    ),
    "E the words of another API": says(
        HI,
        end(usage={"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 3}),
        usage=Usage(9, 4, 3),
    ),
    "E7 the id in a later chunk": says(data({"id": "", "choices": []}), HI, end()),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_wire_case(case: Case) -> None:
    await check(case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_an_answer_does_not_depend_on_where_reads_end(case: Case) -> None:
    await check_pieces(case)


async def test_the_first_id_that_is_told_is_kept() -> None:
    found = await answer(data({"id": "", "choices": []}), HI, chunk({"content": "!"}), end())
    assert (found.response_id, found.text) == ("x", "hi!")
