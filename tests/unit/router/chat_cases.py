"""Wire cases of chat completions: the bytes of an answer, and what it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from services.content.model import FinishReason, Usage, UsageSource
from services.router.core.failures import FailureClass
from tests.unit.router.read_answers import chat_answer

ROME, TZ = '{"city":"Rome"}', '{"tz":"UTC"}'
DONE = b"data: [DONE]\n\n"
TRUNCATED, MALFORMED = FailureClass.STREAM_TRUNCATED, FailureClass.STREAM_MALFORMED
COUNTED = Usage(9, 4)
ESTIMATED = UsageSource.ESTIMATED


@dataclass(frozen=True)
class Case:
    """The bytes of an answer, and what it is; ``text`` and ``thinking`` also if it fails."""

    wire: bytes
    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    finish: FinishReason | None = FinishReason.STOP
    failure: FailureClass | None = None
    usage: Usage | None = COUNTED
    states: tuple[bytes, ...] = ()


def data(value: object) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return b"data: " + text.encode() + b"\n\n"


def chunk(delta: object = None, **rest: Any) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": None}
    choice |= {name: rest.pop(name) for name in ("finish_reason", "error", "usage") if name in rest}
    if "top_error" in rest:
        rest["error"] = rest.pop("top_error")
    return data({"id": "x", "object": "chat.completion.chunk", "choices": [choice], **rest})


def say(text: object) -> bytes:
    return chunk({"content": text})


def part(
    index: int | str | None, call_id: object, name: object, arguments: object
) -> dict[str, Any]:
    """A fragment of a call; None is left out."""
    function = {"name": name, "arguments": arguments}
    whole = {
        "index": index,
        "id": call_id,
        "function": {k: v for k, v in function.items() if v is not None},
    }
    return {k: v for k, v in whole.items() if v is not None}


def call(index: int | str | None, call_id: object, name: object, arguments: object) -> bytes:
    return chunk({"tool_calls": [part(index, call_id, name, arguments)]})


def end(reason: object = "stop", usage: object = None) -> bytes:
    counted = {"prompt_tokens": 9, "completion_tokens": 4} if usage is None else usage
    return chunk(finish_reason=reason) + data({"id": "x", "choices": [], "usage": counted}) + DONE


def with_calls(
    *calls: tuple[str, str, str], wire: bytes, reason: str = "tool_calls", text: str = ""
) -> Case:
    return Case(wire + end(reason), text, calls=calls, finish=FinishReason.TOOL_CALLS)


def fails(kind: FailureClass, *parts: bytes, text: str = "hi", usage: Usage | None = None) -> Case:
    return Case(say("hi") + b"".join(parts), text, finish=None, failure=kind, usage=usage)


def says(*parts: bytes, text: str = "hi", usage: Usage = COUNTED) -> Case:
    return Case(b"".join(parts), text, usage=usage)


WEATHER, TIME = ("t1", "weather/get", ROME), ("t2", "get_time", TZ)
HI = say("hi")
CALLED = {"index": 0, "id": "t1", "function": {"name": "get_weather", "arguments": ROME}}
BY_NAME = b'{"type":"chat_reasoning","field":"reasoning_content"}'
SIGNATURE = '{"google":{"thought_signature":"c2ln"}}'
ATTACHED = f'{{"type":"chat_call","call_id":"t1","extra_content":{SIGNATURE}}}'.encode()
AS_PART = b'{"type":"chat_reasoning","field":"content"}'


async def check(case: Case) -> None:
    found = await chat_answer(case.wire)
    assert (found.text, found.thinking) == (case.text, case.thinking)
    assert tuple(found.calls) == case.calls
    assert (found.finish, found.failure) == (case.finish, case.failure)
    assert found.usage == case.usage
    assert tuple(found.states) == case.states


async def check_pieces(case: Case) -> None:
    """The answer is the same byte by byte, and in two reads with every end of the first."""
    in_one = await chat_answer(case.wire)
    size = len(case.wire)
    pieces = [[case.wire[a:b] for a, b in pairwise(range(size + 1))]]
    pieces += [[case.wire[:n], case.wire[n:]] for n in range(1, size)]
    for each in pieces:
        assert await chat_answer(*each) == in_one
