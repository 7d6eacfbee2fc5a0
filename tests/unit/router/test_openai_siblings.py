"""Siblings of right answers: an answer that is whole is never lost, one that is not never succeeds.

A right chat completion is drawn and written as a server may write it: with other types of leaves,
fields that are absent, in another place or unknown, in any pieces. Then it is broken.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from services.content.model import FinishReason, Usage
from services.router.core.failures import FailureClass
from tests.unit.router.read_answers import Answer, chat_answer, cut

Chunk: TypeAlias = dict[str, Any]
Way: TypeAlias = "Callable[[Said, st.DrawFn], None]"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
EMPTY = st.sampled_from([None, "", {}, []])
WORDS = st.lists(
    st.sampled_from(["a", "grüß", "🚀", "\n\n", "data: x", '"', "{", "[DONE]"]), max_size=4
)
CUTS = st.lists(st.floats(0, 1), max_size=6)
FINISHES = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
TOOLS = {"get_weather": "weather/get", "get_time": "get_time"}


@dataclass
class Said:
    """A right answer: its chunks, the last of which has the counts, and what they say."""

    chunks: list[Chunk]
    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, object], ...] = ()
    finish: FinishReason = FinishReason.STOP

    def is_told_by(self, found: Answer) -> bool:
        told = tuple((tool_id, json.loads(arguments)) for _, tool_id, arguments in found.calls)
        ids = [call_id for call_id, _, _ in found.calls]
        same = (found.text, found.thinking, told) == (self.text, self.thinking, self.calls)
        return same and found.finish is self.finish and len(set(ids)) == len(ids)

    @property
    def deltas(self) -> list[Chunk]:
        return [chunk["choices"][0]["delta"] for chunk in self.chunks if chunk["choices"]]

    @property
    def fragments(self) -> list[Chunk]:
        return [each for delta in self.deltas for each in delta.get("tool_calls", ())]


def chunk_of(delta: Chunk, reason: str | None = None) -> Chunk:
    return {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def call_chunks(draw: st.DrawFn, index: int, name: str, arguments: object) -> list[Chunk]:
    shares = cut(json.dumps(arguments).encode(), draw(CUTS))
    first = {"index": index, "id": f"call_{index}", "type": "function"}
    fragments: list[Chunk] = [{**first, "function": {"name": name, "arguments": ""}}]
    fragments += [{"index": index, "function": {"arguments": each.decode()}} for each in shares]
    return [chunk_of({"tool_calls": [fragment]}) for fragment in fragments]


@st.composite
def answers(draw: st.DrawFn) -> Said:
    said = Said([chunk_of({"role": "assistant", "content": ""})])
    for field in draw(st.lists(st.sampled_from(["content", "reasoning_content"]), max_size=3)):
        for word in draw(WORDS):
            said.chunks.append(chunk_of({field: word}))
            if field == "content":
                said.text += word
            else:
                said.thinking += word
    names = draw(st.lists(st.sampled_from(sorted(TOOLS)), max_size=3))
    for index, name in enumerate(names):
        arguments = {"words": draw(WORDS), "of": {"number": index}}
        said.calls += ((TOOLS[name], arguments),)
        said.chunks += call_chunks(draw, index, name, arguments)
    word = "tool_calls" if names else draw(st.sampled_from(sorted(FINISHES)))
    said.finish = FINISHES.get(word, FinishReason.TOOL_CALLS)
    said.chunks.append(chunk_of({}, word))
    said.chunks.append(
        {"id": "x", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
    )
    return said


# Ways to write an answer that do not change what it says; ``draw`` gives what is free.
def texts_as_parts(said: Said, draw: st.DrawFn) -> None:
    for delta in said.deltas:
        if isinstance(delta.get("content"), str):
            delta["content"] = [{"type": "text", "text": delta["content"]}]


def thinking_as_parts(said: Said, draw: st.DrawFn) -> None:
    for delta in said.deltas:
        if "reasoning_content" in delta:
            text = [{"type": "text", "text": delta.pop("reasoning_content")}]
            delta["content"] = [{"type": "thinking", "thinking": text}]


def thinking_elsewhere(said: Said, draw: st.DrawFn) -> None:
    field = draw(st.sampled_from(["reasoning", "reasoning_text"]))
    for delta in said.deltas:
        if "reasoning_content" in delta:
            delta[field] = delta.pop("reasoning_content")


def indexes_as_text(said: Said, draw: st.DrawFn) -> None:
    for fragment in said.fragments:
        fragment["index"] = str(fragment["index"])


def no_indexes(said: Said, draw: st.DrawFn) -> None:
    for fragment in said.fragments:
        fragment.pop("index", None)


def always_index_0(said: Said, draw: st.DrawFn) -> None:
    for fragment in said.fragments:
        fragment["index"] = 0


def no_ids(said: Said, draw: st.DrawFn) -> None:
    for fragment in said.fragments:
        fragment.pop("id", None)


def one_id_for_all(said: Said, draw: st.DrawFn) -> None:
    for fragment in said.fragments:
        fragment["id"] = "same"


def another_id_each_time(said: Said, draw: st.DrawFn) -> None:
    for number, fragment in enumerate(said.fragments):
        fragment["id"] = f"new_{number}"


def the_name_each_time(said: Said, draw: st.DrawFn) -> None:
    name = ""
    for fragment in said.fragments:
        name = fragment["function"].setdefault("name", name)


def arguments_whole(said: Said, draw: st.DrawFn) -> None:
    """In one fragment with the name, as text or as an object."""
    whole = draw(st.booleans())
    starts = [
        delta
        for delta in said.deltas
        if any("name" in f["function"] for f in delta.get("tool_calls", ()))
    ]
    for delta in said.deltas:
        delta.pop("tool_calls", None) if delta not in starts else None
    for delta, (_, arguments) in zip(starts, said.calls, strict=True):
        text = arguments if whole else json.dumps(arguments)
        delta["tool_calls"][0]["function"]["arguments"] = text


def names_in_pieces(said: Said, draw: st.DrawFn) -> None:
    """Each name in two fragments, the second before the arguments."""
    chunks: list[Chunk] = []
    for chunk in said.chunks:
        chunks.append(chunk)
        for fragment in (f for c in chunk["choices"] for f in c["delta"].get("tool_calls", ())):
            name = fragment["function"].get("name", "")
            if name and not fragment["function"].get("arguments"):
                fragment["function"]["name"] = name[:4]
                rest = {"index": fragment["index"], "function": {"name": name[4:]}}
                chunks.append(chunk_of({"tool_calls": [rest]}))
    said.chunks = chunks


def one_call_for_a_list(said: Said, draw: st.DrawFn) -> None:
    for delta in said.deltas:
        if delta.get("tool_calls"):
            (delta["tool_calls"],) = delta["tool_calls"]


def messages_for_deltas(said: Said, draw: st.DrawFn) -> None:
    for chunk in said.chunks:
        for choice in chunk["choices"]:
            choice["message"] = choice.pop("delta")


def no_finish_of_its_own(said: Said, draw: st.DrawFn) -> None:
    """The finish reason and the counts with the last content."""
    counts, ending = said.chunks.pop(), said.chunks.pop()
    said.chunks[-1]["choices"][0]["finish_reason"] = ending["choices"][0]["finish_reason"]
    said.chunks[-1]["usage"] = counts["usage"]


def counts_in_the_choice(said: Said, draw: st.DrawFn) -> None:
    usage = said.chunks.pop()["usage"]
    said.chunks[-1]["choices"][0]["usage"] = usage


def stop_for_calls(said: Said, draw: st.DrawFn) -> None:
    for chunk in said.chunks:
        for choice in chunk["choices"]:
            if choice["finish_reason"] == "tool_calls":
                choice["finish_reason"] = "stop"


def lists_and_capitals(said: Said, draw: st.DrawFn) -> None:
    for chunk in said.chunks:
        for choice in chunk["choices"]:
            if choice["finish_reason"]:
                choice["finish_reason"] = [choice["finish_reason"].upper()]


def empty_fields(said: Said, draw: st.DrawFn) -> None:
    for chunk in said.chunks:
        chunk.setdefault("error", draw(EMPTY))
        chunk.setdefault("usage", draw(EMPTY))
        for choice in chunk["choices"]:
            delta = choice.get("delta", choice.get("message"))
            for field in ("tool_calls", "function_call", "refusal", "reasoning", "content"):
                delta.setdefault(field, draw(EMPTY))


def the_vendors_form(said: Said, draw: st.DrawFn) -> None:
    for chunk in said.chunks:
        chunk["object"] = "chat.completion.chunk"


def unused_fields(said: Said, draw: st.DrawFn) -> None:
    for chunk in said.chunks:
        chunk |= {name: draw(JSON) for name in ("created", "model", "service_tier", "timings")}
        for choice in chunk["choices"]:
            choice |= {"logprobs": draw(JSON), "content_filter_results": draw(JSON)}


def unknown_events(said: Said, draw: st.DrawFn) -> None:
    for _ in range(draw(st.integers(1, 3))):
        extra: Chunk = draw(
            st.sampled_from([{"choices": []}, {"choices": [], "prompt_filter_results": [1]}])
        )
        said.chunks.insert(draw(st.integers(0, len(said.chunks))), deepcopy(extra))


def a_second_choice(said: Said, draw: st.DrawFn) -> None:
    for chunk in said.chunks:
        if chunk["choices"]:
            chunk["choices"].append(
                {"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}
            )


# In the order in which they are applied.
WAYS: list[Way] = [
    thinking_as_parts,
    thinking_elsewhere,
    texts_as_parts,
    names_in_pieces,
    arguments_whole,
    the_name_each_time,
    one_id_for_all,
    another_id_each_time,
    no_ids,
    always_index_0,
    indexes_as_text,
    no_indexes,
    one_call_for_a_list,
    counts_in_the_choice,
    no_finish_of_its_own,
    stop_for_calls,
    lists_and_capitals,
    empty_fields,
    the_vendors_form,
    unused_fields,
    unknown_events,
    a_second_choice,
    messages_for_deltas,
]
# Together these say nothing that tells a fragment from the next call, or exclude each other.
APART = [
    {another_id_each_time, no_indexes},
    {names_in_pieces, arguments_whole},
    {names_in_pieces, the_name_each_time},
    {names_in_pieces, another_id_each_time},
    {counts_in_the_choice, no_finish_of_its_own},
    {a_second_choice, messages_for_deltas},
    {one_id_for_all, another_id_each_time},
    {indexes_as_text, no_indexes},
]


@st.composite
def written(draw: st.DrawFn) -> Said:
    """A right answer as some server writes it."""
    said = draw(answers())
    chosen = sorted(draw(st.sets(st.sampled_from(range(len(WAYS))), max_size=5)))
    ways = {WAYS[number] for number in chosen}
    for pair in APART:
        if pair <= ways:
            ways.remove(next(way for way in WAYS if way in pair))
    for way in (way for way in WAYS if way in ways):
        way(said, draw)
    return said


@dataclass(frozen=True)
class Style:
    """How chunks are written."""

    ascii_only: bool
    blank: bytes
    line_end: bytes
    event_end: bytes
    terminator: bytes


STYLES = st.builds(
    Style,
    st.booleans(),
    st.sampled_from([b"", b" "]),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"\n\n", b"\n\n", b"\n"]),
    st.sampled_from([b"", b"data: [DONE]\n\n", b'data: "[DONE]"\n\n']),
)


def wire(chunks: list[Chunk], style: Style) -> bytes:
    parts = [
        b"data:"
        + style.blank
        + json.dumps(each, ensure_ascii=style.ascii_only).encode()
        + style.event_end
        for each in chunks
    ]
    return (b"".join(parts) + style.terminator).replace(b"\n", style.line_end)


def read(stream: bytes, cuts: list[float]) -> Answer:
    return asyncio.run(chat_answer(*cut(stream, cuts)))


def place_of_the_end(said: Said) -> int:
    return next(
        number
        for number, chunk in enumerate(said.chunks)
        if any(choice["finish_reason"] for choice in chunk["choices"] if not choice.get("index"))
    )


@given(written(), STYLES, CUTS)
def test_an_answer_that_is_whole_is_never_lost(said: Said, style: Style, cuts: list[float]) -> None:
    found = read(wire(said.chunks, style), cuts)
    assert found.failure is None
    assert said.is_told_by(found)
    assert found.usage == Usage(9, 4)


@given(written(), STYLES, CUTS, st.floats(0, 1))
def test_an_answer_that_is_cut_before_its_finish_reason_never_succeeds(
    said: Said, style: Style, cuts: list[float], share: float
) -> None:
    # given the bytes before the chunk with the finish reason, some of them
    before = wire(said.chunks[: place_of_the_end(said)], style)

    # when
    found = read(before[: round(share * len(before))], cuts)

    # then nothing is told but the start of what was said
    assert found.finish is None
    assert found.failure in {FailureClass.STREAM_TRUNCATED, FailureClass.STREAM_MALFORMED}
    assert said.text.startswith(found.text)
    assert found.calls == []


ERRORS = st.sampled_from(
    [
        ({"error": {"type": "overloaded_error"}}, FailureClass.OVERLOADED),
        ({"error": "Too many requests"}, FailureClass.RATE_LIMIT),
        ({"object": "error", "message": "x"}, FailureClass.SERVER_ERROR),
        ({"choices": [{"error": {"code": 401}}]}, FailureClass.AUTH),
        ({"choices": [{"delta": {"error": {"code": "429"}}}]}, FailureClass.RATE_LIMIT),
        ({"choices": [{"message": {"error": {"code": 402}}}]}, FailureClass.PAYMENT),
    ]
)


@given(written(), STYLES, CUTS, ERRORS, st.floats(0, 1))
def test_an_error_anywhere_before_the_end_is_never_a_success(
    said: Said,
    style: Style,
    cuts: list[float],
    error: tuple[Chunk, FailureClass],
    share: float,
) -> None:
    # given
    chunk, kind = error
    said.chunks.insert(round(share * len(said.chunks)), chunk)

    # when
    found = read(wire(said.chunks, style), cuts)

    # then
    assert (found.finish, found.failure) == (None, kind)


NO_REASONS = st.sampled_from(
    [None, "", {}, [], "error", "banana", "STOPPED", 5, True, ["stop", "x"]]
)


@given(written(), STYLES, CUTS, NO_REASONS)
def test_no_known_finish_reason_is_never_a_success(
    said: Said, style: Style, cuts: list[float], reason: object
) -> None:
    # given
    said.chunks[place_of_the_end(said)]["choices"][0]["finish_reason"] = reason

    # when
    found = read(wire(said.chunks, style), cuts)

    # then
    assert found.finish is None
    assert found.failure in {
        FailureClass.STREAM_TRUNCATED,
        FailureClass.STREAM_MALFORMED,
        FailureClass.SERVER_ERROR,
    }


@given(answers(), STYLES, CUTS, st.sampled_from(["tool_calls", "function_call", "TOOL_USE"]))
def test_calls_that_are_announced_and_do_not_come_are_never_a_success(
    said: Said, style: Style, cuts: list[float], reason: str
) -> None:
    # given an answer without its calls
    said.chunks[place_of_the_end(said)]["choices"][0]["finish_reason"] = reason
    for delta in said.deltas:
        delta.pop("tool_calls", None)

    # when
    found = read(wire(said.chunks, style), cuts)

    # then
    assert (found.finish, found.failure) == (None, FailureClass.STREAM_MALFORMED)


@given(answers(), st.data(), CUTS)
def test_any_leaf_may_be_anything(said: Said, data: st.DataObject, cuts: list[float]) -> None:
    """Then the answer is told or fails."""
    # given a value in place of a field of a chunk, or of an object in it
    chunk = data.draw(st.sampled_from(said.chunks))
    choice = (chunk["choices"] or [chunk])[0]
    holders = [chunk, choice, choice.get("delta") or chunk]
    holders += (choice.get("delta") or {}).get("tool_calls", ())
    holder = data.draw(st.sampled_from(holders))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)

    # when
    found = read(wire(said.chunks, Style(False, b" ", b"\n", b"\n\n", b"")), cuts)

    # then
    assert (found.failure is None) is (found.finish is not None)


@given(st.lists(st.binary(max_size=30) | st.just(b"\n\ndata: {}"), max_size=6), CUTS)
def test_any_bytes_fail(pieces: list[bytes], cuts: list[float]) -> None:
    found = read(b"".join(pieces), cuts)
    assert found.failure in {FailureClass.STREAM_TRUNCATED, FailureClass.STREAM_MALFORMED}
