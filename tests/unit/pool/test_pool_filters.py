"""Filters: what matches, and that the index never hides a match."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pool.core.cursors import BadCursorError, cursor_of, sequence_of
from services.pool.core.digests import filter_fingerprint
from services.pool.core.events import Event, EventFilter, EventKind
from services.pool.core.filters import Dimension, event_keys, index_keys, matches
from services.pool.core.model import Correlation

EVENT = Event(
    kind=EventKind.MESSAGE_DELIVERED,
    sequence=7,
    sender_run_id="run-a",
    sender_agent_id="x",
    message_id="m-1",
    reply_to="m-0",
    topic="t",
    recipient_run_ids=("run-b", "run-c"),
    correlation=(Correlation("job", "7"), Correlation("part", "1")),
)


@pytest.mark.parametrize(
    ("wanted", "is_meant"),
    [
        (EventFilter(), True),
        (EventFilter(kinds=("message.delivered",)), True),
        (EventFilter(kinds=("message.*",)), True),
        (EventFilter(kinds=("message.accepted", "pool.*")), False),
        (EventFilter(recipient_run_ids=("run-c", "run-z")), True),
        (EventFilter(recipient_run_ids=("run-a",)), False),
        (EventFilter(message_ids=("m-1",)), True),
        (EventFilter(message_ids=("m-0",)), False),
        (EventFilter(reply_to=("m-0",)), True),
        (EventFilter(reply_to=("m-1",)), False),
        (EventFilter(topics=("t",)), True),
        (EventFilter(topics=("u",)), False),
        (EventFilter(sender_run_ids=("run-a",)), True),
        (EventFilter(sender_run_ids=("run-b",)), False),
        (EventFilter(sender_agent_ids=("x",)), True),
        (EventFilter(sender_agent_ids=("y",)), False),
        (EventFilter(correlation=(Correlation("part", "1"),)), True),
        (EventFilter(correlation=(Correlation("job", "8"),)), False),
        (EventFilter(correlation_keys=("job",)), True),
        (EventFilter(correlation_keys=("other",)), False),
        (EventFilter(terminal_only=True), False),
        (EventFilter(message_ids=("m-1",), sender_run_ids=("run-b",)), False),
    ],
)
def test_every_set_field_has_to_match(wanted: EventFilter, is_meant: bool) -> None:
    # given an event with everything set, when a filter looks at it, then all of it has to fit
    assert matches(wanted, EVENT) is is_meant


def test_an_absent_name_matches_no_filter_that_asks_for_one() -> None:
    # given an event without a topic
    bare = Event(kind=EventKind.MEMBER_JOINED, sender_run_id="run-a")

    # when topics are asked for, then it is not meant
    assert not matches(EventFilter(topics=("t",)), bare)
    assert matches(EventFilter(terminal_only=True), replace(bare, terminal=True))


def test_wake_events_are_never_meant() -> None:
    # given an event about a wake
    wake = Event(kind=EventKind.WAKE_TRIGGERED, sender_run_id="run-a")

    # when anything at all is asked for, then it is not meant
    assert not matches(EventFilter(), wake)
    assert not matches(EventFilter(kinds=("wake.*",)), wake)


def test_a_filter_is_indexed_by_its_most_telling_field() -> None:
    # given filters of growing narrowness, when they are indexed, then one field counts
    kinds = EventFilter(kinds=("message.*",))
    sender = replace(kinds, sender_run_ids=("a", "b"))
    message = replace(sender, message_ids=("m",))
    assert index_keys(EventFilter(terminal_only=True)) == [(Dimension.ANY, "")]
    assert index_keys(kinds) == [(Dimension.KIND, "message.*")]
    assert index_keys(sender) == [(Dimension.SENDER, "a"), (Dimension.SENDER, "b")]
    assert index_keys(message) == [(Dimension.MESSAGE, "m")]


_name = st.sampled_from(["", "a", "b"])
_names = st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2).map(tuple)
_correlation = st.builds(Correlation, st.sampled_from("ab"), st.sampled_from("ab"))
_correlations = st.lists(_correlation, unique=True, max_size=2).map(tuple)
_kinds = st.lists(
    st.sampled_from(["message.delivered", "message.*", "member.*"]), unique=True, max_size=2
).map(tuple)
_events = st.builds(
    Event,
    kind=st.sampled_from([EventKind.MESSAGE_DELIVERED, EventKind.MEMBER_JOINED]),
    sender_run_id=_name,
    sender_agent_id=_name,
    message_id=_name,
    reply_to=_name,
    topic=_name,
    recipient_run_ids=_names,
    correlation=_correlations,
    terminal=st.booleans(),
)
_filters = st.builds(
    EventFilter,
    kinds=_kinds,
    recipient_run_ids=_names,
    message_ids=_names,
    reply_to=_names,
    topics=_names,
    sender_run_ids=_names,
    sender_agent_ids=_names,
    correlation=_correlations,
    correlation_keys=_names,
    terminal_only=st.booleans(),
)


@given(_filters, _events)
def test_what_matches_is_found_through_the_index(wanted: EventFilter, event: Event) -> None:
    """A wake under none of an event's keys would sleep through it."""
    # given any filter and any event that it means
    # when the event looks for it, then one of its keys leads there
    if matches(wanted, event):
        assert set(index_keys(wanted)) & set(event_keys(event))


def test_the_fingerprint_is_that_of_the_meaning() -> None:
    # given the same filters in another order, and one more
    one, two = EventFilter(topics=("a", "b")), EventFilter(kinds=("x",))
    same = [EventFilter(kinds=("x",)), EventFilter(topics=("b", "a"))]

    # when they are fingerprinted, then order and repetition do not count
    assert filter_fingerprint([one, two]) == filter_fingerprint([*same, *same])
    assert filter_fingerprint([one, two]) != filter_fingerprint([one])


def test_a_cursor_belongs_to_its_pool() -> None:
    # given a cursor
    cursor = cursor_of("pool-1", 7)

    # when it comes back, then it is understood in its own pool alone
    assert sequence_of(cursor, "pool-1") == 7
    with pytest.raises(BadCursorError, match="another pool"):
        sequence_of(cursor, "pool-2")
    for broken in (b"", b"7", cursor + b"0", b"\x02" + cursor[1:]):
        with pytest.raises(BadCursorError, match="this service"):
            sequence_of(broken, "pool-1")
