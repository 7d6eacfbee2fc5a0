"""Metric instruments: module constants that any thread may use.

    RETIRED = Counter("runyard.registry.retired_versions", "{version}", "Versions deleted.")
    RETIRED.add(1)

They record with the provider of the latest ``telemetry.setup``. While metrics are off, a use only
reads one variable. Compute values that are expensive to find only ``if measuring()``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeAlias, TypeVar

from opentelemetry import metrics as otel

SCOPE = "runyard"
# The bounds of the OpenTelemetry conventions for RPC durations; used for other durations too.
SECONDS: Sequence[float] = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
# For work that normally takes less than a millisecond.
SHORT_SECONDS: Sequence[float] = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *SECONDS)

Attributes: TypeAlias = Mapping[str, str | int | bool]

I = TypeVar("I")  # noqa: E741  # the instrument of OpenTelemetry


class Measuring:
    """The active provider; None while metrics are off. To be read where a call would cost."""

    provider: otel.MeterProvider | None = None


_declared: dict[str, Instrument[object]] = {}


def measure_with(provider: otel.MeterProvider | None) -> None:
    """Record with ``provider`` from now on; None stops recording."""
    Measuring.provider = provider
    for instrument in _declared.values():
        instrument.prepare()


def measuring() -> bool:
    """Whether metrics are on."""
    return Measuring.provider is not None


def declared() -> Mapping[str, Instrument[object]]:
    """Return every instrument of the imported modules by name."""
    return dict(_declared)


class Instrument(Generic[I]):
    """One metric.

    Attributes:
        kind: The kind of the OpenTelemetry instrument.
        unit: UCUM code, such as ``s`` or ``{call}``.
    """

    kind = ""

    def __init__(self, name: str, unit: str, description: str) -> None:
        if name in _declared:
            raise ValueError(f"metric {name} is declared twice")
        self.name = name
        self.unit = unit
        self.description = description
        self._made: tuple[otel.MeterProvider, I] | None = None
        _declared[name] = self  # type: ignore[assignment]  # any instrument type
        self.prepare()

    def prepare(self) -> None:
        """Called when the provider changes; for instruments that are read, not written."""

    def _make(self, meter: otel.Meter) -> I:
        raise NotImplementedError

    def _current(self) -> I | None:
        provider = Measuring.provider
        if provider is None:
            return None
        made = self._made
        if made is None or made[0] is not provider:
            # Two threads may both create it: the provider returns the same instrument to both.
            self._made = made = provider, self._make(provider.get_meter(SCOPE))
        return made[1]


class Counter(Instrument[otel.Counter]):
    """A sum that only grows."""

    kind = "counter"

    def _make(self, meter: otel.Meter) -> otel.Counter:
        return meter.create_counter(self.name, self.unit, self.description)

    def add(self, amount: float, attributes: Attributes | None = None) -> None:
        if instrument := self._current():
            instrument.add(amount, attributes)


class UpDownCounter(Instrument[otel.UpDownCounter]):
    """A current count."""

    kind = "up-down counter"

    def _make(self, meter: otel.Meter) -> otel.UpDownCounter:
        return meter.create_up_down_counter(self.name, self.unit, self.description)

    @contextmanager
    def one_more(self, attributes: Attributes | None = None) -> Iterator[None]:
        """Add one during the block; the same provider records both changes."""
        instrument = self._current()
        if instrument is None:
            yield
            return
        instrument.add(1, attributes)
        try:
            yield
        finally:
            instrument.add(-1, attributes)


Reading: TypeAlias = Callable[[], Iterable[tuple[int, Attributes]]]


class ObservedUpDownCounter(Instrument[otel.ObservableUpDownCounter]):
    """How many there are, read when the metrics are exported."""

    kind = "up-down counter"

    def __init__(self, name: str, unit: str, description: str) -> None:
        self._readings: list[Reading] = []
        super().__init__(name, unit, description)

    @contextmanager
    def observing(self, read: Reading) -> Iterator[None]:
        """Add what ``read`` returns, amounts with their attributes, for the length of the block."""
        self._readings.append(read)
        try:
            yield
        finally:
            self._readings.remove(read)

    def prepare(self) -> None:
        self._current()

    def _make(self, meter: otel.Meter) -> otel.ObservableUpDownCounter:
        return meter.create_observable_up_down_counter(
            self.name, [self._observe], self.unit, self.description
        )

    def _observe(self, _options: otel.CallbackOptions) -> Iterable[otel.Observation]:
        for read in self._readings:
            for amount, attributes in read():
                yield otel.Observation(amount, attributes)


class Gauge(Instrument["otel._Gauge"]):
    """A last observed value."""

    kind = "gauge"

    def _make(self, meter: otel.Meter) -> otel._Gauge:  # it has no public name
        return meter.create_gauge(self.name, self.unit, self.description)

    def set(self, value: float, attributes: Attributes | None = None) -> None:
        if instrument := self._current():
            instrument.set(value, attributes)


class Histogram(Instrument[otel.Histogram]):
    """A distribution of values over ``bounds``."""

    kind = "histogram"

    def __init__(
        self, name: str, unit: str, description: str, bounds: Sequence[float] = SECONDS
    ) -> None:
        super().__init__(name, unit, description)
        self.bounds = bounds

    def _make(self, meter: otel.Meter) -> otel.Histogram:
        return meter.create_histogram(
            self.name, self.unit, self.description, explicit_bucket_boundaries_advisory=self.bounds
        )

    def record(self, value: float, attributes: Attributes | None = None) -> None:
        if instrument := self._current():
            instrument.record(value, attributes)

    def record_since(self, start_s: float, attributes: Attributes | None = None) -> None:
        """Record the seconds since ``start_s``, a value of ``time.monotonic``."""
        if instrument := self._current():
            instrument.record(time.monotonic() - start_s, attributes)
