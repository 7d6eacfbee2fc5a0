"""Traces and metrics of a process: off until an endpoint is set, and then over OTLP/HTTP.

The process may be set up several times at once, as tests do with several servers: the newest
set-up that records is in force, and shutting it down puts the one before it back in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
)
from opentelemetry.trace import Link, NoOpTracerProvider, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.errors import DomainError
from services.chassis.metrics import SCOPE, measure_with
from services.chassis.telemetry_names import ERROR_TYPE, ERROR_TYPE_CANCELLED

# A span is in the receiver this long after its end, at the latest.
SPAN_DELAY_MS = 500
METRIC_INTERVAL_MS = 10_000
EXPORT_TIMEOUT_S = 3.0

_DISTRIBUTION = "runyard-services"
_PROPAGATOR = TraceContextTextMapPropagator()


class Telemetry:
    """One set-up; without providers it records nothing."""

    def __init__(
        self, traces: TracerProvider | None = None, meters: MeterProvider | None = None
    ) -> None:
        self.traces = traces
        self.meters = meters

    def flush(self) -> None:
        """Export what has ended so far. Blocks, at most for some multiples of the time-out."""
        if self.traces:
            self.traces.force_flush()
        if self.meters:
            self.meters.force_flush()

    def shutdown(self) -> None:
        """Export the rest and stop recording; blocks like ``flush``. A second call does nothing."""
        if self in _ACTIVE:
            _ACTIVE.remove(self)
            measure_with(_meters_in_force())
            if self.traces:
                self.traces.shutdown()
            if self.meters:
                self.meters.shutdown()


_ACTIVE: list[Telemetry] = []


def setup(
    service: str,
    otlp_endpoint: str = "",
    *,
    exporter: SpanExporter | None = None,
    reader: MetricReader | None = None,
) -> Telemetry:
    """Start recording for ``service``.

    Args:
        service: Short name, ``registry``.
        otlp_endpoint: Base URL of an OTLP/HTTP receiver, ``http://127.0.0.1:7400``; empty exports
            nothing, and then nothing is recorded either.
        exporter: Gets every span as soon as it ends, instead of the endpoint; for tests.
        reader: Reads the metrics, instead of the endpoint; for tests.
    """
    base = otlp_endpoint.rstrip("/")
    if exporter is None and reader is None and not base:
        return Telemetry()
    resource = _resource(service)
    telemetry = Telemetry(_traces(resource, base, exporter), _meters(resource, base, reader))
    _ACTIVE.append(telemetry)
    measure_with(_meters_in_force())
    _serve_libraries()
    return telemetry


def tracer() -> Tracer:
    """The tracer in force now. Ask for it again for each span: a set-up may end."""
    provider = next((t.traces for t in reversed(_ACTIVE) if t.traces), None)
    return (provider or NoOpTracerProvider()).get_tracer(SCOPE)


def meter() -> Meter:
    """The meter in force now; make instruments after the set-up."""
    return (_meters_in_force() or NoOpMeterProvider()).get_meter(SCOPE)


def _meters_in_force() -> MeterProvider | None:
    return next((t.meters for t in reversed(_ACTIVE) if t.meters), None)


def current_traceparent() -> str:
    """The current span in W3C form, to be stored beside what it causes; empty when none is."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


def context_from(traceparent: str) -> Context | None:
    """The context whose span ``traceparent`` names; None when it is empty or malformed."""
    context = _PROPAGATOR.extract({"traceparent": traceparent}, context=Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def link_to(traceparent: str, **attributes: str) -> Link | None:
    """A link to the span that ``traceparent`` names; None when it is empty or malformed."""
    context = context_from(traceparent)
    if context is None:
        return None
    return Link(trace.get_current_span(context).get_span_context(), attributes)


@contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: str | None = None,
    links: Iterable[Link | None] = (),
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[Span]:
    """Make a new span current for the block.

    Not for a block with a ``yield`` of an async generator in it: the context would leak into the
    consumer; there use ``tracer().start_span`` and pass it on.

    An exception ends the span with its reason or class as ``error.type``, never with its text:
    that may be a user's. A cancel is no error.

    Args:
        parent: A traceparent; None is the current span, empty begins a trace.
        links: None among them are left out, as ``link_to`` gives for rows without a context.
    """
    context = None if parent is None else context_from(parent) or Context()
    with tracer().start_as_current_span(
        name,
        context=context,
        kind=kind,
        links=[link for link in links if link is not None],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        try:
            yield started
        except BaseException as error:
            mark_failed(started, error)
            raise


def mark_failed(failed: Span, error: BaseException) -> None:
    """Say on a span why it failed, without the error's text."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        failed.set_attribute(ERROR_TYPE, ERROR_TYPE_CANCELLED)
        return
    reason = error.reason if isinstance(error, DomainError) else type(error).__qualname__
    failed.set_attribute(ERROR_TYPE, reason)
    failed.set_status(StatusCode.ERROR)


def _resource(service: str) -> Resource:
    return Resource.create(
        {
            "service.name": service,
            "service.namespace": "runyard",
            "service.version": _version(),
        }
    )


def _version() -> str:
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def _traces(resource: Resource, base: str, exporter: SpanExporter | None) -> TracerProvider | None:
    if exporter is None and not base:
        return None
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(_span_processor(base, exporter))
    return traces


def _span_processor(base: str, exporter: SpanExporter | None) -> SpanProcessor:
    if exporter is not None:
        return SimpleSpanProcessor(exporter)
    # An HTTP client comes with it, which a process that exports nothing need not load.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    return BatchSpanProcessor(
        OTLPSpanExporter(f"{base}/v1/traces", timeout=EXPORT_TIMEOUT_S),
        schedule_delay_millis=SPAN_DELAY_MS,
    )


def _meters(resource: Resource, base: str, reader: MetricReader | None) -> MeterProvider | None:
    reader = reader or (_exporting_reader(base) if base else None)
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False) if reader else None


def _exporting_reader(base: str) -> MetricReader:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415  # as above
        OTLPMetricExporter,
    )

    return PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{base}/v1/metrics", timeout=EXPORT_TIMEOUT_S),
        export_interval_millis=METRIC_INTERVAL_MS,
    )


class _InForce(trace.TracerProvider):
    """What code that only knows OpenTelemetry's global provider gets: whatever is in force."""

    def get_tracer(self, *_args: object, **_kwargs: object) -> Tracer:
        return _TracerInForce()


class _TracerInForce(Tracer):
    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return tracer().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return tracer().start_as_current_span(*args, **kwargs)


class _MetersInForce(metrics.MeterProvider):
    def get_meter(self, *_args: object, **_kwargs: object) -> Meter:
        return meter()


_libraries_served: list[bool] = []


def _serve_libraries() -> None:
    """The global providers of OpenTelemetry can be set once in a process, so ours never change."""
    if not _libraries_served:
        _libraries_served.append(True)
        trace.set_tracer_provider(_InForce())
        metrics.set_meter_provider(_MetersInForce())
