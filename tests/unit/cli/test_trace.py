"""Which traces are shown for an id, and how they look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.cli.traces.spans import SpanLink, SpanRecord
from services.cli.traces.tree import find_traces
from services.cli.traces.view import duration, render, to_json

A, B, C = "a" * 32, "b" * 32, "c" * 32
MS = 1_000_000


def span(trace_id: str, number: int, parent: int, name: str, **changes: object) -> SpanRecord:
    parent_id = f"{parent:016x}" if parent else ""
    times_ns = (number * MS, 20 * MS)
    made = SpanRecord(trace_id, f"{number:016x}", parent_id, name, "router", "internal", *times_ns)
    return replace(made, **changes)  # type: ignore[arg-type]


def link(trace_id: str, number: int, kind: str) -> SpanLink:
    return SpanLink(trace_id, f"{number:016x}", {"runyard.link.type": kind})


BACKUP = {"gen_ai.request.model": "backup"}
HOME = {"gen_ai.request.model": "home", "error.type": "RATE_LIMIT"}
CAUSES = (link(A, 2, "wake_cause"), link(C, 9, "suspended_by"))
FAILOVER = [
    span(A, 4, 2, "chat backup", links=(link(A, 3, "failover_from"),), attributes=BACKUP),
    span(A, 3, 2, "chat home", status="error", end_ns=4 * MS, attributes=HOME),
    span(A, 2, 1, "runyard.router.v1.RouterService/Infer", kind="server"),
    span(A, 1, 0, "run", service="runcontrol", attributes={"runyard.run.id": "run-1"}),
]
WAKE = [
    span(
        B, 5, 0, "wake", service="runcontrol", links=CAUSES, attributes={"runyard.run.id": "run-2"}
    )
]


def lines(spans: list[SpanRecord], wanted: str) -> list[str]:
    return [line.plain.rstrip() for line in render(find_traces(spans, wanted))]


def test_a_failover_is_drawn_with_its_link_and_its_reason() -> None:
    assert lines(FAILOVER, "run-1") == [
        f"trace {A}  19.0 ms  4 spans  router, runcontrol",
        "run                  runcontrol +    0 µs  19.0 ms",
        "└─ Infer             router     +  1.0 ms  18.0 ms",
        "   ├─ chat home [1]  router     +  2.0 ms   1.0 ms  ✗ RATE_LIMIT",
        "   └─ chat backup    router     +  3.0 ms  16.0 ms",
        "         ↖ failover_from: [1] chat home (router)",
        "",
    ]


def test_a_linked_trace_is_shown_with_the_one_that_links_to_it() -> None:
    shown = lines(FAILOVER + WAKE, "run-2")
    assert shown[0].startswith(f"trace {B}")
    assert shown[2:4] == [
        "   ↖ wake_cause: [1] Infer (router)",
        f"   ↖ suspended_by: span {9:016x} of trace {C}",
    ]
    assert shown[5].startswith(f"linked trace {A}")
    assert "Infer [1]" in shown[7]


def test_a_link_does_not_show_what_links_to_the_trace() -> None:
    assert [trace.trace_id for trace in find_traces(FAILOVER + WAKE, "run-1")] == [A]


@pytest.mark.parametrize("wanted", [A, "aaaaaa", "AAAAAAAA", "run-1"])
def test_a_trace_is_found_by_its_id_its_beginning_and_what_it_names(wanted: str) -> None:
    assert [trace.trace_id for trace in find_traces(FAILOVER + WAKE, wanted)] == [A]


@pytest.mark.parametrize("wanted", ["aaaaa", "run", "", "d" * 32])
def test_nothing_is_found_by_less(wanted: str) -> None:
    assert find_traces(FAILOVER + WAKE, wanted) == []


def test_a_span_whose_parent_is_not_there_is_a_root() -> None:
    (trace,) = find_traces(FAILOVER[:2], A)
    assert [root.span.name for root in trace.roots] == ["chat home", "chat backup"]


def test_a_span_that_came_twice_is_shown_once() -> None:
    """Exporters repeat a batch whose answer was lost."""
    (trace,) = find_traces(FAILOVER + FAILOVER, A)
    assert len(trace.spans()) == 4


def test_spans_that_are_their_own_ancestors_are_not_shown() -> None:
    assert find_traces([span(A, 1, 2, "x"), span(A, 2, 1, "y")], A) == []


def test_names_cannot_act_on_the_terminal() -> None:
    shown = lines([span(A, 1, 0, "evil \x1b[2J", attributes={"error.type": "\x07"})], A)
    assert "\x1b" not in shown[1]
    assert "\x07" not in shown[1]


def test_a_program_gets_the_same_tree() -> None:
    (trace,) = to_json(find_traces(FAILOVER, "run-1"))
    (infer,) = trace["roots"][0]["children"]
    backup = infer["children"][1]
    assert backup["name"] == "chat backup"
    assert backup["duration_ns"] == 16 * MS
    assert backup["links"] == [
        {
            "type": "failover_from",
            "trace_id": A,
            "span_id": f"{3:016x}",
            "attributes": {"runyard.link.type": "failover_from"},
        }
    ]


@pytest.mark.parametrize(
    ("length_ns", "shown"),
    [(900, "1 µs"), (999_000, "999 µs"), (1_500_000, "1.5 ms"), (2_345_000_000, "2.35 s")],
)
def test_durations_have_three_digits_or_so(length_ns: int, shown: str) -> None:
    assert duration(length_ns) == shown
