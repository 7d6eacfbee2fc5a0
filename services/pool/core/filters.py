"""Filters: which events match, and the keys by which an event finds the wakes it may match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from services.pool.core.events import Event, EventFilter
from services.pool.core.model import Correlation

WAKE_FAMILY = "wake"
FAMILY_SUFFIX = ".*"


class Dimension(Enum):
    """The fields a filter can be indexed by, the most selective first."""

    MESSAGE = "message"
    REPLY_TO = "reply_to"
    RECIPIENT = "recipient"
    CORRELATION = "correlation"
    SENDER = "sender"
    TOPIC = "topic"
    CORRELATION_KEY = "correlation_key"
    AGENT = "agent"
    KIND = "kind"
    ANY = "any"


IndexKey = tuple[Dimension, str]


def matches(wanted: EventFilter, event: Event) -> bool:
    """Whether ``event`` matches. Events about wakes never do: a wake would trigger itself."""
    return (
        event.kind.family != WAKE_FAMILY
        and _names(wanted, event)
        and _one_of(wanted.correlation, event.correlation)
        and _one_of(wanted.correlation_keys, (each.key for each in event.correlation))
        and (event.terminal or not wanted.terminal_only)
    )


def _names(wanted: EventFilter, event: Event) -> bool:
    return (
        _one_of(wanted.kinds, _kinds(event))
        and _one_of(wanted.recipient_run_ids, event.recipient_run_ids)
        and _one_of(wanted.message_ids, (event.message_id,))
        and _one_of(wanted.reply_to, (event.reply_to,))
        and _one_of(wanted.topics, (event.topic,))
        and _one_of(wanted.sender_run_ids, (event.sender_run_id,))
        and _one_of(wanted.sender_agent_ids, (event.sender_agent_id,))
    )


def _one_of(wanted: tuple[object, ...], present: Iterable[object]) -> bool:
    return not wanted or any(value in wanted for value in present)


def _kinds(event: Event) -> tuple[str, str]:
    return event.kind.value, event.kind.family + FAMILY_SUFFIX


def index_keys(wanted: EventFilter) -> list[IndexKey]:
    """A key per value of the most selective field that is set; a matching event has one of them."""
    fields: list[tuple[Dimension, tuple[str, ...]]] = [
        (Dimension.MESSAGE, wanted.message_ids),
        (Dimension.REPLY_TO, wanted.reply_to),
        (Dimension.RECIPIENT, wanted.recipient_run_ids),
        (Dimension.CORRELATION, tuple(_entry(each) for each in wanted.correlation)),
        (Dimension.SENDER, wanted.sender_run_ids),
        (Dimension.TOPIC, wanted.topics),
        (Dimension.CORRELATION_KEY, wanted.correlation_keys),
        (Dimension.AGENT, wanted.sender_agent_ids),
        (Dimension.KIND, wanted.kinds),
    ]
    for dimension, values in fields:
        if values:
            return [(dimension, value) for value in values]
    return [(Dimension.ANY, "")]


def event_keys(event: Event) -> Iterator[IndexKey]:
    """Every key under which a filter that matches ``event`` can be indexed."""
    if event.kind.family == WAKE_FAMILY:
        return
    named = {
        Dimension.MESSAGE: event.message_id,
        Dimension.REPLY_TO: event.reply_to,
        Dimension.SENDER: event.sender_run_id,
        Dimension.TOPIC: event.topic,
        Dimension.AGENT: event.sender_agent_id,
    }
    yield from ((dimension, value) for dimension, value in named.items() if value)
    yield from ((Dimension.KIND, kind) for kind in _kinds(event))
    yield from ((Dimension.RECIPIENT, run_id) for run_id in event.recipient_run_ids)
    for each in event.correlation:
        yield Dimension.CORRELATION, _entry(each)
        yield Dimension.CORRELATION_KEY, each.key
    yield Dimension.ANY, ""


def _entry(each: Correlation) -> str:
    # Ids hold no control characters, so the separator cannot be part of a key.
    return f"{each.key}\x1f{each.value}"
