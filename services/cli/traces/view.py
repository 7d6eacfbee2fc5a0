"""A trace on a terminal: a tree with durations and error reasons, its links drawn below a span."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from services.chassis.observe.names import ERROR_TYPE, ERROR_TYPE_CANCELLED
from services.cli.base.layout import assembled, laid_out, one_line
from services.cli.base.terminal import Terminal
from services.cli.traces.spans import SpanLink, SpanRecord, Value
from services.cli.traces.tree import SpanNode, Trace, link_targets, link_type

_COLOURS = {
    "cli": "white",
    "registry": "green",
    "router": "magenta",
    "runcontrol": "cyan",
    "pool": "yellow",
}
_WIDEST_NAME = 72

# Attributes that distinguish a span from its siblings; the first of each group is shown.
_FACTS: Sequence[Sequence[str]] = (
    ("gen_ai.request.model", "runyard.model.id", "router.member.id"),
    ("gen_ai.tool.name", "runyard.tool.id"),
    ("runyard.agent.id", "gen_ai.agent.id"),
)


# What stands behind the name of a span: service, start, length.
_FACTS_WIDTH = 29


@dataclass(frozen=True, slots=True)
class _Row:
    """One span or link.

    Attributes:
        tree: What is drawn before it.
        below: What is drawn before the lines in which it goes on.
    """

    tree: str
    below: str
    name: str
    span: SpanRecord | None
    link: str = ""


def render(traces: Sequence[Trace], columns: int | None = None) -> list[Text]:
    """The lines of all traces; link targets carry the number that the link names.

    Args:
        columns: Of the terminal; None breaks no line.
    """
    numbers = link_targets(traces)
    places = {_key(span): span for trace in traces for span in trace.spans()}
    lines: list[Text] = []
    for trace in traces:
        rows = [row for root in trace.roots for row in _rows(root, "", "", numbers, places)]
        lines.append(laid_out(_heading(trace), columns, Text(), Text("  ")))
        widest = _WIDEST_NAME if columns is None else max(20, columns - _FACTS_WIDTH - 2)
        width = min(widest, max(len(row.tree + row.name) for row in rows if row.span))
        lines += [_line(row, width, trace.start_ns, columns) for row in rows]
        lines.append(Text())
    return lines


def _heading(trace: Trace) -> Text:
    spans = trace.spans()
    duration_ns = max(s.end_ns for s in spans) - trace.start_ns
    services = sorted({s.service for s in spans})
    why = "linked trace" if trace.linked else "trace"
    return Text.assemble(
        (f"{why} {trace.trace_id}", "bold"),
        (f"  {duration(duration_ns)}  {len(spans)} spans  {', '.join(services)}", "dim"),
    )


def _rows(
    node: SpanNode,
    lead: str,
    below: str,
    numbers: Mapping[tuple[str, str], int],
    places: Mapping[tuple[str, str], SpanRecord],
) -> Iterable[_Row]:
    spans, node = _folded(node)
    marks = "".join(f" [{numbers[key]}]" for key in map(_key, spans) if key in numbers)
    stem = f"{below}{'│  ' if node.children else '   '}"
    yield _Row(lead, stem, f"{span_name(node.span)}{marks}", node.span)
    for link in [link for span in spans for link in span.links]:
        yield _Row(stem, f"{stem}  ", "", None, _link_text(link, numbers, places))
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _rows(
            child,
            below + ("└─ " if last else "├─ "),
            below + ("   " if last else "│  "),
            numbers,
            places,
        )


def _folded(node: SpanNode) -> tuple[list[SpanRecord], SpanNode]:
    """A call's two sides as one row, the server's, unless name or status differ."""
    (server,) = node.children if len(node.children) == 1 else (None,)
    if server is None or not _sides_of_one_call(node.span, server.span):
        return [node.span], node
    return [node.span, server.span], server


def _sides_of_one_call(client: SpanRecord, server: SpanRecord) -> bool:
    return (
        (client.kind, server.kind) == ("client", "server")
        and client.name == server.name
        and client.status == server.status
    )


def _key(span: SpanRecord) -> tuple[str, str]:
    return (span.trace_id, span.span_id)


def _link_text(
    link: SpanLink,
    numbers: Mapping[tuple[str, str], int],
    places: Mapping[tuple[str, str], SpanRecord],
) -> str:
    key = (link.trace_id, link.span_id)
    target = places.get(key)
    if target is None:
        return f"↖ {one_line(link_type(link))}: span {link.span_id} of trace {link.trace_id}"
    return f"↖ {one_line(link_type(link))}: [{numbers[key]}] {span_name(target)} ({target.service})"


def _line(row: _Row, width: int, start_ns: int, columns: int | None) -> Text:
    # As parts: the style of a text counts for what is added to it, too.
    tree, below = assembled([(row.tree, "dim")]), assembled([(row.below, "dim")])
    if row.span is None:
        return laid_out(Text(row.link, "bold yellow"), columns, tree, below)
    span = row.span
    failed = span.status == "error"
    name = assembled([(row.name, "bold red" if failed else "bold")])
    facts = _facts(span, start_ns)
    if columns is None or len(row.tree + row.name) <= width:
        line = tree + name
        line.append(" " * (width + 2 - len(line.plain)))
        if columns is None or len(line.plain) + len(facts.plain) <= columns:
            return line + facts
    # Name and facts do not fit beside each other: the tree goes on below the name.
    named = laid_out(name, columns, tree, below)
    return named + Text("\n") + laid_out(facts, columns, below, below)


def _facts(span: SpanRecord, start_ns: int) -> Text:
    """Service, start, length, and what went wrong."""
    line = Text()
    line.append(f"{one_line(span.service):<10}", _COLOURS.get(span.service, "blue"))
    line.append(f" +{duration(span.start_ns - start_ns):>8} ", "dim")
    line.append(f"{duration(span.end_ns - span.start_ns):>8}")
    trouble = _trouble(span)
    if trouble:
        cancelled = trouble == ERROR_TYPE_CANCELLED
        line.append(f"  {'·' if cancelled else '✗'} {trouble}", "dim" if cancelled else "bold red")
    return line


def span_name(span: SpanRecord) -> str:
    """The name with what distinguishes the span from its siblings, unless the name has it."""
    name = span.name.rpartition("/")[2] if "/" in span.name else span.name
    facts = []
    for group in _FACTS:
        value = next((span.attributes[key] for key in group if key in span.attributes), None)
        if value is not None and str(value) not in name:
            facts.append(str(value))
    arrow = "→ " if span.kind == "client" and "/" in span.name else ""
    return one_line(arrow + name + (f" ({', '.join(facts)})" if facts else ""))


def _trouble(span: SpanRecord) -> str:
    reason: Value = span.attributes.get(ERROR_TYPE, "")
    return one_line(str(reason)) or ("error" if span.status == "error" else "")


def duration(length_ns: int) -> str:
    if length_ns < 1_000_000:
        return f"{length_ns / 1_000:.0f} µs"
    if length_ns < 1_000_000_000:
        return f"{length_ns / 1_000_000:.1f} ms"
    return f"{length_ns / 1_000_000_000:.2f} s"


def to_json(traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """The same for scripts; nested as the tree is."""
    return [
        {
            "trace_id": trace.trace_id,
            "linked": trace.linked,
            "roots": [_json_node(root) for root in trace.roots],
        }
        for trace in traces
    ]


def _json_node(node: SpanNode) -> dict[str, Any]:
    span = node.span
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "service": span.service,
        "kind": span.kind,
        "start_ns": span.start_ns,
        "duration_ns": span.end_ns - span.start_ns,
        "status": span.status,
        "attributes": dict(span.attributes),
        "events": [
            {"name": e.name, "at_ns": e.at_ns, "attributes": dict(e.attributes)}
            for e in span.events
        ],
        "links": [
            {
                "type": link_type(link),
                "trace_id": link.trace_id,
                "span_id": link.span_id,
                "attributes": dict(link.attributes),
            }
            for link in span.links
        ],
        "children": [_json_node(child) for child in node.children],
    }


def show(traces: list[Trace], terminal: Terminal) -> None:
    for line in render(traces, terminal.width):
        terminal.drawn(line)
    terminal.data({"traces": to_json(traces)})
