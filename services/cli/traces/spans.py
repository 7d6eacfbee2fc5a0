"""Spans as the receiver keeps them and the trace view reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Value: TypeAlias = str | int | float | bool | list[Any]
Attributes: TypeAlias = Mapping[str, Value]

_KINDS = {
    trace_pb2.Span.SPAN_KIND_SERVER: "server",
    trace_pb2.Span.SPAN_KIND_CLIENT: "client",
    trace_pb2.Span.SPAN_KIND_PRODUCER: "producer",
    trace_pb2.Span.SPAN_KIND_CONSUMER: "consumer",
}
_STATUSES = {
    trace_pb2.Status.STATUS_CODE_OK: "ok",
    trace_pb2.Status.STATUS_CODE_ERROR: "error",
}


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A pointer to another span, in this trace or another."""

    trace_id: str
    span_id: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened within a span."""

    name: str
    at_ns: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One finished span.

    Attributes:
        trace_id: 32 hexadecimal digits.
        parent_id: 16 hexadecimal digits; empty for the root of a trace.
        kind: internal, server, client, producer or consumer.
        start_ns: Nanoseconds since 1970, as ``end_ns``.
        status: unset, ok or error.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    status: str = "unset"
    attributes: Attributes = field(default_factory=dict)
    links: tuple[SpanLink, ...] = ()
    events: tuple[SpanEvent, ...] = ()


def from_otlp(request: ExportTraceServiceRequest) -> Iterator[SpanRecord]:
    for resource in request.resource_spans:
        service = str(_attributes(resource.resource.attributes).get("service.name", "unknown"))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _from_otlp(span, service)


def _from_otlp(span: trace_pb2.Span, service: str) -> SpanRecord:
    return SpanRecord(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        kind=_KINDS.get(span.kind, "internal"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=_STATUSES.get(span.status.code, "unset"),
        attributes=_attributes(span.attributes),
        links=tuple(
            SpanLink(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes))
            for link in span.links
        ),
        events=tuple(
            SpanEvent(event.name, event.time_unix_nano, _attributes(event.attributes))
            for event in span.events
        ),
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    if which == "bytes_value":
        return value.bytes_value.hex()
    if which is None or which == "kvlist_value":
        return ""
    plain: Value = getattr(value, which)
    return plain


def to_line(span: SpanRecord) -> bytes:
    """One line of JSON with its line break."""
    return json.dumps(asdict(span), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> SpanRecord | None:
    """The span of a line; None for one that was cut off when its writer died."""
    try:
        raw = json.loads(line)
        raw["links"] = tuple(SpanLink(**link) for link in raw["links"])
        raw["events"] = tuple(SpanEvent(**event) for event in raw["events"])
        return SpanRecord(**raw)
    except (ValueError, KeyError, TypeError):
        return None
