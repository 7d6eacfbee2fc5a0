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


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [("", "a"), ("", "b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "a"), ("", "b")]),
        (b"data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
        (b"data: a\ndata: b\n\n", [("", "a\nb")]),
        (b": keep-alive\n\n: again\ndata: a\n\n", [("", "a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b"data:a\n\ndata:  b\n\n", [("", "a"), ("", " b")]),
        (b"data\n\n", [("", "")]),
        (b"event: ping\ndata: {}\n\ndata: a\n\n", [("ping", "{}"), ("", "a")]),
        (b"event: lost\n\ndata: a\n\n", [("", "a")]),
        (b"id: 7\nretry: 10\nwhatever: x\ndata: a\n\n", [("", "a")]),
        (b"data: a\n\ndata: [DONE]", [("", "a"), ("", "[DONE]")]),
        (b"data: a\n", [("", "a")]),
        (b"", []),
        (b"\n\n\n", []),
    ],
    ids=[
        "lf",
        "crlf",
        "cr",
        "several lines",
        "comments",
        "byte order mark",
        "spaces",
        "no colon",
        "named",
        "name without data",
        "other fields",
        "no final line break",
        "no final blank line",
        "empty",
        "blank lines",
    ],
)
def test_the_rules_of_server_sent_events(stream: bytes, events: list[tuple[str, str]]) -> None:
    assert parsed(stream) == events


LINES = st.sampled_from(
    ["data: ä", "data: 🚀🚀", "data:", ": comment", "event: é", "data: plain", "", "id: 1"]
)


@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    bom=st.booleans(),
)
def test_it_does_not_matter_where_a_read_ends(
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
