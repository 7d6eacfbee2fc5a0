"""Filters: which events match, and that every match is found through the index."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ("wanted", "is_match"),
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
def test_every_set_field_has_to_match(wanted: EventFilter, is_match: bool) -> None:
    # given an event with every field, when it is matched, then each set field has to match
    assert matches(wanted, EVENT) is is_match


def test_an_absent_name_matches_no_filter_that_asks_for_one() -> None:
    # given an event without a topic
    bare = Event(kind=EventKind.MEMBER_JOINED, sender_run_id="run-a")

    # when topics are required, then it does not match
    assert not matches(EventFilter(topics=("t",)), bare)
    assert matches(EventFilter(terminal_only=True), replace(bare, terminal=True))


def test_events_about_wakes_never_match() -> None:
    # given an event about a wake
    wake = Event(kind=EventKind.WAKE_TRIGGERED, sender_run_id="run-a")

    # when it is matched, then no filter matches it
    assert not matches(EventFilter(), wake)
    assert not matches(EventFilter(kinds=("wake.*",)), wake)


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind.family == "wake"])
def test_events_about_wakes_have_no_keys(kind: EventKind) -> None:
    # given an event about a wake, which matches no filter
    event = Event(kind=kind, sender_run_id="run-a", sender_agent_id="x", condition_id="c")

    # when its keys are listed, then there are none, so that no wake is loaded
    assert list(event_keys(event)) == []
    assert list(event_keys(replace(event, kind=EventKind.MESSAGE_FAILED))) != []


def test_a_filter_is_indexed_by_its_most_selective_field() -> None:
    # given filters with ever more fields, when they are indexed, then one field counts
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
_kind = st.sampled_from(["message.delivered", "message.*", "member.*"])
_kinds = st.lists(_kind, unique=True, max_size=2).map(tuple)
_LISTS = (
    "recipient_run_ids", "message_ids", "reply_to", "topics", "sender_run_ids", "sender_agent_ids",
    "correlation_keys",
)  # fmt: skip
_events = st.builds(
    Event,
    kind=st.sampled_from([EventKind.MESSAGE_DELIVERED, EventKind.MEMBER_JOINED]),
    recipient_run_ids=_names,
    correlation=_correlations,
    terminal=st.booleans(),
    **dict.fromkeys(("sender_run_id", "sender_agent_id", "message_id", "reply_to", "topic"), _name),
)
_filters = st.builds(
    EventFilter,
    kinds=_kinds,
    correlation=_correlations,
    terminal_only=st.booleans(),
    **dict.fromkeys(_LISTS, _names),
)


@given(_filters, _events)
def test_what_matches_is_found_through_the_index(wanted: EventFilter, event: Event) -> None:
    """A wake under none of an event's keys would not be triggered by it."""
    # given any filter and any event that matches it
    # when the event is looked up, then one of its keys is that of the filter
    if matches(wanted, event):
        assert set(index_keys(wanted)) & set(event_keys(event))


def test_the_fingerprint_ignores_order_and_repetition() -> None:
    # given the same filters in another order, and one more
    one, two = EventFilter(topics=("a", "b")), EventFilter(kinds=("x",))
    same = [EventFilter(kinds=("x",)), EventFilter(topics=("b", "a"))]

    # when they are fingerprinted, then only a missing filter makes a difference
    assert filter_fingerprint([one, two]) == filter_fingerprint([*same, *same])
    assert filter_fingerprint([one, two]) != filter_fingerprint([one])
