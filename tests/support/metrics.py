"""What is measured, read from memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric

from services.chassis.observe import telemetry


class Measured:
    """The metrics of a block."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader

    def metric(self, name: str) -> Metric | None:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        return metric
        return None

    def points(self, name: str) -> Mapping[tuple[tuple[str, Any], ...], Any]:
        """Points by their sorted attributes."""
        metric = self.metric(name)
        points = metric.data.data_points if metric else ()
        return {tuple(sorted((point.attributes or {}).items())): point for point in points}

    def values(self, name: str) -> Mapping[tuple[tuple[str, Any], ...], float]:
        """Values of a counter or a gauge, counts of a histogram."""
        return {
            key: float(point.count if hasattr(point, "count") else point.value)
            for key, point in self.points(name).items()
        }

    def total(self, name: str) -> float:
        return sum(self.values(name).values())


@contextmanager
def measuring(service: str = "test") -> Iterator[Measured]:
    """Measure for the length of the block."""
    reader = InMemoryMetricReader()
    running = telemetry.setup(service, reader=reader)
    try:
        yield Measured(reader)
    finally:
        running.shutdown()
