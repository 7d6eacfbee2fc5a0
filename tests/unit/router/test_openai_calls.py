"""Wire cases of the calls of tools in chat completions.

The letters are those of a list of kinds: a wrong answer reported as success (A), a usable answer
thrown away (B), metadata that is lost (E).
"""

from __future__ import annotations

import json

import pytest

from services.content.model import FinishReason
from services.router.core.items import ToolCallDelta, ToolCallReady
from tests.unit.router.chat_cases import (
    ATTACHED,
    CALLED,
    COUNTED,
    HI,
    MALFORMED,
    ROME,
    SIGNATURE,
    TIME,
    TZ,
    WEATHER,
    Case,
    call,
    check,
    check_pieces,
    chunk,
    end,
    fails,
    part,
    says,
    with_calls,
)
from tests.unit.router.read_answers import chat_answer as answer

CUT = {"index": 0, "id": "t1", "function": {"name": "get_weather", "arguments": '{"city":'}}
CALLS = {
    "A1 two tools, index 0, no ids": with_calls(
        ("call_0", "weather/get", ROME),
        ("call_1", "get_time", TZ),
        wire=call(0, "", "get_weather", ROME) + call(0, "", "get_time", TZ),
        reason="stop",
    ),
    "A1 one tool twice, index 0, no ids": with_calls(
        ("call_0", "get_time", TZ),
        ("call_1", "get_time", TZ),
        wire=call(0, "", "get_time", TZ) + call(0, "", "get_time", TZ),
    ),
    "A1 both in one chunk": with_calls(
        ("call_0", "weather/get", ROME),
        ("call_1", "get_time", TZ),
        wire=chunk({"tool_calls": [part(0, "", "get_weather", ROME), part(0, "", "get_time", TZ)]}),
    ),
    "A1 no index either, in fragments": with_calls(
        ("call_0", "weather/get", ROME),
        ("call_1", "get_time", TZ),
        wire=call(None, None, "get_weather", '{"city":')
        + call(None, None, None, '"Rome"}')
        + call(None, None, "get_time", TZ),
    ),
    "A1 tools without arguments": with_calls(
        ("call_0", "weather/get", "{}"),
        ("call_1", "get_time", "{}"),
        wire=call(0, "", "get_weather", "") + call(0, "", "get_time", ""),
    ),
    "A1 braces within texts": with_calls(
        ("call_0", "get_time", '{"a":"\\"}{"}'),
        ("call_1", "get_time", TZ),
        wire=call(0, "", "get_time", '{"a":"\\"}{"}') + call(0, "", "get_time", TZ),
    ),
    "A2 one id twice, no index": with_calls(
        ("same", "weather/get", ROME),
        ("same_1", "get_time", TZ),
        wire=call(None, "same", "get_weather", ROME) + call(None, "same", "get_time", TZ),
    ),
    "A3 one id twice, with an index each": with_calls(
        ("same", "weather/get", ROME),
        ("same_1", "get_time", TZ),
        wire=call(0, "same", "get_weather", ROME) + call(1, "same", "get_time", TZ),
    ),
    "A5 another id and the name with each fragment": with_calls(
        WEATHER,
        wire=call(0, "t1", "get_weather", "")
        + call(0, "t2", "get_weather", '{"city":')
        + call(0, "t3", "get_weather", '"Rome"}'),
    ),
    "A5 the same without an index": with_calls(
        ("t1", "weather/get", '{"city":"Rome"}'),
        wire=call(None, "t1", "get_weather", '{"city":')
        + call(None, "t3", "get_weather", '"Rome"}'),
    ),
    "A6 a name in two fragments": with_calls(
        WEATHER,
        wire=call(0, "t1", "get_", "") + call(0, None, "weather", "") + call(0, None, None, ROME),
    ),
    "A6 with the id each time": with_calls(
        WEATHER, wire=call(0, "t1", "get_", "") + call(0, "t1", "weather", ROME)
    ),
    "A6 a name that grows": with_calls(
        WEATHER, wire=call(0, "t1", "get_", "") + call(0, "t1", "get_weather", ROME)
    ),
    "A6 with another id each time": with_calls(
        WEATHER, wire=call(0, "t1", "get_", "") + call(0, "t9", "weather", ROME)
    ),
    "A12 tool_calls without a call": fails(MALFORMED, end("tool_calls"), usage=COUNTED),
    "A12 function_call without a call": fails(MALFORMED, end("function_call"), usage=COUNTED),
    "A12 only the announcement of a call": fails(
        MALFORMED, call(0, "t1", None, ""), end("tool_calls"), usage=COUNTED
    ),
    "A15 a second object on one index": fails(
        MALFORMED,
        call(0, "t1", "get_weather", ROME) + call(0, "", "", TZ),
        end("tool_calls"),
        usage=COUNTED,
    ),
    "A15 without an index": fails(
        MALFORMED,
        call(None, "t1", "get_weather", ROME) + call(None, "t1", None, TZ),
        end("tool_calls"),
        usage=COUNTED,
    ),
    "arguments of no tool": fails(MALFORMED, call(0, "t1", None, ROME), end(), usage=COUNTED),
    "B1 another id with each fragment": with_calls(
        WEATHER,
        wire=call(0, "t1", "get_weather", "")
        + call(0, "t2", None, '{"city":')
        + call(0, "t3", None, '"Rome"}'),
    ),
    "B1 without an index": with_calls(
        WEATHER,
        wire=call(None, "t1", "get_weather", "")
        + call(None, "t2", None, '{"city":')
        + call(None, "t3", None, '"Rome"}'),
    ),
    "B2 the id before the name": with_calls(
        WEATHER, wire=call(0, "t1", None, "") + call(0, None, "get_weather", ROME)
    ),
    "B2 the arguments before the name": with_calls(
        WEATHER, wire=call(0, "t1", None, ROME) + call(0, None, "get_weather", "")
    ),
    "B2 a second call whose name follows, no index": with_calls(
        WEATHER,
        TIME,
        wire=call(None, "t1", "get_weather", ROME)
        + call(None, "t2", None, "")
        + call(None, "t2", "get_time", TZ),
    ),
    "B2 another call in between": with_calls(
        WEATHER,
        TIME,
        wire=call(0, "t1", None, "")
        + call(1, "t2", "get_time", TZ)
        + call(0, None, "get_weather", ROME),
    ),
    "B2 the id after the name": with_calls(
        ("call_0", "get_time", TZ), wire=call(0, None, "get_time", "") + call(0, "t1", None, TZ)
    ),
    "B3 an object for arguments": with_calls(
        WEATHER, wire=call(0, "t1", "get_weather", {"city": "Rome"})
    ),
    "B3 empty objects": with_calls(
        ("t1", "get_time", "{}"), wire=call(0, "t1", "get_time", {}) + call(0, "t1", "get_time", {})
    ),
    "B5 an empty function_call beside text": says(
        chunk({"content": "hi", "function_call": {}}), end()
    ),
    "B5 a function_call of empty texts": says(
        chunk({"content": "hi", "function_call": {"name": "", "arguments": ""}}), end()
    ),
    "B5 a function_call of nulls": says(
        chunk({"content": "hi", "function_call": {"name": None, "arguments": None}}), end()
    ),
    "B5 an empty call beside text": says(
        chunk({"content": "hi", "tool_calls": [{"index": 0, "function": {}}, {}]}), end()
    ),
    "B5 no list of calls": says(chunk({"content": "hi", "tool_calls": {}}), end()),
    "B5 a text for calls": says(chunk({"content": "hi", "tool_calls": ""}), end()),
    "B5 an announced call that does not come": says(HI, call(0, "t1", None, ""), end()),
    "a function_call": with_calls(
        ("call_0", "weather/get", ROME),
        wire=chunk({"function_call": {"name": "get_weather", "arguments": ""}})
        + chunk({"function_call": {"arguments": ROME}}),
        reason="function_call",
    ),
    "a function_call that repeats a call": with_calls(
        WEATHER,
        wire=chunk(
            {
                "tool_calls": [CALLED],
                "function_call": {"name": "get_weather", "arguments": ROME},
            }
        ),
    ),
    "one call for a list": with_calls(WEATHER, wire=chunk({"tool_calls": CALLED})),
    "a call without function": with_calls(
        WEATHER,
        wire=chunk({"tool_calls": [{"id": "t1", "name": "get_weather", "arguments": ROME}]}),
    ),
    "the end of a call once more": with_calls(
        WEATHER, wire=call(0, "t1", "get_weather", ROME) + call(0, "t1", "get_weather", "")
    ),
    "B11 an id that is a number, an index that is a text": with_calls(
        ("17", "get_time", TZ),
        wire=call("0", 17, "get_time", '{"tz":') + call("0", 17, None, '"UTC"}'),
    ),
    "the end of a call once more, with another id each time": with_calls(
        WEATHER,
        wire=call(0, "t1", "get_weather", "")
        + call(0, "t2", "get_weather", ROME)
        + call(0, "t3", "get_weather", ""),
    ),
    "a tool once more whose arguments follow, with the same id": with_calls(
        ("same", "get_time", ROME),
        ("same_1", "get_time", TZ),
        wire=call(0, "same", "get_time", "")
        + call(0, "same", None, ROME)
        + call(0, "same", "get_time", "")
        + call(0, "same", None, TZ),
    ),
    "interleaved by index": with_calls(
        WEATHER,
        TIME,
        wire=call(0, "t1", "get_weather", '{"city":')
        + call(1, "t2", "get_time", '{"tz":')
        + call(0, None, None, '"Rome"}')
        + call(1, None, None, '"UTC"}'),
    ),
    "interleaved by id": with_calls(
        WEATHER,
        TIME,
        wire=call(None, "t1", "get_weather", '{"city":')
        + call(None, "t2", "get_time", '{"tz":')
        + call(None, "t1", None, '"Rome"}')
        + call(None, "t2", None, '"UTC"}'),
    ),
    "another tool after arguments that are cut": with_calls(
        ("t1", "weather/get", '{"city":'),
        TIME,
        wire=call(0, "t1", "get_weather", '{"city":') + call(0, "t2", "get_time", TZ),
    ),
    "calls that end with stop": with_calls(
        WEATHER, wire=HI + call(0, "t1", "get_weather", ROME), reason="stop", text="hi"
    ),
    "a call that the output limit cut": Case(
        call(0, "t1", "get_weather", ROME) + call(1, "t2", "get_time", '{"tz":') + end("length"),
        calls=(WEATHER,),
        finish=FinishReason.LENGTH,
    ),
    "a call that the output limit cut before its name": Case(
        HI + call(0, "t1", None, '{"tz":') + end("length"), "hi", finish=FinishReason.LENGTH
    ),
    "a call without arguments before one that is cut": Case(
        call(0, "t1", "get_time", "") + call(1, "t2", "get_time", '{"tz":') + end("length"),
        calls=(("t1", "get_time", "{}"),),
        finish=FinishReason.LENGTH,
    ),
    "a call of an answer that was withheld": Case(
        call(0, "t1", "get_weather", ROME) + end("content_filter"),
        finish=FinishReason.CONTENT_FILTER,
    ),
    "E9 what a server attaches to a call that is cut": Case(
        chunk({"tool_calls": [{**CUT, "extra_content": json.loads(SIGNATURE)}]}) + end("length"),
        finish=FinishReason.LENGTH,
    ),
    "E9 what a server attaches to a call": Case(
        chunk({"tool_calls": [{**CALLED, "extra_content": json.loads(SIGNATURE)}]})
        + end("tool_calls"),
        calls=(WEATHER,),
        finish=FinishReason.TOOL_CALLS,
        states=(ATTACHED,),
    ),
}


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
async def test_a_wire_case(case: Case) -> None:
    await check(case)


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
async def test_an_answer_does_not_depend_on_where_reads_end(case: Case) -> None:
    await check_pieces(case)


@pytest.mark.parametrize("case", CALLS.values(), ids=CALLS)
async def test_the_deltas_of_calls_are_their_arguments(case: Case) -> None:
    # given
    found = await answer(case.wire)
    ready = [item for item in found.items if isinstance(item, ToolCallReady)]

    # when the deltas are joined by their number
    deltas = [item for item in found.items if isinstance(item, ToolCallDelta)]
    for each in ready:
        own = [delta for delta in deltas if delta.index == each.index]
        joined = "".join(delta.arguments_json for delta in own)

        # then only the first has names, and they are those of the call
        assert (joined or "{}") == each.call.arguments_json
        assert (own[0].call_id, own[0].tool_id) == (each.call.call_id, each.call.tool_id)
        assert not any(delta.call_id or delta.tool_id for delta in own[1:])


async def test_a_known_name_is_told_before_its_arguments() -> None:
    found = await answer(call(0, "t1", "get_time", ""))
    assert ToolCallDelta(0, "", "t1", "get_time") in found.items


async def test_ids_of_calls_are_unique_in_a_conversation() -> None:
    # given a provider that begins its ids anew in every turn
    wire = call(0, "call_0", "get_time", TZ) + call(1, "", "get_time", TZ) + end("tool_calls")

    # when
    found = await answer(wire, earlier_ids=["call_0", "call_1"])

    # then
    first, second = [call_id for call_id, _, _ in found.calls]
    assert len({first, second, "call_0", "call_1"}) == 4


async def test_arguments_have_a_limit() -> None:
    half = "x" * 600_000
    found = await answer(call(0, "t1", "get_weather", half), call(0, None, None, half))
    assert found.failure is MALFORMED
