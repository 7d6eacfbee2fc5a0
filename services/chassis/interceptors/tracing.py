"""A server span around each call, named and coloured by the current rpc conventions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis import telemetry
from services.chassis.interceptors.record import SERVER_FAULTS, CallRecord
from services.chassis.telemetry_names import ERROR_TYPE, RPC_METHOD, RPC_STATUS, RPC_SYSTEM

_PROPAGATOR = TraceContextTextMapPropagator()


@contextmanager
def traced(record: CallRecord) -> Iterator[None]:
    """Make a server span current for the block; its parent comes with the call's metadata."""
    if record.housekeeping:
        yield
        return
    # The name of an unknown method is whatever the caller made up: no key for a span name.
    name = record.method.removeprefix("/") if record.known else "_OTHER"
    carrier = {key: value for key, value in record.metadata.items() if isinstance(value, str)}
    with telemetry.tracer().start_as_current_span(
        name,
        context=_PROPAGATOR.extract(carrier),
        kind=trace.SpanKind.SERVER,
        attributes={RPC_SYSTEM: "grpc", RPC_METHOD: name},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        finally:
            _close(span, record)


def _close(span: trace.Span, record: CallRecord) -> None:
    span.set_attribute(RPC_STATUS, record.code.name)
    if record.error_id:
        span.set_attribute("runyard.error_id", record.error_id)
    if record.code in SERVER_FAULTS:
        span.set_attribute(ERROR_TYPE, record.reason or record.code.name)
        span.set_status(trace.StatusCode.ERROR)
