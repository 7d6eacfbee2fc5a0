"""Which traces to show for an id, and the tree that their spans form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.chassis.observe.names import RUN_ID
from services.cli.base.prefixes import SHORTEST_PREFIX
from services.cli.traces.spans import SpanLink, SpanRecord

# Links are followed to other traces; a busy thread could otherwise pull in a whole day.
MAX_TRACES = 12
_TRACE_ID_DIGITS = 32


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span and what it caused, in the order of starting."""

    span: SpanRecord
    children: tuple[SpanNode, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace as far as it was received.

    Attributes:
        roots: Spans without a parent, or whose parent has not been received.
        linked: It is shown because a link leads to it.
    """

    trace_id: str
    roots: tuple[SpanNode, ...]
    linked: bool

    @property
    def start_ns(self) -> int:
        return min(root.span.start_ns for root in self.roots)

    def spans(self) -> list[SpanRecord]:
        found: list[SpanRecord] = []
        pending = list(reversed(self.roots))
        while pending:
            node = pending.pop()
            found.append(node.span)
            pending += reversed(node.children)
        return found


def find_traces(spans: Iterable[SpanRecord], wanted: str) -> list[Trace]:
    """The traces of ``wanted``, oldest first, with those that their links lead to.

    Args:
        wanted: A trace id or at least 6 digits of its beginning, or an id that a span carries in
            an attribute: a run, a thread, a ticket.
    """
    by_trace: dict[str, dict[str, SpanRecord]] = defaultdict(dict)
    for span in spans:
        by_trace[span.trace_id][span.span_id] = span
    named = _matching(by_trace, wanted)
    shown = _with_linked(by_trace, named)
    traces = [
        Trace(trace_id, _roots(list(by_trace[trace_id].values())), trace_id not in named)
        for trace_id in shown
    ]
    # Without a root, its spans name each other as parents: not a valid trace.
    rooted = [trace for trace in traces if trace.roots]
    return sorted(rooted, key=lambda trace: (trace.linked, trace.start_ns))


def run_ids_of(spans: Iterable[SpanRecord]) -> set[str]:
    """The runs that spans belong to."""
    return {str(span.attributes[RUN_ID]) for span in spans if RUN_ID in span.attributes}


def _matching(by_trace: dict[str, dict[str, SpanRecord]], wanted: str) -> list[str]:
    lowered = wanted.lower()
    if _is_hexadecimal(lowered) and SHORTEST_PREFIX <= len(lowered) <= _TRACE_ID_DIGITS:
        found = [trace_id for trace_id in by_trace if trace_id.startswith(lowered)]
        if found:
            return found[:MAX_TRACES]
    found = [
        trace_id
        for trace_id, spans in by_trace.items()
        if any(wanted in span.attributes.values() for span in spans.values())
    ]
    return found[:MAX_TRACES]


def _with_linked(by_trace: dict[str, dict[str, SpanRecord]], named: list[str]) -> list[str]:
    shown = list(named)
    for trace_id in shown:  # grows while it is walked
        for span in by_trace[trace_id].values():
            for link in span.links:
                known = link.span_id in by_trace.get(link.trace_id, {})
                if known and link.trace_id not in shown and len(shown) < MAX_TRACES:
                    shown.append(link.trace_id)
    return shown


def _roots(spans: Sequence[SpanRecord]) -> tuple[SpanNode, ...]:
    ids = {span.span_id for span in spans}
    children: dict[str, list[SpanRecord]] = defaultdict(list)
    for span in sorted(spans, key=lambda s: (s.start_ns, s.end_ns)):
        parent = span.parent_id if span.parent_id in ids else ""
        children[parent].append(span)
    return tuple(_node(span, children) for span in children[""])


def _node(span: SpanRecord, children: dict[str, list[SpanRecord]]) -> SpanNode:
    return SpanNode(span, tuple(_node(child, children) for child in children[span.span_id]))


def link_targets(traces: Iterable[Trace]) -> dict[tuple[str, str], int]:
    """A number for every shown span that a shown link leads to, in the order of appearance."""
    spans = [span for trace in traces for span in trace.spans()]
    targets = {(link.trace_id, link.span_id) for span in spans for link in span.links}
    numbers: dict[tuple[str, str], int] = {}
    for span in spans:
        key = (span.trace_id, span.span_id)
        if key in targets:
            numbers[key] = len(numbers) + 1
    return numbers


def link_type(link: SpanLink) -> str:
    """The kind of a link: whatever attribute of it ends in ``type``."""
    for key, value in link.attributes.items():
        if key.endswith(("link.type", "link_type")):
            return str(value)
    return "link"


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and all(digit in "0123456789abcdef" for digit in text)
