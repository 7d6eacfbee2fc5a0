"""Siblings of right answers: an answer that is whole is never lost, one that is not never succeeds.

A right answer is drawn and written as a server may write it: with other types of leaves, fields
and events that are absent or unknown, in any pieces. Then it is broken.
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

from services.content.model import FinishReason
from services.router.core.failures import FailureClass
from tests.unit.router.read_answers import Answer, cut
from tests.unit.router.read_answers import messages_answer as answer

# An event: its name and its data.
Event: TypeAlias = dict[str, Any]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
WORDS = st.lists(
    st.sampled_from(
        ["a", "grüß", "🚀", "\n\n", "data: x", '"'],
    ),
    max_size=4,
)
CUTS = st.lists(st.floats(0, 1), max_size=6)
FINISHES = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}


@dataclass
class Said:
    """A right answer: its events, and what they say."""

    events: list[Event]
    text: str
    thinking: str
    arguments: list[object]
    finish: FinishReason

    def is_told_by(self, found: Answer) -> bool:
        told = [json.loads(arguments) for _, _, arguments in found.calls]
        same = (found.text, found.thinking, told) == (self.text, self.thinking, self.arguments)
        return same and found.finish is self.finish


@st.composite
def blocks(draw: st.DrawFn, said: Said) -> None:
    """Append a block of any kind to ``said``."""
    index = sum(event["type"] == "content_block_start" for event in said.events)
    pieces = draw(WORDS)
    kind = draw(st.sampled_from(["text", "thinking", "tool_use"]))
    content: Event = {"type": kind}
    if kind == "text":
        said.text += "".join(pieces)
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    elif kind == "thinking":
        said.thinking += "".join(pieces)
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
        deltas.append({"type": "signature_delta", "signature": "c2ln"})
    else:
        arguments = {"words": pieces}
        said.arguments.append(arguments)
        content |= {"id": f"toolu_{index}", "name": "get_time", "input": {}}
        shares = cut(json.dumps(arguments).encode(), draw(CUTS))
        deltas = [{"type": "input_json_delta", "partial_json": each.decode()} for each in shares]
    said.events.append({"type": "content_block_start", "index": index, "content_block": content})
    said.events += [
        {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
    ]
    said.events.append({"type": "content_block_stop", "index": index})


@st.composite
def answers(draw: st.DrawFn) -> Said:
    message = {"id": "msg_1", "type": "message", "content": [], "usage": {"input_tokens": 9}}
    said = Said([{"type": "message_start", "message": message}], "", "", [], FinishReason.STOP)
    for _ in range(draw(st.integers(0, 4))):
        draw(blocks(said))
    word = "tool_use" if said.arguments else draw(st.sampled_from(sorted(FINISHES)))
    said.finish = FINISHES.get(word, FinishReason.TOOL_CALLS)
    delta = {"stop_reason": word, "stop_sequence": None}
    said.events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 4}})
    said.events.append({"type": "message_stop"})
    return said


def events_of(said: Said, kind: str) -> list[Event]:
    return [event for event in said.events if event["type"] == kind]


def leave_out(said: Said, kind: str) -> None:
    said.events = [event for event in said.events if event["type"] != kind]


def in_a_list(event: Event, field: str) -> None:
    if field in event:
        event[field] = [event[field]]


# Ways to write an answer that do not change what it says; ``draw`` gives what is free.
def texts_as_parts(said: Said, draw: st.DrawFn) -> None:
    for event in events_of(said, "content_block_delta"):
        delta = event["delta"]
        for field in ("text", "thinking"):
            if field in delta:
                delta[field] = [{"type": "text", "text": delta[field]}]


def indexes_as_text(said: Said, draw: st.DrawFn) -> None:
    for event in said.events:
        if "index" in event:
            event["index"] = str(event["index"])


def no_indexes(said: Said, draw: st.DrawFn) -> None:
    for event in said.events:
        event.pop("index", None)


def always_index_0(said: Said, draw: st.DrawFn) -> None:
    for event in said.events:
        if "index" in event:
            event["index"] = 0


def lists_of_one(said: Said, draw: st.DrawFn) -> None:
    for event in events_of(said, "message_delta"):
        in_a_list(event["delta"], "stop_reason")
    for event in said.events:
        for field in ("delta", "content_block", "message"):
            in_a_list(event, field)


def unused_leaves(said: Said, draw: st.DrawFn) -> None:
    for event in said.events:
        event["future"] = draw(JSON)
        if event["type"] == "message_start" and isinstance(event["message"], dict):
            event["message"] |= {name: draw(JSON) for name in ("role", "model", "stop_sequence")}


def any_usage(said: Said, draw: st.DrawFn) -> None:
    for event in said.events:
        if event["type"] in {"message_delta", "message_stop"}:
            event["usage"] = draw(JSON)


def unknown_events(said: Said, draw: st.DrawFn) -> None:
    for _ in range(draw(st.integers(1, 3))):
        extra = draw(st.sampled_from([{"type": "ping"}, {"type": "future", "x": [1]}]))
        said.events.insert(draw(st.integers(0, len(said.events))), dict(extra))


def no_start(said: Said, draw: st.DrawFn) -> None:
    leave_out(said, "message_start")


def no_block_stops(said: Said, draw: st.DrawFn) -> None:
    leave_out(said, "content_block_stop")


def no_text_starts(said: Said, draw: st.DrawFn) -> None:
    said.events = [
        event
        for event in said.events
        if event["type"] != "content_block_start"
        or not isinstance(event["content_block"], dict)
        or event["content_block"]["type"] == "tool_use"
    ]


def no_message_stop(said: Said, draw: st.DrawFn) -> None:
    leave_out(said, "message_stop")


def no_ids(said: Said, draw: st.DrawFn) -> None:
    for event in events_of(said, "content_block_start"):
        if isinstance(event["content_block"], dict):
            event["content_block"].pop("id", None)


WAYS: list[Callable[[Said, st.DrawFn], None]] = [
    texts_as_parts,
    indexes_as_text,
    no_indexes,
    always_index_0,
    unused_leaves,
    any_usage,
    unknown_events,
    no_start,
    no_block_stops,
    no_text_starts,
    no_message_stop,
    no_ids,
    lists_of_one,
]
# Without its start, a block is known by its index, and by nothing if that is gone too.
APART = [{no_text_starts, no_indexes}, {no_text_starts, always_index_0}]


@st.composite
def written(draw: st.DrawFn) -> Said:
    """A right answer as some server writes it."""
    said = deepcopy(draw(answers()))
    chosen = draw(st.sets(st.sampled_from(range(len(WAYS))), max_size=4))
    ways = [WAYS[number] for number in sorted(chosen)]
    for pair in APART:
        if pair <= set(ways):
            ways.remove(no_text_starts)
    for way in ways:
        way(said, draw)
    return said


@dataclass(frozen=True)
class Style:
    """How events are written; one of ``names`` and ``types`` at least."""

    names: bool
    types: bool
    ascii_only: bool
    line_end: bytes


STYLES = st.builds(
    Style, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([b"\n", b"\r\n", b"\r"])
).filter(lambda style: style.names or style.types)


def wire(events: list[Event], style: Style) -> bytes:
    parts = []
    for event in events:
        name = f"event: {event['type']}\n" if style.names else ""
        shown = {field: event[field] for field in event if style.types or field != "type"}
        parts.append(f"{name}data: {json.dumps(shown, ensure_ascii=style.ascii_only)}\n\n")
    return "".join(parts).encode().replace(b"\n", style.line_end)


def read(stream: bytes, cuts: list[float]) -> Answer:
    return asyncio.run(answer(*cut(stream, cuts)))


@given(written(), STYLES, CUTS)
def test_an_answer_that_is_whole_is_never_lost(said: Said, style: Style, cuts: list[float]) -> None:
    found = read(wire(said.events, style), cuts)
    assert found.failure is None
    assert said.is_told_by(found)


@given(written(), STYLES, CUTS, st.floats(0, 1))
def test_an_answer_that_is_cut_before_its_stop_reason_never_succeeds(
    said: Said, style: Style, cuts: list[float], share: float
) -> None:
    # given the bytes before the event with the stop reason, some of them
    (last,) = [n for n, event in enumerate(said.events) if event["type"] == "message_delta"]
    before = wire(said.events[:last], style)

    # when
    found = read(before[: round(share * len(before))], cuts)

    # then nothing is told but the start of what was said
    assert found.finish is None
    assert found.failure is not None
    assert said.text.startswith(found.text)
    assert found.calls == []


ERRORS = st.sampled_from(
    [
        ({"type": "error", "error": {"type": "overloaded_error"}}, FailureClass.OVERLOADED),
        ({"type": "error", "error": "Too many requests"}, FailureClass.RATE_LIMIT),
        ({"type": "error", "message": "x"}, FailureClass.SERVER_ERROR),
        ({"type": "future", "error": {"code": 401}}, FailureClass.AUTH),
        ({"type": "message_delta", "delta": {"error": {"code": "429"}}}, FailureClass.RATE_LIMIT),
    ]
)


@given(written(), STYLES, CUTS, ERRORS, st.floats(0, 1))
def test_an_error_anywhere_before_the_end_is_never_a_success(
    said: Said,
    style: Style,
    cuts: list[float],
    error: tuple[Event, FailureClass],
    share: float,
) -> None:
    # given
    event, kind = error
    leave_out(said, "message_stop")
    said.events.insert(round(share * len(said.events)), event)

    # when
    found = read(wire(said.events, style), cuts)

    # then
    assert (found.finish, found.failure) == (None, kind)


NO_REASONS = st.sampled_from([None, "", {}, [], "error", "eos", "END", 5, ["a", "b"]])


@given(written(), STYLES, CUTS, NO_REASONS, st.booleans())
def test_no_known_stop_reason_is_never_a_success(
    said: Said, style: Style, cuts: list[float], reason: object, has_stop: bool
) -> None:
    # given
    (ending,) = events_of(said, "message_delta")
    ending["delta"] = {"stop_reason": reason}
    leave_out(said, "message_stop")
    said.events += [{"type": "message_stop"}] * has_stop

    # when
    found = read(wire(said.events, style), cuts)

    # then
    assert found.finish is None
    assert found.failure in {
        FailureClass.STREAM_TRUNCATED,
        FailureClass.STREAM_MALFORMED,
        FailureClass.SERVER_ERROR,
    }


@given(answers(), st.data(), CUTS)
def test_any_leaf_may_be_anything(said: Said, data: st.DataObject, cuts: list[float]) -> None:
    """Then the answer is told or fails; what it says of other leaves is told unchanged."""
    # given a value in place of a field of an event, or of an object in it
    event = data.draw(st.sampled_from(said.events))
    holders = [event, *(value for value in event.values() if isinstance(value, dict))]
    holder = data.draw(st.sampled_from(holders))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)

    # when
    found = read(wire_of_any(said.events), cuts)

    # then
    assert (found.failure is None) is (found.finish is not None)


def wire_of_any(events: list[Event]) -> bytes:
    """Events whose type may be no text."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


@given(st.lists(st.binary(max_size=30) | st.just(b"\n\ndata: {}"), max_size=6), CUTS)
def test_any_bytes_fail(pieces: list[bytes], cuts: list[float]) -> None:
    found = read(b"".join(pieces), cuts)
    assert found.failure in {FailureClass.STREAM_TRUNCATED, FailureClass.STREAM_MALFORMED}
