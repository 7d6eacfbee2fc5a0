from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.clients.sse import MAX_EVENT_BYTES, Event, EventTooLargeError, SseParser


def parsed(*reads: bytes) -> list[tuple[str, str]]:
    """All events of a connection, as text."""
    parser = SseParser()
    events: list[Event] = []
    for read in reads:
        events += parser.feed(read)
    events += parser.finish()
    return [(event.name.decode(), event.data.decode()) for event in events]


RULES = {
    "lf": (b"data: a\n\ndata: b\n\n", [("", "a"), ("", "b")]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "a"), ("", "b")]),
    "cr": (b"data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
    "several lines": (b"data: a\ndata: b\n\n", [("", "a\nb")]),
    "comments": (b": keep-alive\n\n: again\ndata: a\n\n", [("", "a")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
    "spaces": (b"data:a\n\ndata:  b\n\n", [("", "a"), ("", " b")]),
    "no colon": (b"data\n\n", [("", "")]),
    "named": (b"event: ping\ndata: {}\n\ndata: a\n\n", [("ping", "{}"), ("", "a")]),
    "name without data": (b"event: lost\n\ndata: a\n\n", [("", "a")]),
    "other fields": (b"id: 7\nretry: 10\nwhatever: x\ndata: a\n\n", [("", "a")]),
    "a document on one line": (b'{"a": 1}\n\ndata: b\n\n', [("", '{"a": 1}'), ("", "b")]),
    "a document on several lines": (
        b'data: b\n\n{\n  "a": 1\n}\n',
        [("", "b"), ("", '{\n  "a": 1\n}')],
    ),
    "a document behind data": (b'data: b\n{"a": 1}\n\n', [("", "b"), ("", '{"a": 1}')]),
    "a document with a name": (b'event: error\n{"a": 1}\n\n', [("error", '{"a": 1}')]),
    "no final line break": (b"data: a\n\ndata: [DONE]", [("", "a"), ("", "[DONE]")]),
    "no final blank line": (b"data: a\n", [("", "a")]),
    "empty": (b"", []),
    "blank lines": (b"\n\n\n", []),
}


@pytest.mark.parametrize(("stream", "events"), RULES.values(), ids=RULES)
def test_the_rules_of_server_sent_events(stream: bytes, events: list[tuple[str, str]]) -> None:
    assert parsed(stream) == events


LINES = st.sampled_from(
    ["data: ä", "data: 🚀🚀", "data:", ": comment", "event: é", "data: plain", "", "id: 1", '{"a":']
)


@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    bom=st.booleans(),
)
def test_events_do_not_depend_on_where_reads_end(
    lines: list[tuple[str, str]], cuts: list[int], bom: bool
) -> None:
    """In the middle of a character, of the byte order mark, or between CR and LF."""
    # given a stream, whole and in pieces
    whole = ("\ufeff" if bom else "") + "".join(line + end for line, end in lines)
    stream = whole.encode()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reads = [stream[start:end] for start, end in pairwise(edges)]

    # when, then
    assert parsed(*reads) == parsed(stream)


def test_an_event_of_1_mib_passes() -> None:
    # given
    data = b"x" * 1024 * 1024

    # when, then
    assert parsed(b"data: " + data[:500_000], data[500_000:] + b"\n\n") == [("", data.decode())]


def test_a_larger_event_is_refused_also_in_one_read() -> None:
    with pytest.raises(EventTooLargeError):
        SseParser().feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1) + b"\n\n")


@pytest.mark.parametrize("field", [b"data:", b"data: "])
@pytest.mark.parametrize(("beyond", "is_refused"), [(-1, False), (0, True)])
def test_the_limit_does_not_depend_on_how_an_event_arrives(
    field: bytes, beyond: int, is_refused: bool
) -> None:
    # given an event of the largest size, or a byte more
    wire = field + b"x" * (MAX_EVENT_BYTES + beyond) + b"\n\n"

    # when it comes in one burst and in slices
    refused = []
    for slice_bytes in (len(wire), 30_000, len(wire) - 2):
        try:
            parsed(*(wire[at : at + slice_bytes] for at in range(0, len(wire), slice_bytes)))
            refused.append(False)
        except EventTooLargeError:
            refused.append(True)

    # then
    assert refused == [is_refused] * 3


@pytest.mark.parametrize("separator", [b"", b"\ndata: "], ids=["one line", "many lines"])
def test_an_event_that_never_ends_is_refused(separator: bytes) -> None:
    # given
    parser = SseParser()
    parser.feed(b"data: ")
    part = b"x" * 65_536 + separator
    for _ in range(MAX_EVENT_BYTES // len(part) - 1):
        parser.feed(part)

    # when, then
    with pytest.raises(EventTooLargeError):
        parser.feed(part * 3)
