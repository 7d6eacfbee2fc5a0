"""What the rest of the code may rely on when it traces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.observe import telemetry
from services.chassis.observe.names import LINK_TYPE, LINK_WAKE_CAUSE
from tests.support.spans import recording

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def make_span(name: str, **options: Any) -> None:
    with telemetry.span(name, **options):
        pass


def test_nothing_is_recorded_without_an_endpoint() -> None:
    # given a set-up without an endpoint
    running = telemetry.setup("registry", "")

    # when a span is made
    with telemetry.span("work") as span:
        recorded = span.is_recording()
        traceparent = telemetry.current_traceparent()

    # then it is none
    running.shutdown()
    assert not recorded
    assert traceparent == ""


def test_a_set_up_that_records_nothing_leaves_the_one_that_does_in_force() -> None:
    """A test records while it starts servers that have no endpoint."""
    with recording() as recorded:
        # given a server inside the recording
        running = telemetry.setup("registry", "")

        # when it works and stops
        make_span("inside")
        running.shutdown()
        make_span("after")

    # then both spans are in the recording
    assert recorded.names == ["inside", "after"]


@pytest.mark.parametrize(
    ("sampler", "kept"), [("always_off", []), ("always_on", ["work"]), (None, ["work"])]
)
def test_the_sampler_of_the_environment_chooses_the_traces(
    sampler: str | None, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampler is None:
        monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    else:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    with recording() as recorded:
        make_span("work")
    assert recorded.names == kept


def test_set_ups_nest_and_end_in_any_order() -> None:
    # given two recordings, the older of which ends first
    older = recording("older")
    newer = recording("newer")
    outer = older.__enter__()
    inner = newer.__enter__()
    make_span("first")
    older.__exit__(None, None, None)

    # when spans are made before and after the newer one ends
    make_span("second")
    newer.__exit__(None, None, None)
    with telemetry.span("third") as third:
        recorded = third.is_recording()

    # then the newest set-up had them all, and none is left in force
    assert outer.names == []
    assert inner.names == ["first", "second"]
    assert not recorded


def test_the_global_tracer_of_opentelemetry_is_the_one_in_force() -> None:
    """Code that knows only the standard API takes part, in every recording."""
    tracer = trace.get_tracer("a library")
    names = []
    for _ in range(2):
        with recording() as recorded, tracer.start_as_current_span("theirs"):
            pass
        names.append(recorded.names)
    assert names == [["theirs"], ["theirs"]]


def test_the_traceparent_of_a_stored_row_becomes_parent_and_link() -> None:
    with recording() as recorded:
        # given a traceparent as it is stored beside an effect
        with telemetry.span("cause"):
            stored = telemetry.current_traceparent()

        # when the effect happens elsewhere, once as a child and once as a linked trace
        make_span("child", parent=stored)
        link = telemetry.link_to(stored, **{LINK_TYPE: LINK_WAKE_CAUSE})
        make_span("linked", parent="", links=[link, None])

    # then the child is in the trace, the other points at it
    cause, child, linked = recorded.spans
    assert stored.startswith(f"00-{cause.context.trace_id:032x}-{cause.context.span_id:016x}-")
    assert child.parent is not None
    assert child.parent.span_id == cause.context.span_id
    assert child.context.trace_id == cause.context.trace_id
    assert linked.parent is None
    assert linked.context.trace_id != cause.context.trace_id
    (found,) = linked.links
    assert found.context.span_id == cause.context.span_id
    assert dict(found.attributes or {}) == {"runyard.link.type": "wake_cause"}


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"{REMOTE[:-3]}", "00-" + "0" * 32])
def test_a_malformed_traceparent_is_no_context(traceparent: str) -> None:
    assert telemetry.context_from(traceparent) is None
    assert telemetry.link_to(traceparent) is None


def test_a_context_from_the_caller_passes_through_a_process_that_records_nothing() -> None:
    with telemetry.span("work", parent=REMOTE):
        passed_on = telemetry.current_traceparent()
    assert passed_on == REMOTE


def test_an_empty_parent_begins_a_trace_inside_another() -> None:
    with recording() as recorded, telemetry.span("outer"), telemetry.span("inner", parent=""):
        pass
    inner, outer = recorded.spans
    assert inner.parent is None
    assert inner.context.trace_id != outer.context.trace_id


def test_a_failed_span_names_the_reason_and_never_the_text() -> None:
    """Error texts may quote what a user wrote."""
    with recording() as recorded:
        for error in (
            InvalidRequestError.of([Violation("id", "secret text")]),
            ValueError("secret text"),
        ):
            with pytest.raises(type(error)), telemetry.span("work"):
                raise error
    domain, other = recorded.spans
    assert domain.attributes is not None
    assert domain.attributes["error.type"] == "INVALID_REQUEST"
    assert other.attributes is not None
    assert other.attributes["error.type"] == "ValueError"
    assert not domain.status.is_ok
    assert "secret" not in domain.to_json() + other.to_json()


def test_a_cancelled_span_is_no_error() -> None:
    with recording() as recorded, pytest.raises(asyncio.CancelledError), telemetry.span("work"):
        raise asyncio.CancelledError
    (cancelled,) = recorded.spans
    assert cancelled.attributes == {"error.type": "cancelled"}
    assert cancelled.status.status_code is trace.StatusCode.UNSET
