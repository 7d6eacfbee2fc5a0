from __future__ import annotations

import asyncio

import pytest

from services.content.model import FinishReason, Message, Role, ToolCall, ToolResult
from services.router.clients.builtin import BuiltinAdapter
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
from services.router.core.model import Builtin, OpenAi
from services.router.core.ports import UpstreamCall
from services.router.core.request import Prompt
from services.router.core.script import Fault, FaultKind, Reply, Script, ScriptedCall, Step
from tests.support.clock import ManualClock
from tests.unit.router.builders import member, user

PROMPT = Prompt((user("hello there"),))
LIMITED = Fault(FaultKind.RATE_LIMITED, 30.0, text="x")
INVALID = Fault(FaultKind.INVALID_REQUEST, text="too odd")


def call(script: Script, prompt: Prompt = PROMPT) -> UpstreamCall:
    return UpstreamCall(member("m", adapter=Builtin(script)), prompt, "")


async def read_once(asked: UpstreamCall) -> list[UpstreamItem]:
    async with BuiltinAdapter(ManualClock()).open(asked) as stream:
        return list(await stream.read())


async def test_without_an_interval_everything_comes_at_once() -> None:
    # given
    reply = Reply("let me see", (ScriptedCall("look", "{}"),), "hm hm")

    # when
    items = await read_once(call(Script((Step(reply),))))

    # then
    assert items[:-2] == [
        Opened(),
        ReasoningDelta("hm"),
        ReasoningDelta(" hm"),
        TextDelta("let"),
        TextDelta(" me"),
        TextDelta(" see"),
        ToolCallDelta(0, "{}", "call_1", "look"),
        ToolCallReady(0, ToolCall("call_1", "look", "{}")),
    ]
    assert isinstance(items[-2], UsageReport)
    assert (items[-2].usage.input_tokens, items[-2].usage.output_tokens) == (3, 5)
    assert items[-1] == Finished(FinishReason.TOOL_CALLS)


async def test_with_an_interval_deltas_come_one_by_one() -> None:
    # given
    clock = ManualClock()
    script = Script(delta_interval_s=2.0)

    # when
    async with BuiltinAdapter(clock).open(call(script)) as stream:
        first = await stream.read()
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        clock.advance(1.9)
        await asyncio.sleep(0)
        early = reading.done()
        clock.advance(0.1)
        second = await reading

    # then
    assert first == [Opened(), TextDelta("hello")]
    assert not early
    assert second == [TextDelta(" there")]


async def test_call_ids_are_never_used_twice_in_a_conversation() -> None:
    # given a conversation that has two calls
    calls = (ToolCall("call_1", "look", "{}"), ToolCall("call_2", "look", "{}"))
    results = (ToolResult("call_1", "a"), ToolResult("call_2", "b"))
    prompt = Prompt((user("go"), Message(Role.ASSISTANT, calls), Message(Role.TOOL, results)))
    script = Script((Step(Reply(tool_calls=(ScriptedCall("look"),))),))

    # when
    items = await read_once(call(script, prompt))

    # then
    assert ToolCallReady(0, ToolCall("call_3", "look", "{}")) in items


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (LIMITED, Failure(FailureClass.RATE_LIMIT, 429, 30.0)),
        (Fault(FaultKind.OVERLOADED), Failure(FailureClass.OVERLOADED, 503)),
        (Fault(FaultKind.SERVER_ERROR), Failure(FailureClass.SERVER_ERROR, 500)),
        (Fault(FaultKind.UNAUTHORIZED, text="x"), Failure(FailureClass.AUTH, 401)),
        (INVALID, Failure(FailureClass.INVALID_REQUEST, 400, None, "too odd")),
    ],
    ids=lambda value: value.kind.value,
)
async def test_refusals_are_raised_on_opening(fault: Fault, failure: Failure) -> None:
    # when
    with pytest.raises(UpstreamError) as raised:
        await read_once(call(Script((Step(fault),))))

    # then
    assert raised.value.failure == failure


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.CUT, FailureClass.STREAM_TRUNCATED),
        (FaultKind.GARBAGE, FailureClass.STREAM_MALFORMED),
    ],
)
async def test_a_stream_breaks_after_so_many_deltas(
    kind: FaultKind, expected: FailureClass
) -> None:
    # given
    fault = Fault(kind, after_deltas=2, text="one two three")

    # when
    async with BuiltinAdapter(ManualClock()).open(call(Script((Step(fault),)))) as stream:
        items = await stream.read()
        with pytest.raises(UpstreamError) as raised:
            await stream.read()

    # then
    assert items == [Opened(), TextDelta("one"), TextDelta(" two")]
    assert raised.value.failure == Failure(expected)


async def test_a_stall_sends_no_more_items() -> None:
    # given
    fault = Fault(FaultKind.STALL, after_deltas=1, text="one two")

    # when
    async with BuiltinAdapter(ManualClock()).open(call(Script((Step(fault),)))) as stream:
        items = await stream.read()
        reading = asyncio.create_task(stream.read())
        for _ in range(20):
            await asyncio.sleep(0)
        stalled = not reading.done()
        reading.cancel()
        await asyncio.wait({reading})

    # then
    assert items == [Opened(), TextDelta("one")]
    assert stalled


async def test_a_provider_of_another_kind_raises_type_error() -> None:
    # given
    other = UpstreamCall(member("m", adapter=OpenAi("http://x")), PROMPT, "")

    # when, then
    with pytest.raises(TypeError):
        await read_once(other)
