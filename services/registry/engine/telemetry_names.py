"""Metrics of the registry, beyond those of the chassis."""

from __future__ import annotations

from services.chassis.observe.metrics import Counter, Gauge, Histogram, UpDownCounter

VERSION = Gauge("runyard.registry.version", "{version}", "The current version.")
WATCHERS = UpDownCounter("runyard.registry.watchers", "{watcher}", "Open watches.")
LAG = Histogram(
    "runyard.registry.watch.lag",
    "s",
    "From the publication of a version to the frame that brings a live watcher there.",
)
RETIRED = Counter(
    "runyard.registry.retired_versions", "{version}", "Versions that retention let go."
)
