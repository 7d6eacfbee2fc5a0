"""Traces and metrics of a process, exported over OTLP/HTTP if an endpoint is set.

Several set-ups may exist at once, as in tests with several servers: the newest one that records is
active, and shutting it down makes the one before it active again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter, NoOpMeterProvider
from opentelemetry.trace import Link, NoOpTracerProvider, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.errors import DomainError
from services.chassis.observe.metrics import SCOPE, measure_with
from services.chassis.observe.names import ERROR_TYPE, ERROR_TYPE_CANCELLED
from services.chassis.version import distribution_version

# The SDK is imported by what records: it takes longer than all else that a short command loads.
if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

# Longest time from the end of a span to its export.
SPAN_DELAY_MS = 500
METRIC_INTERVAL_MS = 10_000
EXPORT_TIMEOUT_S = 3.0

_PROPAGATOR = TraceContextTextMapPropagator()


class Telemetry:
    """The providers of one set-up; without them it records nothing."""

    def __init__(
        self, traces: TracerProvider | None = None, meters: MeterProvider | None = None
    ) -> None:
        self.traces = traces
        self.meters = meters

    def flush(self) -> None:
        """Export all ended spans and all metrics. Blocks, at most a few ``EXPORT_TIMEOUT_S``."""
        if self.traces:
            self.traces.force_flush()
        if self.meters:
            self.meters.force_flush()

    def shutdown(self) -> None:
        """Export the rest and stop recording; blocks as ``flush`` does. Idempotent."""
        if self in _ACTIVE:
            _ACTIVE.remove(self)
            _use_newest()
            if self.traces:
                self.traces.shutdown()
            if self.meters:
                self.meters.shutdown()


_ACTIVE: list[Telemetry] = []
_NO_TRACER = NoOpTracerProvider().get_tracer(SCOPE)


class Recording:
    """The tracer of the newest set-up that records; None without one."""

    tracer: Tracer | None = None


def _use_newest() -> None:
    measure_with(_active_meters())
    provider = next((t.traces for t in reversed(_ACTIVE) if t.traces), None)
    Recording.tracer = provider.get_tracer(SCOPE) if provider else None


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
        otlp_endpoint: Base URL of an OTLP/HTTP receiver, ``http://127.0.0.1:7400``; if empty,
            nothing is recorded or exported.
        exporter: Receives each span at its end, in place of the endpoint; for tests.
        reader: Reads the metrics, in place of the endpoint; for tests.
    """
    base = otlp_endpoint.rstrip("/")
    if exporter is None and reader is None and not base:
        return Telemetry()
    resource = _resource(service)
    telemetry = Telemetry(_traces(resource, base, exporter), _meters(resource, base, reader))
    _ACTIVE.append(telemetry)
    _use_newest()
    _set_globals()
    return telemetry


def tracer() -> Tracer:
    """Return the active tracer. Do not keep it: its set-up may end."""
    return Recording.tracer or _NO_TRACER


def meter() -> Meter:
    """Return the active meter; create instruments after the set-up."""
    return (_active_meters() or NoOpMeterProvider()).get_meter(SCOPE)


def _active_meters() -> MeterProvider | None:
    return next((t.meters for t in reversed(_ACTIVE) if t.meters), None)


def current_traceparent() -> str:
    """Return the W3C traceparent of the current span, or "" if there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def context_from(traceparent: str) -> Context | None:
    """Return a context with the span of ``traceparent``; None if that is empty or malformed."""
    context = _PROPAGATOR.extract({"traceparent": traceparent}, context=Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def link_to(traceparent: str, **attributes: str) -> Link | None:
    """Return a link to the span of ``traceparent``; None if that is empty or malformed."""
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
    """Start a span and make it current for the block.

    Do not use it around a ``yield`` of an async generator, from which the context would leak into
    the consumer: use ``tracer().start_span`` there and pass the span on.

    An exception sets ``error.type`` to its reason or class. Its text, which may hold user data, is
    not recorded. A cancel does not set the error status.

    Args:
        parent: A traceparent; None = the current span, empty = start a new trace.
        links: Links; None values, which ``link_to`` returns for an empty traceparent, are dropped.
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
    """Record on a span why it failed, without the text of the error."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        failed.set_attribute(ERROR_TYPE, ERROR_TYPE_CANCELLED)
        return
    reason = error.reason if isinstance(error, DomainError) else type(error).__qualname__
    failed.set_attribute(ERROR_TYPE, reason)
    failed.set_status(StatusCode.ERROR)


def _resource(service: str) -> Resource:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # as above

    return Resource.create(
        {
            "service.name": service,
            "service.namespace": "runyard",
            "service.version": distribution_version(),
        }
    )


def _traces(resource: Resource, base: str, exporter: SpanExporter | None) -> TracerProvider | None:
    if exporter is None and not base:
        return None
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # as above

    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(_span_processor(base, exporter))
    return traces


def _span_processor(base: str, exporter: SpanExporter | None) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415  # as above
        BatchSpanProcessor,
        SimpleSpanProcessor,
    )

    if exporter is not None:
        return SimpleSpanProcessor(exporter)
    # Imported here because it loads an HTTP client, which is needed only to export.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    return BatchSpanProcessor(
        OTLPSpanExporter(f"{base}/v1/traces", timeout=EXPORT_TIMEOUT_S),
        schedule_delay_millis=SPAN_DELAY_MS,
    )


def _meters(resource: Resource, base: str, reader: MetricReader | None) -> MeterProvider | None:
    reader = reader or (_exporting_reader(base) if base else None)
    if reader is None:
        return None
    from opentelemetry.sdk.metrics import (  # noqa: PLC0415  # as above
        AlwaysOffExemplarFilter,
        MeterProvider,
    )

    # Choosing exemplars doubles what a measurement costs: only for those who ask for them.
    chosen = "OTEL_METRICS_EXEMPLAR_FILTER" in os.environ
    return MeterProvider(
        [reader],
        resource=resource,
        shutdown_on_exit=False,
        exemplar_filter=None if chosen else AlwaysOffExemplarFilter(),
    )


def _exporting_reader(base: str) -> MetricReader:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415  # as above
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415  # as above

    return PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{base}/v1/metrics", timeout=EXPORT_TIMEOUT_S),
        export_interval_millis=METRIC_INTERVAL_MS,
    )


class _ActiveTracers(trace.TracerProvider):
    """The global provider for libraries: delegates to the active set-up."""

    def get_tracer(self, *_args: object, **_kwargs: object) -> Tracer:
        return _ActiveTracer()


class _ActiveTracer(Tracer):
    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return tracer().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return tracer().start_as_current_span(*args, **kwargs)


class _ActiveMeters(metrics.MeterProvider):
    def get_meter(self, *_args: object, **_kwargs: object) -> Meter:
        return meter()


_globals_set: list[bool] = []


def _set_globals() -> None:
    """Set the global providers once: OpenTelemetry does not let a process replace them."""
    if not _globals_set:
        _globals_set.append(True)
        trace.set_tracer_provider(_ActiveTracers())
        metrics.set_meter_provider(_ActiveMeters())
