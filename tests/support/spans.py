"""Spans kept in memory for a test to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.chassis.observe import telemetry


class Recorded:
    """What has ended since the recording began, in the order of ending."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def named(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def clear(self) -> None:
        self._exporter.clear()


@contextmanager
def recording(service: str = "test") -> Iterator[Recorded]:
    """Record the spans of this process for the length of the block."""
    exporter = InMemorySpanExporter()
    running = telemetry.setup(service, exporter=exporter)
    try:
        yield Recorded(exporter)
    finally:
        running.shutdown()
